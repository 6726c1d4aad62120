"""What cannot be understood in a queue is dropped, with a line in the log that quotes nothing of it.

Celery would log such a message whole; on Redis, one that is not even an envelope would end the worker.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from queue import Empty
from typing import Any
from urllib.parse import urlsplit

from celery import Celery
from celery.worker.consumer import Consumer
from celery.worker.consumer import consumer as celery_consumer
from kombu.transport import redis as kombu_redis
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

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


def drop_quietly(app: Celery) -> None:
    """Make the workers of `app` survive whatever lies in their queues, and keep it out of their logs."""
    app.conf.worker_consumer = f"{__name__}:{CarefulConsumer.__name__}"
    if urlsplit(app.conf.broker_url).scheme in ("redis", "rediss"):
        app.conf.broker_transport = f"{__name__}:{CarefulTransport.__name__}"
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_without_content)


def _without_content(record: logging.LogRecord) -> bool:
    """A filter that changes records: those that quote a message become a sentence about it."""
    reason = SAID_INSTEAD.get(str(record.msg))
    if reason is not None:
        record.msg, record.args, record.exc_info, record.exc_text = DROPPED, (reason,), None, None
    return True


class CarefulConsumer(Consumer):  # type: ignore[misc]
    """Celery's consumer; a message that breaks its reading is rejected instead of ending the worker."""

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], None]:
        handle = super().create_task_handler(*args, **kwargs)

        def handle_or_drop(message: Any) -> None:
            try:
                handle(message)
            except (TypeError, ValueError, LookupError, AttributeError) as error:
                log.error(DROPPED, f"it cannot be read ({type(error).__name__})")
                message.reject_log_error(celery_consumer.logger, self.connection_errors)

        return handle_or_drop


class _CarefulChannel(kombu_redis.Channel):
    def _brpop_read(self, **options: Any) -> Any:
        """Read what BRPOP answers; an entry of the list that is no envelope of a message is dropped."""
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]
        except (Empty, RedisError, OSError):
            raise
        except (TypeError, ValueError, LookupError, AttributeError) as error:
            log.error(DROPPED, f"it has no envelope ({type(error).__name__})")
            return True


class CarefulTransport(kombu_redis.Transport):
    """kombu's transport for Redis, over channels that survive what is no message."""

    Channel = _CarefulChannel
