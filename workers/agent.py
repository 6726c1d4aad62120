"""The Celery worker that is an agent.

    mindswarm-exec agent MODULE:ATTR --name N
    MINDSWARM_AGENT=MODULE:ATTR MINDSWARM_AGENT_NAME=N celery -A workers.agent worker

Celery brings the wake-ups, the threads and Flower's view; the rest is the engine and the ledger.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from typing import Any

from celery import Celery, bootsteps, signals
from celery.worker import WorkController

from mindswarm_exec.agent_loading import load_agent
from mindswarm_exec.celery_app import (
    RUN_TASK,
    CeleryPublisher,
    agent_queue,
    broker_is_ledger,
    create_app,
    take_over_logging,
)
from mindswarm_exec.embedded import ledger_url
from mindswarm_exec.errors import InvalidRequest, MindSwarmError
from mindswarm_exec.ledger.faces import SyncLedger, connect_sync
from mindswarm_exec.ledger.replies import Attempt
from mindswarm_exec.lifecycle import OutcomeKind
from mindswarm_exec.settings import Settings
from mindswarm_exec.tracing.process import flush, start_tracing
from workers.consumer import end_within, harden
from workers.engine import UnifiedTaskEngine
from workers.isolation.process import ProcessIsolation
from workers.membership import Membership
from workers.outcome import Outcome
from workers.rest import StartFailed
from workers.revocation import Revocation
from workers.wake_message import render, wakes

log = logging.getLogger(__name__)

#: Threads beyond the slots, for executions with `force_start`.
FORCED_THREADS = 32
#: Celery has this long to stop once the work is done.
CELERY_STOP_SECONDS = 3.0
#: Exit codes of an agent: an on_start hook failed; handlers had to be abandoned at the end of the grace; its name was
#: taken.
EXIT_START_FAILED, EXIT_ABANDONED, EXIT_FENCED = 70, 75, 76


class FlowerEvents:
    """Celery's task events for every attempt, fed or woken, so that Flower sees each under its task type.

    Attempts run on the pool's threads, but Celery's event dispatcher belongs to the worker's main thread: events
    are collected here and sent from there, twice a second.
    """

    PERIOD_SECONDS = 0.5

    def __init__(self) -> None:
        self._waiting: deque[tuple[str, dict[str, Any]]] = deque(maxlen=50_000)
        self._dispatcher: Any = None

    def began(self, attempt: Attempt) -> None:
        self._tell("task-received", attempt, args="", kwargs="", retries=0)
        self._tell("task-started", attempt)

    def ended(self, attempt: Attempt, outcome: Outcome | None, seconds: float) -> None:
        if outcome is not None and outcome.result is not None:
            self._tell("task-succeeded", attempt, result="", runtime=seconds)
        elif outcome is not None and outcome.kind is OutcomeKind.CANCELLED:
            self._tell("task-revoked", attempt, terminated=True, signum=None, expired=False)
        else:
            kind = outcome.kind.value if outcome else "lost"
            self._tell("task-failed", attempt, exception=kind, traceback="")

    def attach(self, worker: WorkController) -> None:
        worker.timer.call_repeatedly(self.PERIOD_SECONDS, self._flush, (worker,))

    def _tell(self, event: str, attempt: Attempt, **fields: Any) -> None:
        # the name in each: a Flower that starts in the middle of an attempt does not see it received
        self._waiting.append((event, {"uuid": attempt.id, "name": attempt.task_type, **fields}))

    def _flush(self, worker: WorkController) -> None:
        dispatcher = getattr(worker.consumer, "event_dispatcher", None)
        if dispatcher is None or not dispatcher.enabled:
            self._waiting.clear()
            return
        while self._waiting:
            event, fields = self._waiting.popleft()
            dispatcher.send(event, **fields)


class AgentProcess:
    """One agent's parts, wired together. `target` is MODULE:ATTR of the agent."""

    def __init__(self, target: str, name: str | None, settings: Settings) -> None:
        agent = load_agent(target)
        self.settings = settings
        self.profile = agent.profile(name)
        start_tracing("agent", settings, self.profile.agent_id)
        self.url, self._server = ledger_url(settings)
        self.queue = agent_queue(settings, self.profile.agent_id)
        self.app = create_app(settings, self.url, "mindswarm-agent", [self.queue])
        self.ledger = SyncLedger(connect_sync(self.url, settings), settings)
        self.events = FlowerEvents()
        self.publish = CeleryPublisher(self.app, settings).publish_now
        self.engine = UnifiedTaskEngine(
            agent,
            self.profile.agent_id,
            self.ledger,
            settings,
            observer=self.events,
            processes=ProcessIsolation(target, settings),
            publish=self.publish,
            others_wait=self._others_wait,
        )
        direct = broker_is_ledger(settings, self.url)
        self.membership = Membership(
            agent,
            self.profile,
            self.engine,
            self.ledger,
            settings,
            render(self.app, self.queue) if direct else None,
            self._fenced,
            self.publish,
            on_sleep=self.engine.calls.rest,
        )
        self._pool: Any = None
        self._drain: threading.Thread | None = None
        self._configure()

    def _configure(self) -> None:
        self.app.conf.update(
            worker_pool="threads",
            worker_concurrency=self.profile.max_concurrent + FORCED_THREADS,
            worker_prefetch_multiplier=0,  # only as many messages are sent as there are slots
            worker_enable_remote_control=True,
        )
        harden(self.app)
        wake = wakes(self.engine.run)
        self.app.task(wake, name=RUN_TASK, ignore_result=True, send_events=False, trail=False, typing=False)
        process = self

        class Join(bootsteps.StartStopStep):  # type: ignore[misc]
            """Opens the agent for work once its pool stands."""

            requires = ("celery.worker.components:Pool", "celery.worker.components:Timer")

            def start(self, worker: WorkController) -> None:
                process.started(worker)

            def stop(self, worker: WorkController) -> None:
                process.stopped()

        self.app.steps["worker"].add(Join)
        Revocation(self.profile.agent_id, self.ledger, self.publish).install()
        signals.worker_shutting_down.connect(self._begin_drain, weak=False)
        signals.worker_shutdown.connect(lambda **_: flush(), weak=False)  # when its threads have ended

    def run(self) -> None:
        """Work until told to stop."""
        node = f"{self.profile.agent_id}@%h"
        options = ["--loglevel=WARNING", "--without-gossip", "--without-mingle", "-n", node]
        self.app.worker_main(["--quiet", "worker", *options])

    def started(self, worker: WorkController) -> None:
        self._pool = worker.pool
        self.engine.start()
        self._prepare()
        self.events.attach(worker)
        self.membership.join()

    def _prepare(self) -> None:
        try:
            self.membership.prepare()
        except StartFailed as error:
            log.critical("%s", error, exc_info=error.__cause__, extra={"action": "start"})
            os._exit(EXIT_START_FAILED)  # nothing is registered and nothing runs: there is nothing to wait for

    def stopped(self) -> None:
        """Last step of the worker's stop: wait for the drain, which bounds itself by the grace."""
        if self._drain is None:
            self._begin_drain()
        assert self._drain is not None
        self._drain.join()
        self.engine.stop()

    def _others_wait(self) -> bool:
        """Whether messages wait for a thread of the pool."""
        executor = getattr(self._pool, "executor", None)
        return executor is not None and executor._work_queue.qsize() > 0

    def _begin_drain(self, **_: Any) -> None:
        """On SIGTERM, beside Celery's own shutdown: it would wait for ever for a thread that hangs."""
        if self._drain is None:
            self._drain = threading.Thread(target=self._drain_and_judge, name="drain")
            self._drain.start()

    def _drain_and_judge(self) -> None:
        facts = {"action": "drain", "agent_id": self.profile.agent_id}
        log.info("told to end: no new work, what runs may finish within the grace", extra=facts)
        in_order = self.membership.drain(self.settings.drain_grace_seconds)
        if not in_order:
            log.warning("handlers did not end within the grace; their work was handed back", extra=facts)
            flush()
            os._exit(EXIT_ABANDONED)
        end_within(CELERY_STOP_SECONDS)

    def _fenced(self) -> None:
        """Another process has the name: nothing here may be reported any more, so there is nothing to wait for."""
        os._exit(EXIT_FENCED)


def main(target: str, name: str | None, settings: Settings) -> None:
    """Run the agent at MODULE:ATTR until told to stop."""
    process = AgentProcess(target, name, settings)
    take_over_logging(settings, "agent", agent_id=process.profile.agent_id)
    process.run()


def _app_from_environment() -> Celery:
    target = os.environ.get("MINDSWARM_AGENT", "")
    if not target:
        raise InvalidRequest("set MINDSWARM_AGENT to MODULE:ATTR of the agent that this worker is to be.")
    name = os.environ.get("MINDSWARM_AGENT_NAME") or None
    process = AgentProcess(target, name, Settings.from_environment())
    if process.settings.log_format == "json":  # else as the options of Celery's own command say
        take_over_logging(process.settings, "agent", agent_id=process.profile.agent_id)
    return process.app


def __getattr__(name: str) -> Any:
    """`celery -A workers.agent worker` asks for `app`; importing this module by itself does nothing."""
    if name in ("app", "celery"):
        try:
            return globals().setdefault("app", _app_from_environment())
        except MindSwarmError as error:
            raise SystemExit(f"{error}") from error
    raise AttributeError(name)
