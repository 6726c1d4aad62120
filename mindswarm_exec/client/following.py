"""Following events over WebSocket, as scripts: through lost connections, gaps and restarts of the API."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from mindswarm_exec.client import verbs
from mindswarm_exec.client.calling import Dropped, Refused, Script
from mindswarm_exec.client.ends import ENDINGS
from mindswarm_exec.client.session import PATIENCE_SECONDS, RECHECK_SECONDS, Session
from mindswarm_exec.client.wire import Address, Call
from mindswarm_exec.models.events import Gap, position
from mindswarm_exec.models.records import Event, Execution

log = logging.getLogger(__name__)
T = TypeVar("T")

#: A replay may be silent for a while; after this many silent checks an ended execution has no more to tell.
_MOST_SILENT_CHECKS = 3


class Follower:
    """Events that match, each once, in order, from a cursor on; the cursor moves along.

    `next` is a script for the next event. It connects again by itself and reads on from the cursor; only what
    the stream no longer has is lost, and told to `on_gap`.
    """

    def __init__(
        self, address: Address, filter_: Mapping[str, Any], cursor: str | None, on_gap: Callable[[Gap], None] | None
    ) -> None:
        self._session = Session(address)
        self._filter = filter_
        self._cursor = cursor
        self._on_gap = on_gap
        self._subscription_id: str | None = None
        #: without a connection at the start there is nobody to be patient with
        self._patience_seconds = 0.0

    def next(self, seconds: float | None = None) -> Script[Event | None]:
        """The next event; None if none came within `seconds`."""
        while True:
            try:
                if self._subscription_id is None:
                    yield from self._subscribe()
                message = yield from self._session.notification(RECHECK_SECONDS if seconds is None else seconds)
                event = (yield from self._read(message)) if message else None
            except (Refused, Dropped) as error:
                self._subscription_id = None
                yield from self._session.recover(error, self._patience_seconds)
                continue
            if event is not None or (message is None and seconds is not None):
                return event

    def call(self, call: Call[T]) -> Script[T | None]:
        """Ask something between events; None if the connection broke, which `next` repairs."""
        try:
            return (yield from self._session.call(call))
        except (Refused, Dropped):
            self._subscription_id = None
            return None

    def end(self) -> Script[None]:
        """End the subscription, so that the connection can serve another conversation."""
        if self._subscription_id is not None:
            yield from self.call(verbs.unsubscribe(self._subscription_id))

    def _subscribe(self) -> Script[None]:
        yield from self._session.connect()
        if self._cursor is None:  # begin at the present, and at a place that can be returned to
            page = yield from self._session.call(verbs.event_history(limit=1, newest_first=True))
            self._cursor = page.events[0].event_id if page.events else page.next_cursor or "0"
        wanted = verbs.subscribe(from_event_id=self._cursor, **self._filter)
        self._subscription_id = yield from self._session.call(wanted)
        self._patience_seconds = PATIENCE_SECONDS

    def _read(self, message: dict[str, Any]) -> Script[Event | None]:
        """The event in a notification, unless it is another's or was had before."""
        params = dict(message["params"])
        if self._subscription_id not in params.pop("subscription_ids"):
            return None
        if message["method"] == "mindswarm.gap":
            yield from self._pass(Gap.model_validate(params))
            return None
        event = Event.model_validate(params)
        if self._cursor is not None and position(event.event_id) <= position(self._cursor):
            return None
        self._cursor = event.event_id
        return event

    def _pass(self, gap: Gap) -> Script[None]:
        if gap.reason == "slow":  # nothing is lost: read it again
            assert self._subscription_id is not None
            ended, self._subscription_id = self._subscription_id, None
            yield from self._session.call(verbs.unsubscribe(ended))
            return
        self._cursor = gap.resume_from
        log.warning("events are missing", extra={"action": "events_missing", "reason": gap.reason})
        if self._on_gap is not None:
            self._on_gap(gap)


class ExecutionFollower:
    """The events of one execution, from the first that is kept to the one that ends it."""

    def __init__(self, address: Address, execution: Execution) -> None:
        # the cursor is a millisecond of the ledger's own clock: what came before cannot be the execution's
        begin = f"{int(execution.created_at.timestamp() * 1000) - 1}-0"
        self._execution_id = execution.execution_id
        self._follower = Follower(address, {"execution_ids": [self._execution_id]}, begin, None)
        self._silent_checks = 0
        self._is_over = False

    def next(self) -> Script[Event | None]:
        """The next event; None when there are no more."""
        while not self._is_over:
            event = yield from self._follower.next(RECHECK_SECONDS)
            if event is None:
                self._silent_checks += 1
                execution = yield from self._follower.call(verbs.get(self._execution_id))
                has_ended = execution is not None and execution.status.is_terminal
                self._is_over = has_ended and self._silent_checks >= _MOST_SILENT_CHECKS
                continue
            self._silent_checks = 0
            if event.event_type in ENDINGS:
                execution = yield from self._follower.call(verbs.get(self._execution_id))
                self._is_over = execution is not None and _is_the_end(event, execution)
            return event
        return None

    def end(self) -> Script[None]:
        yield from self._follower.end()


def _is_the_end(event: Event, execution: Execution) -> bool:
    """Whether `event` is the last move: not one from before a retry. Both instants are of the ledger's clock."""
    if execution.finished_at is None or not execution.status.is_terminal:
        return False
    return (execution.finished_at - event.timestamp).total_seconds() < 0.005
