"""Waiting for results over WebSocket, as scripts: for one execution, or for any number over one connection.

Subscribe first, look then: an end that comes after the subscription is told, and one that came before is found. So a
connection that is made anew needs no cursor, and no end is missed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from mindswarm_exec.client import verbs
from mindswarm_exec.client.calling import Dropped, Refused, Script
from mindswarm_exec.client.session import PATIENCE_SECONDS, RECHECK_SECONDS, Notification, Session
from mindswarm_exec.client.wire import Address
from mindswarm_exec.errors import ExecutionNotCompleted, MindSwarmError, ResultNotReady
from mindswarm_exec.lifecycle import COMPLETED, MOVES
from mindswarm_exec.models.records import Execution

ENDINGS = frozenset(move.event for move in MOVES if move.target.is_terminal)

#: Executions that one subscription may name.
MOST_NAMED = 1000
#: Calls that are under way at once.
WINDOW = 50
#: Subscriptions of one connection, before they are made anew for whoever still waits. The API allows 100.
MOST_SUBSCRIPTIONS = 50

#: An execution that has ended, or what the API says instead.
Ending = Execution | MindSwarmError


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
                raise not_ready(execution_id, timeout) from None
            yield from session.recover(error, PATIENCE_SECONDS)
        else:
            if execution is None:
                raise not_ready(execution_id, timeout)
            return result_in(execution)


def _ended(session: Session, execution_id: str, deadline: float) -> Script[Execution | None]:
    """The execution once it has ended; None at the deadline."""
    yield from session.connect()
    subscription_id = yield from session.call(_ends_of([execution_id]))
    while True:
        execution = yield from session.call(verbs.get(execution_id))
        remaining = deadline - time.monotonic()
        if execution.status.is_terminal or remaining <= 0:
            yield from session.call(verbs.unsubscribe(subscription_id))
            return execution if execution.status.is_terminal else None
        yield from session.notification(min(RECHECK_SECONDS, remaining))


class EndWatch:
    """The ends of all executions that are waited for, over one connection.

    `waited_for` names them at any time, and may change at any time; `tell` is told of each, once it has ended.
    `run` is a script that ends when nobody waits. It goes on at once where its wait for news is cut short.
    """

    def __init__(
        self, address: Address, waited_for: Callable[[], Iterable[str]], tell: Callable[[str, Ending], None]
    ) -> None:
        self._session = Session(address)
        self._waited_for = waited_for
        self._tell = tell
        #: by subscription: the executions that it names
        self._watched: dict[str, frozenset[str]] = {}
        #: executions that were looked at since they are watched: of what they do now there is news
        self._seen: set[str] = set()
        self._look_again_at = 0.0

    def run(self) -> Script[None]:
        """Raises ApiUnavailable if the API stayed away for PATIENCE_SECONDS, or what it refuses a connection with."""
        while set(self._waited_for()):
            try:
                yield from self._session.connect()
                self._watched.clear()
                self._seen.clear()
                self._look_again_at = time.monotonic() + RECHECK_SECONDS
                while waiting := set(self._waited_for()):
                    yield from self._attend(waiting)
                yield from self._unsubscribe(list(self._watched))
            except (Refused, Dropped) as error:
                yield from self._session.recover(error, PATIENCE_SECONDS)

    def _attend(self, waiting: set[str]) -> Script[None]:
        """One round: a look at who is new; else what there is to tidy; else the wait for news. Nothing stands before
        that wait, so that whoever comes meanwhile cuts it short."""
        self._seen &= waiting
        if new := waiting - self._seen:
            yield from self._subscribe(new - self._names())
            self._seen |= new
            yield from self._look(new)
        elif idle := [each for each, names in self._watched.items() if not names & waiting]:
            yield from self._unsubscribe(idle)
        elif len(self._watched) > MOST_SUBSCRIPTIONS and len(waiting) <= MOST_NAMED * MOST_SUBSCRIPTIONS // 2:
            yield from self._gather(waiting)
        else:
            yield from self._listen(waiting)

    def _listen(self, waiting: set[str]) -> Script[None]:
        news = yield from self._session.news(max(0.0, self._look_again_at - time.monotonic()))
        if time.monotonic() >= self._look_again_at or any(_is_gap(each) for each in news):
            self._look_again_at = time.monotonic() + RECHECK_SECONDS
            yield from self._look(waiting)
        elif news:
            yield from self._look({_execution_in(each) for each in news} & waiting)

    def _names(self) -> set[str]:
        return set().union(*self._watched.values())

    def _subscribe(self, executions: set[str]) -> Script[None]:
        for named in _portions(executions, MOST_NAMED):
            subscription_id = yield from self._session.call(_ends_of(named))
            self._watched[subscription_id] = frozenset(named)

    def _gather(self, waiting: set[str]) -> Script[None]:
        """A few subscriptions in place of many; the old ones end when the new ones stand, so nothing is missed."""
        old = list(self._watched)
        yield from self._subscribe(waiting)
        yield from self._unsubscribe(old)

    def _unsubscribe(self, subscription_ids: Sequence[str]) -> Script[None]:
        for subscription_id in subscription_ids:
            del self._watched[subscription_id]
        for portion in _portions(subscription_ids, WINDOW):
            yield from self._session.call_all([verbs.unsubscribe(each) for each in portion])

    def _look(self, executions: set[str]) -> Script[None]:
        for portion in _portions(executions, WINDOW):
            answers = yield from self._session.call_all([verbs.get(each) for each in portion])
            for execution_id, found in zip(portion, answers, strict=True):
                if isinstance(found, MindSwarmError) or found.status.is_terminal:
                    self._seen.discard(execution_id)
                    self._tell(execution_id, found)


def result_in(execution: Execution) -> Any:
    """The result of an execution that has ended. Raises ExecutionNotCompleted."""
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


def not_ready(execution_id: str, timeout: float | None) -> ResultNotReady:
    return ResultNotReady(
        f"execution {execution_id} has not ended within {timeout:g} s; it goes on. Wait again with the same handle.",
        execution_id=execution_id,
    )


def _ends_of(execution_ids: Sequence[str]) -> Any:
    return verbs.subscribe(execution_ids=list(execution_ids), event_types=sorted(ENDINGS))


def _is_gap(notification: Notification) -> bool:
    return bool(notification["method"] == "mindswarm.gap")


def _execution_in(notification: Notification) -> str:
    return str(notification["params"]["context"]["execution_id"])


def _portions(items: Iterable[str], size: int) -> Iterator[list[str]]:
    rest = iter(items)
    while portion := list(islice(rest, size)):
        yield portion
