"""Following events over WebSocket, as scripts: through lost connections, gaps and restarts of the API."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from mindswarm_exec.client import verbs
from mindswarm_exec.client.calling import Connect, Dropped, Receive, Refused, Script, Send, Sleep
from mindswarm_exec.client.wire import Address, Call, encode, outcome, parse
from mindswarm_exec.errors import ExecutionNotCompleted, ResultNotReady
from mindswarm_exec.lifecycle import COMPLETED, MOVES
from mindswarm_exec.models.events import Gap, position
from mindswarm_exec.models.records import Event, Execution

log = logging.getLogger(__name__)
T = TypeVar("T")

ENDINGS = frozenset(move.event for move in MOVES if move.target.is_terminal)

#: The record itself is looked at this often, should the news of an end have been lost.
RECHECK_SECONDS = 5.0
#: An API that is away for longer is given up.
PATIENCE_SECONDS = 60.0
#: An answer that takes longer is taken for a broken connection.
ANSWER_SECONDS = 30.0
#: Waits between attempts to connect.
_BACKOFF_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0)
#: A replay may be silent for a while; after this many silent checks an ended execution has no more to tell.
_MOST_SILENT_CHECKS = 3


class Session:
    """One WebSocket conversation: calls, the notifications between them, and connecting again."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._notifications: deque[dict[str, Any]] = deque()
        self._failures = 0
        self._failing_since = 0.0

    def call(self, call: Call[T]) -> Script[T]:
        """Make one call over the WebSocket. Raises Dropped, or what the server raised."""
        request_id, text = encode(call)
        yield Send(text)
        deadline = time.monotonic() + ANSWER_SECONDS
        while (remaining := deadline - time.monotonic()) > 0:
            message = yield from self._message(remaining)
            if message.get("id") == request_id:
                self._failures = 0
                return call.read(outcome(message))
            if "method" in message:
                self._notifications.append(message)
        raise Dropped("no answer in time")

    def notification(self, seconds: float) -> Script[dict[str, Any] | None]:
        """The next notification, or None after `seconds`."""
        deadline = time.monotonic() + seconds
        while not self._notifications:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return None
            message = yield from self._message(remaining)
            if "method" in message:
                self._notifications.append(message)
        return self._notifications.popleft()

    def connect(self) -> Script[None]:
        """Have a connection with nothing of an earlier one left over."""
        self._notifications.clear()
        yield Connect()

    def recover(self, cause: Exception, patience_seconds: float) -> Script[None]:
        """Wait before connecting again. Raises ApiUnavailable once patience has run out."""
        now = time.monotonic()
        if self._failures == 0:
            self._failing_since = now
        if now - self._failing_since >= patience_seconds:
            raise self._address.unavailable(str(cause)) from None
        yield Sleep(_BACKOFF_SECONDS[min(self._failures, len(_BACKOFF_SECONDS) - 1)])
        self._failures += 1

    def _message(self, seconds: float) -> Script[dict[str, Any]]:
        text = yield Receive(seconds)
        message = {} if text is None else parse(text)
        return message if isinstance(message, dict) else {}


def result_of(execution_id: str, timeout: float | None, address: Address) -> Script[Any]:
    """Wait until an execution has ended and return its result.

    Raises:
        ExecutionNotCompleted: it ended without one.
        ResultNotReady: it has not ended within `timeout` seconds.
        ApiUnavailable: the API stayed away for PATIENCE_SECONDS.
    """
    session = Session(address)
    deadline = time.monotonic() + (float("inf") if timeout is None else timeout)
    while True:
        try:
            execution = yield from _ended(session, execution_id, deadline)
        except (Refused, Dropped) as error:
            if time.monotonic() >= deadline:
                raise _not_ready(execution_id, timeout) from None
            yield from session.recover(error, PATIENCE_SECONDS)
        else:
            if execution is None:
                raise _not_ready(execution_id, timeout)
            return _result(execution)


def _ended(session: Session, execution_id: str, deadline: float) -> Script[Execution | None]:
    """The execution once it has ended; None at the deadline."""
    yield from session.connect()
    wanted = verbs.subscribe(execution_ids=[execution_id], event_types=sorted(ENDINGS))
    subscription_id = yield from session.call(wanted)
    while True:
        execution = yield from session.call(verbs.get(execution_id))
        remaining = deadline - time.monotonic()
        if execution.status.is_terminal or remaining <= 0:
            yield from session.call(verbs.unsubscribe(subscription_id))
            return execution if execution.status.is_terminal else None
        yield from session.notification(min(RECHECK_SECONDS, remaining))


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


def _result(execution: Execution) -> Any:
    if execution.status is COMPLETED:
        return execution.result
    failure = execution.error
    told = (failure.type, failure.message or failure.kind) if failure else ("no reason is recorded",)
    raise ExecutionNotCompleted(
        f"execution {execution.execution_id} ended as {execution.status.value}: {': '.join(filter(None, told))}",
        execution_id=execution.execution_id,
        status=execution.status.value,
        error=failure.model_dump(mode="json") if failure else None,
    )


def _not_ready(execution_id: str, timeout: float | None) -> ResultNotReady:
    return ResultNotReady(
        f"execution {execution_id} has not ended within {timeout:g} s; it goes on. Wait again with the same handle.",
        execution_id=execution_id,
    )
