"""One reader's events: from the stream first, then live, with no gap and no double; bounded if it falls behind."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from mindswarm_exec.errors import LedgerUnavailable
from mindswarm_exec.ledger.event_log import EventLog, StoredEvent
from mindswarm_exec.ledger.quiet import Quiet
from mindswarm_exec.models.events import EventFilter, Gap, position
from mindswarm_exec.models.records import Event

T = TypeVar("T")

#: Events read from the stream at once.
PAGE = 500
#: Bounds of what a subscription holds for its reader. Events are shared, so many readers hold them once.
MOST_BUFFERED, MOST_BUFFERED_BYTES = 1_000, 8 << 20
#: Between attempts to go on with a replay while the ledger is away.
RETRY_SECONDS = 0.5


@dataclass(frozen=True)
class Delivery:
    """An event for a reader, with the names of the filters that it matched."""

    stored: StoredEvent
    names: tuple[str, ...]


class Source(Protocol):
    """Where a subscription reads, and is told when it is closed."""

    log: EventLog
    newest_id: str

    async def quiet_of(self, filters: Iterable[EventFilter]) -> Quiet: ...
    async def gap_at(self, cursor: str) -> Gap | None: ...
    def forget(self, subscription: Subscription) -> None: ...


class Subscription:
    """What one reader hears. Iterate it (once), and close it.

    `filters` may change while it is read: by name, and an event that matches several comes once with all
    their names. `scope` bounds them all to some projects; None means no bound.
    """

    def __init__(
        self,
        source: Source,
        filters: Mapping[str, EventFilter],
        scope: frozenset[str] | None,
        cursor: str | None,
    ) -> None:
        self.filters = dict(filters)
        self._source = source
        self._scope = scope
        self._cursor = cursor
        self._taken = cursor or source.newest_id
        #: by filter: the place up to which its events have come from the stream already
        self._replayed_to: dict[str, tuple[int, int]] = {}
        self._is_live = cursor is None
        self._is_closed = False
        self._buffer: deque[Delivery | Gap] = deque()
        self._buffered_bytes = 0
        self._arrival = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[Event | Gap]:
        async for item in self.deliveries():
            yield item if isinstance(item, Gap) else item.stored.event

    async def deliveries(self) -> AsyncIterator[Delivery | Gap]:
        """Everything from the cursor on, until closed."""
        async for item in self.catch_up():
            yield item
        async for item in self.live():
            yield item

    async def live(self) -> AsyncIterator[Delivery | Gap]:
        """What is heard from now on, until closed; where it had a cursor, after `catch_up`."""
        while not self._is_closed:
            self._arrival.clear()  # before what has arrived is handed out: what comes meanwhile ends the wait at once
            while self._buffer and not self._is_closed:
                yield self._take()
            await self._arrival.wait()

    async def catch_up(self) -> AsyncIterator[Delivery | Gap]:
        """What the stream holds after the cursor, up to the present. Live events follow without a gap.

        When this ends, nothing is buffered and no event has been heard that was not yielded.
        """
        if self._cursor is None:
            return
        quiet = await _patiently(lambda: self._source.quiet_of(self.filters.values()))
        cursor = quiet.skip(self._cursor)
        if gap := await _patiently(lambda: self._source.gap_at(cursor)):
            self._cursor = gap.resume_from
            yield gap
        page_is_full = True
        while page_is_full:
            self._cursor = quiet.skip(self._cursor)
            self._keep_live(True)  # before reading: what comes after the read is then in the buffer
            page = await self._next_page(self._cursor)
            page_is_full = len(page) == PAGE
            if page_is_full:
                self._keep_live(False)  # more pages follow, and what is heard meanwhile is in them
            else:
                self._ignore_up_to(page[-1].position if page else position(self._cursor))
            for stored in page:
                self._cursor = stored.event_id
                if delivery := self._delivery(stored):
                    self._taken = stored.event_id
                    yield delivery
        while self._buffer:
            yield self._take()

    async def _next_page(self, cursor: str) -> list[StoredEvent]:
        return await _patiently(lambda: self._source.log.read(cursor, PAGE))

    def adopt(self, other: Subscription) -> None:
        """Go on with the filters of `other`, where its `catch_up` ended, and close it."""
        self.filters.update(other.filters)
        self._replayed_to.update(other._replayed_to)
        other.close()

    def offer(self, stored: StoredEvent) -> None:
        """Hear one event. Never waits."""
        delivery = self._delivery(stored) if self._is_live else None
        if delivery is None or not (delivery := self._without_replayed(delivery)):
            return
        too_many = len(self._buffer) >= MOST_BUFFERED
        if too_many or self._buffered_bytes + _size(delivery) > MOST_BUFFERED_BYTES:
            self.drop(Gap(reason="slow", resume_from=self._taken))
        self._buffer.append(delivery)
        self._buffered_bytes += _size(delivery)
        self._arrival.set()

    def drop(self, gap: Gap) -> None:
        """Forget what is buffered; the reader finds the gap in its place."""
        self._buffer.clear()
        self._buffered_bytes = 0
        self._buffer.append(gap)
        if gap.reason == "reset":
            self._replayed_to.clear()
        self._arrival.set()

    def close(self) -> None:
        """Hear no more; whoever iterates comes to the end. Idempotent."""
        self._is_closed = True
        self._source.forget(self)
        self._arrival.set()

    def _take(self) -> Delivery | Gap:
        item = self._buffer.popleft()
        self._buffered_bytes -= _size(item)
        if isinstance(item, Delivery):
            self._taken = item.stored.event_id
        return item

    def _keep_live(self, keep: bool) -> None:
        self._is_live = keep
        self._keep(lambda _: False)

    def _ignore_up_to(self, place: tuple[int, int]) -> None:
        """What the stream gave is heard a second time: it may be buffered already, or come yet."""
        self._replayed_to = dict.fromkeys(self.filters, place)
        self._keep(lambda heard: heard.stored.position > place)

    def _keep(self, wanted: Callable[[Delivery], bool]) -> None:
        """Drop what is buffered and not wanted; gaps stay."""
        self._buffer = deque(item for item in self._buffer if isinstance(item, Gap) or wanted(item))
        self._buffered_bytes = sum(map(_size, self._buffer))

    def _without_replayed(self, delivery: Delivery) -> Delivery | None:
        if not self._replayed_to:
            return delivery
        place = delivery.stored.position
        names = tuple(name for name in delivery.names if place > self._replayed_to.get(name, (0, 0)))
        return Delivery(delivery.stored, names) if names else None

    def _delivery(self, stored: StoredEvent) -> Delivery | None:
        if self._scope is not None and stored.project_id not in self._scope:
            return None
        names = tuple(name for name, wanted in self.filters.items() if matches(wanted, stored))
        return Delivery(stored, names) if names else None


async def _patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """The answer of the ledger, however long it is away: a reader's place in the stream can wait."""
    while True:
        try:
            return await ask()
        except LedgerUnavailable:
            await asyncio.sleep(RETRY_SECONDS)


def _size(item: Delivery | Gap) -> int:
    return len(item.stored.data) if isinstance(item, Delivery) else 0


def matches(wanted: EventFilter, stored: StoredEvent) -> bool:
    return wanted.matches(stored.event_type, stored.project_id, stored.task_id, stored.execution_id, stored.agent_id)
