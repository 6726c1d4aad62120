"""Celery's consumer, hardened: nothing that lies in a queue ends a worker, and nothing that is away keeps it.

- What cannot be understood is dropped, with a line in the log that quotes nothing of it. Celery would log such a
  message whole; on Redis, one that is not even an envelope would end the worker.
- A broker that comes back is found within seconds, however long it was away.
- A worker that is told to stop ends, even where Celery waits for a broker that is away.
"""

from __future__ import annotations

import functools
import logging
import os
import threading
from collections.abc import Callable
from queue import Empty
from typing import Any

from celery import Celery
from celery.worker.consumer import Consumer
from celery.worker.consumer import consumer as celery_consumer
from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import redis as kombu_redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from workers.remote_control import refuse_what_harms

log = logging.getLogger(__name__)

#: Seconds between tries to reach the broker: kombu's own grow to 30.
RECONNECT = {"interval_start": 0.2, "interval_step": 0.4, "interval_max": 2.0}
DROPPED = "a message was dropped: %s"
#: What Celery and kombu would say of a message, with its content, and what is said in its place.
SAID_INSTEAD = {
    celery_consumer.UNKNOWN_FORMAT: "it is no task",
    celery_consumer.UNKNOWN_TASK_ERROR: "it names a task that this process does not have",
    celery_consumer.INVALID_TASK_ERROR: "its headers are not those of a task, or its type is not accepted",
    celery_consumer.MESSAGE_DECODE_ERROR: "its body cannot be decoded",
    "Couldn't convert ETA %r to timestamp: %r. Task: %r": "its time lies in no calendar",
    "Cannot process event on channel %r: %s": "a control message is no JSON",
}
_LOGGERS = ("celery.worker.consumer.consumer", "celery.worker.strategy", "kombu.transport.redis")


def harden(app: Celery) -> None:
    """Make the workers of `app` outlast what lies in their queues, what is away and what is asked of them from afar.
    Once a process."""
    app.conf.worker_consumer = f"{__name__}:{CarefulConsumer.__name__}"
    for scheme in ("redis", "rediss"):  # by its alias, so that URLs in logs stay what they are
        TRANSPORT_ALIASES[scheme] = f"{__name__}:{CarefulTransport.__name__}"
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_without_content)
    refuse_what_harms()


def end_within(seconds: float, exit_code: int = 0) -> None:
    """End this process after `seconds`, if it has not ended by then: Celery may wait for a broker for ever."""
    timer = threading.Timer(seconds, os._exit, (exit_code,))
    timer.daemon = True
    timer.start()


def _without_content(record: logging.LogRecord) -> bool:
    """A filter that changes records: those that quote a message become a sentence about it."""
    reason = SAID_INSTEAD.get(str(record.msg))
    if reason is not None:
        record.msg, record.args, record.exc_info, record.exc_text = DROPPED, (reason,), None, None
    return True


class CarefulConsumer(Consumer):  # type: ignore[misc]
    """Rejects a message that breaks its reading, and looks often for a broker that is away."""

    def ensure_connected(self, conn: Any) -> Any:
        conn.ensure_connection = functools.partial(conn.ensure_connection, **RECONNECT)
        return super().ensure_connected(conn)

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], None]:
        handle = super().create_task_handler(*args, **kwargs)

        def handle_or_drop(message: Any) -> None:
            try:
                handle(message)
            except (TypeError, ValueError, LookupError, AttributeError) as error:
                log.error(DROPPED, f"it cannot be read ({type(error).__name__})")
                message.reject_log_error(celery_consumer.logger, self.connection_errors)

        return handle_or_drop


class _QoS(kombu_redis.QoS):
    def restore_visible(self, start: int = 0, num: int = 10, interval: int = 1) -> None:
        """Deliver again what a process took and did not acknowledge; kombu looks only every hundred seconds."""
        super().restore_visible(start, num, interval=1)  # type: ignore[no-untyped-call]


class _CarefulChannel(kombu_redis.Channel):
    QoS = _QoS

    def _brpop_read(self, **options: Any) -> Any:
        """Read what BRPOP answers; an entry of the list that is no envelope of a message is dropped."""
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]
        except (Empty, RedisError, OSError):
            raise
        except (TypeError, ValueError, LookupError, AttributeError) as error:
            log.error(DROPPED, f"it has no envelope ({type(error).__name__})")
            return True

    def _connparams(self, *args: Any, **kwargs: Any) -> Any:
        """Raises a connection error where the connection has been given up: what was taken over it and not
        acknowledged cannot be put back over it, and is delivered again. Celery lets such errors pass while it closes
        a lost connection; kombu's own, an AttributeError, would end the worker."""
        if self.connection.client is None:
            raise RedisConnectionError("the connection that this message came by is lost")
        return super()._connparams(*args, **kwargs)  # type: ignore[no-untyped-call]


class CarefulTransport(kombu_redis.Transport):
    """kombu's transport for Redis, over channels that survive what is no message."""

    Channel = _CarefulChannel
