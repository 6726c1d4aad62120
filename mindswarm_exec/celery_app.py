"""The Celery application: settings that keep a silent or restarted broker from stopping anything.

Celery carries wake-ups, the front door and beat's ticks. No Celery state takes part in any decision.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from urllib.parse import urlsplit

from celery import Celery, signals
from kombu import Queue
from kombu.exceptions import KombuError

from mindswarm_exec.ledger.replies import Wake
from mindswarm_exec.logs import configure_logging
from mindswarm_exec.settings import Settings

log = logging.getLogger(__name__)

RUN_TASK = "mindswarm.run"
START_TASK = "mindswarm.execution.start"
SWEEP_TASK = "mindswarm.sweep"
MATCH_TASK = "mindswarm.match_waiting"
FORGET_TASK = "mindswarm.forget"
ROLL_UP_TASK = "mindswarm.roll_up"

#: RabbitMQ keeps an agent's queue this long without the agent; a number of its own, as it may never change.
AGENT_QUEUE_SECONDS = 86400.0
#: kombu's name for a priority's list on Redis needs every step; 0 is the most urgent there.
PRIORITY_STEPS = list(range(10))


def agent_queue(settings: Settings, agent_id: str) -> str:
    return f"{settings.namespace}.agent.{agent_id}"


def front_door_queue(settings: Settings) -> str:
    return f"{settings.namespace}.executions"


def sweep_queue(settings: Settings) -> str:
    return f"{settings.namespace}.sweeps"


def celery_queue(settings: Settings, name: str) -> Queue:
    """The queue as whoever consumes or publishes declares it: RabbitMQ refuses a declaration that differs.

    An agent's queue that nobody has consumed for a day goes. The others are also declared by strangers, so they are
    as Celery makes them.
    """
    is_an_agents = name.startswith(agent_queue(settings, ""))
    return Queue(name, routing_key=name, expires=AGENT_QUEUE_SECONDS if is_an_agents else None)


def broker_is_ledger(settings: Settings, ledger_url: str) -> bool:
    """Whether the ledger's scripts may put messages into the broker's lists themselves."""
    return settings.broker_url in (None, ledger_url)


def broker_priority(broker_url: str, priority: int) -> int:
    """Our priority (9 most urgent) in the broker's terms: on Redis kombu's 0 is the most urgent, on RabbitMQ 9."""
    return 9 - priority if _is_redis(broker_url) else priority


def _is_redis(broker_url: str) -> bool:
    return urlsplit(broker_url).scheme.startswith(("redis", "valkey"))


def redelivery_seconds(settings: Settings) -> float:
    """A message taken by a process that acknowledges, and is gone, comes to another after this."""
    return 6 * settings.delivery_seconds


def create_app(
    settings: Settings, ledger_url: str, name: str, queues: Sequence[str] = (), *, acknowledges: bool = False
) -> Celery:
    """A Celery app for one kind of process, consuming `queues`.

    `acknowledges`: its messages are submissions, not hints: one that was not answered is delivered again.
    """
    broker_url = settings.broker_url or ledger_url
    app = Celery(name, broker=broker_url, set_as_current=False)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        result_serializer="json",
        task_ignore_result=True,
        task_acks_late=False,
        task_track_started=False,
        task_queues=[celery_queue(settings, queue) for queue in queues],
        task_default_queue=queues[0] if queues else front_door_queue(settings),
        task_create_missing_queues=True,
        worker_send_task_events=settings.task_events,
        worker_hijack_root_logger=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_channel_error_retry=True,
        broker_pool_limit=10,
        broker_transport_options=_transport_options(broker_url, settings, acknowledges),
        enable_utc=True,
    )
    return app


def _transport_options(broker_url: str, settings: Settings, acknowledges: bool) -> dict[str, object]:
    if not _is_redis(broker_url):
        return {"confirm_publish": True}
    return {
        # recovery is the ledger's: a wake-up is a hint, so kombu need not track it or deliver it again
        "ack_emulation": acknowledges,
        "visibility_timeout": redelivery_seconds(settings),
        "unacked_key": f"{settings.namespace}.unacked",
        "unacked_index_key": f"{settings.namespace}.unacked_index",
        "unacked_mutex_key": f"{settings.namespace}.unacked_mutex",
        "priority_steps": PRIORITY_STEPS,
        "queue_order_strategy": "priority",
        "socket_timeout": settings.ledger_timeout_seconds,
        "socket_connect_timeout": settings.ledger_timeout_seconds,
        "socket_keepalive": True,
        "retry_on_timeout": True,
        "health_check_interval": 10,
        "max_connections": 50,
    }


def take_over_logging(settings: Settings, process: str, **ids: str) -> None:
    """Log as the settings say, where Celery would set up logging of its own."""
    import celery.apps.worker  # here, as only workers have it loaded

    configure_logging(settings, process, **ids)
    signals.setup_logging.connect(_leave_logging_alone, weak=False)
    celery.apps.worker.safe_say = _say_nothing


def _say_nothing(*_: object) -> None:
    """In place of what Celery writes on the terminal when it is told to stop: logs say that, line by line."""


def _leave_logging_alone(**_: object) -> None:
    """Celery sets up no logging once somebody listens to this signal."""


class CeleryPublisher:
    """Publishes wake messages where broker and ledger are two servers. What fails is sent again by the sweep."""

    def __init__(self, app: Celery, settings: Settings) -> None:
        self._app = app
        self._settings = settings

    def publish_now(self, wakes: Sequence[Wake]) -> None:
        """Publish on the calling thread. A broker that is away raises nothing: the sweep sends again."""
        try:
            for wake in wakes:
                self._send(wake)
        except (KombuError, OSError) as error:
            facts = {"action": "publish", "error_type": type(error).__name__}
            log.warning("the broker is away; agents are woken when it is back", extra=facts)

    async def publish(self, wakes: Sequence[Wake]) -> None:
        """Publish without blocking the event loop."""
        await asyncio.to_thread(self.publish_now, wakes)

    def _send(self, wake: Wake) -> None:
        self._app.send_task(
            RUN_TASK,
            args=[wake.execution_id, wake.nonce],
            queue=celery_queue(self._settings, agent_queue(self._settings, wake.agent_id)),
            priority=broker_priority(self._app.conf.broker_url, wake.priority),
            task_id=wake.attempt_id,
            shadow=wake.task_type,
            ignore_result=True,
            retry=False,
        )
