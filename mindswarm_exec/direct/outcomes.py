"""How executions come out, for whoever waits: by a notice on a channel, by the record where the notice is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

from redis import exceptions

from mindswarm_exec.ledger import reads
from mindswarm_exec.ledger.faces import SyncLedger, translated_errors

FIELDS = ("status", "result", "error")

#: A waiter looks at the record itself this often, should the notice of the end have been lost.
RECHECK_SECONDS = 2.0


class Outcomes:
    """Waits for the ends of executions. Safe between threads: each waiter has a listener, kept for the next one."""

    def __init__(self, ledger: SyncLedger) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()
        self._listeners: list[Any] = []

    def close(self) -> None:
        """Let go of the listeners."""
        for listener in self._listeners:
            listener.close()

    def of(self, execution_id: str, deadline: float | None) -> Iterator[Mapping[str, str]]:
        """What the record says of the outcome: now, at the notice of its end, and now and then between.

        Ends at `deadline` (monotonic seconds).
        """
        listener = self._listener()
        channel = self._ledger.keys.of("ended", execution_id)
        try:
            with translated_errors():
                listener.subscribe(channel)
            while True:
                yield self._ledger.run(reads.fields(execution_id, FIELDS))
                remaining = RECHECK_SECONDS if deadline is None else min(RECHECK_SECONDS, deadline - time.monotonic())
                if remaining <= 0:
                    return
                notice = _notice(listener, channel, remaining)
                if notice is not None:
                    yield notice
        finally:
            self._give_back(listener, channel)

    def _listener(self) -> Any:
        with self._lock:
            if self._listeners:
                return self._listeners.pop()
        return self._ledger.client.pubsub(ignore_subscribe_messages=True)

    def _give_back(self, listener: Any, channel: str) -> None:
        try:
            listener.unsubscribe(channel)
        except exceptions.RedisError:
            listener.close()
            return
        with self._lock:
            self._listeners.append(listener)


def _notice(listener: Any, channel: str, seconds: float) -> Mapping[str, str] | None:
    """The outcome as announced at the end of the execution; None after `seconds` without one."""
    deadline = time.monotonic() + seconds
    with translated_errors():
        while (remaining := deadline - time.monotonic()) > 0:
            message = listener.get_message(timeout=remaining)
            if message is not None and message["channel"] == channel:
                status, _, result = message["data"].partition(" ")
                return {"status": status, "result": result} if result else None
    return None
