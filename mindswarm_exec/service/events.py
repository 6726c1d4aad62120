"""EventService: one listener a process, any number of subscriptions, and the record.

A subscription reads the stream from its cursor and then goes over to live events with no gap and no double.
A reader that falls behind loses its own buffer, is told so, and costs the others nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from mindswarm_exec.errors import LedgerUnavailable
from mindswarm_exec.ledger.event_log import START, Attached, EventLog, StoredEvent
from mindswarm_exec.models.events import EventFilter, EventPage, Gap, position
from mindswarm_exec.models.records import Event
from mindswarm_exec.service.cancellation import cancel_and_wait

if TYPE_CHECKING:
    from mindswarm_exec.settings import Settings

log = logging.getLogger(__name__)
T = TypeVar("T")

#: Events read from the stream at once.
PAGE = 500
#: Events looked at to fill one page of history: bounds the work of one call whose filter matches little.
MOST_SCANNED = 10_000
#: Bounds of what a subscription holds for its reader. Events are shared, so many readers hold them once.
MOST_BUFFERED, MOST_BUFFERED_BYTES = 1_000, 8 << 20
#: Between attempts to go on with a replay while the ledger is away.
RETRY_SECONDS = 0.5


@dataclass(frozen=True)
class Delivery:
    """An event for a reader, with the names of the filters that it matched."""

    stored: StoredEvent
    names: tuple[str, ...]


class Subscription:
    """What one reader hears. Iterate it (once), and close it.

    `filters` may change while it is read: by name, and an event that matches several comes once with all
    their names. `scope` bounds them all to some projects; None means no bound.
    """

    def __init__(
        self,
        service: EventService,
        filters: Mapping[str, EventFilter],
        scope: frozenset[str] | None,
        cursor: str | None,
    ) -> None:
        self.filters = dict(filters)
        self._service = service
        self._scope = scope
        self._cursor = cursor
        self._taken = cursor or service.newest_id
        #: by filter: the place up to which its events have come from the stream already
        self._replayed_to: dict[str, tuple[int, int]] = {}
        self._is_live = cursor is None
        self._buffer: deque[Delivery | Gap] = deque()
        self._buffered_bytes = 0
        self._arrival = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[Event | Gap]:
        async for item in self.deliveries():
            yield item if isinstance(item, Gap) else item.stored.event

    async def deliveries(self) -> AsyncIterator[Delivery | Gap]:
        """Everything from the cursor on, without end, until closed."""
        async for item in self.catch_up():
            yield item
        while True:
            while self._buffer:
                yield self._take()
            self._arrival.clear()
            await self._arrival.wait()

    async def catch_up(self) -> AsyncIterator[Delivery | Gap]:
        """What the stream holds after the cursor, up to the present. Live events follow without a gap.

        When this ends, nothing is buffered and no event has been heard that was not yielded.
        """
        if self._cursor is None:
            return
        cursor = self._cursor
        if gap := await _patiently(lambda: self._service.gap_at(cursor)):
            self._cursor = gap.resume_from
            yield gap
        page_is_full = True
        while page_is_full:
            self._keep_live(True)  # before reading: what comes after the read is then in the buffer
            page = await self._next_page(self._cursor)
            page_is_full = len(page) == PAGE
            if page_is_full:
                self._keep_live(False)  # more pages follow, and what is heard meanwhile is in them
            elif page:
                self._ignore_up_to(page[-1].position)
            for stored in page:
                self._cursor = stored.event_id
                if delivery := self._delivery(stored):
                    self._taken = stored.event_id
                    yield delivery
        while self._buffer:
            yield self._take()

    async def _next_page(self, cursor: str) -> list[StoredEvent]:
        return await _patiently(lambda: self._service.log.read(cursor, PAGE))

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
        """Hear no more. Idempotent."""
        self._service.forget(self)

    def _take(self) -> Delivery | Gap:
        item = self._buffer.popleft()
        self._buffered_bytes -= _size(item)
        if isinstance(item, Delivery):
            self._taken = item.stored.event_id
        return item

    def _keep_live(self, keep: bool) -> None:
        self._is_live = keep
        self._buffer = deque(item for item in self._buffer if isinstance(item, Gap))
        self._buffered_bytes = 0

    def _ignore_up_to(self, place: tuple[int, int]) -> None:
        """What the last page held is heard a second time: it may be buffered already, or come yet."""
        self._replayed_to = dict.fromkeys(self.filters, place)
        self._buffer = deque(item for item in self._buffer if isinstance(item, Gap) or item.stored.position > place)

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


class EventService:
    """Subscriptions to what happens, and the record of what happened."""

    def __init__(self, log: EventLog, settings: Settings) -> None:
        self.log = log
        self.newest_id = START
        self._patience_seconds = settings.ledger_timeout_seconds
        self._subscriptions: set[Subscription] = set()
        self._listener: asyncio.Task[None] | None = None
        self._attached = asyncio.Event()

    async def start(self) -> None:
        """Begin to listen. Idempotent. A ledger that is away is waited for in the background."""
        if self._listener is None:
            self._listener = asyncio.create_task(self._listen(), name="events listener")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._attached.wait(), self._patience_seconds)

    async def stop(self) -> None:
        """Stop listening. Idempotent."""
        listener, self._listener = self._listener, None
        self._attached.clear()
        if listener is not None:
            await cancel_and_wait(listener)

    def subscribe(
        self,
        wanted: EventFilter | Mapping[str, EventFilter],
        from_event_id: str | None = None,
        *,
        scope: frozenset[str] | None = None,
    ) -> Subscription:
        """Hear events from now on, or from `from_event_id` (exclusive; "0" for the oldest).

        A cursor that the stream has left behind is answered by a `Gap` first.
        """
        filters = {"": wanted} if isinstance(wanted, EventFilter) else wanted
        subscription = Subscription(self, filters, scope, from_event_id)
        self._subscriptions.add(subscription)
        return subscription

    async def get_history(
        self,
        wanted: EventFilter,
        limit: int = 100,
        cursor: str | None = None,
        *,
        newest_first: bool = False,
        scope: frozenset[str] | None = None,
    ) -> EventPage:
        """A page of the stream after `cursor` (before it, if `newest_first`). See `EventPage` on short pages."""
        found: list[Event] = []
        for _ in range(MOST_SCANNED // PAGE):
            page = await self._page(cursor, newest_first)
            for stored in page:
                cursor = stored.event_id
                if (scope is None or stored.project_id in scope) and matches(wanted, stored):
                    found.append(stored.event)
                    if len(found) == limit:
                        return EventPage(events=tuple(found), next_cursor=cursor)
            if len(page) < PAGE:
                return EventPage(events=tuple(found), next_cursor=None)
        return EventPage(events=tuple(found), next_cursor=cursor)

    async def gap_at(self, cursor: str) -> Gap | None:
        """What is missing between `cursor` and the stream as it is, if anything."""
        extent = await self.log.extent()
        if position(cursor) > position(extent.newest_id):
            return Gap(reason="reset", resume_from=START)
        oldest_cursor = _just_before(extent.oldest_id)
        if extent.is_trimmed and position(cursor) < position(oldest_cursor):
            return Gap(reason="trimmed", resume_from=oldest_cursor)
        return None

    async def reaches_ledger(self, within_seconds: float) -> bool:
        """Whether the ledger answers in time."""
        try:
            await asyncio.wait_for(self.log.newest_id(), within_seconds)
        except (TimeoutError, LedgerUnavailable):
            return False
        return True

    def forget(self, subscription: Subscription) -> None:
        self._subscriptions.discard(subscription)

    async def _page(self, cursor: str | None, newest_first: bool) -> list[StoredEvent]:
        if newest_first:
            return await self.log.read_newest(PAGE, before=cursor)
        return await self.log.read(cursor or START, PAGE)

    async def _listen(self) -> None:
        while True:
            try:
                async for item in self.log.listen():
                    self._hear(item)
            except Exception:  # a defect must not leave every reader waiting for ever
                log.exception("listening for events failed", extra={"action": "events_failed"})
                await asyncio.sleep(1)

    def _hear(self, item: StoredEvent | Attached) -> None:
        last_heard, self.newest_id = self.newest_id, item.event_id
        if isinstance(item, StoredEvent):
            for subscription in self._subscriptions:
                subscription.offer(item)
            return
        if self._attached.is_set():  # not the first time: something may have been missed since
            gap = Gap(reason="reset", resume_from=START)
            if not item.is_new_stream:
                gap = Gap(reason="slow", resume_from=last_heard)
            for subscription in self._subscriptions:
                subscription.drop(gap)
        self._attached.set()


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


def _just_before(event_id: str) -> str:
    milliseconds, count = position(event_id)
    if not milliseconds:
        return START
    return f"{milliseconds}-{count - 1}" if count else f"{milliseconds - 1}-{2**64 - 1}"
