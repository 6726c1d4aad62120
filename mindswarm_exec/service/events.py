"""EventService: one listener a process, any number of subscriptions, and the record.

A subscription reads the stream from its cursor and then goes over to live events with no gap and no double.
A reader that falls behind loses its own buffer, is told so, and costs the others nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from mindswarm_exec.errors import LedgerUnavailable
from mindswarm_exec.ledger.event_log import START, Attached, EventLog, StoredEvent
from mindswarm_exec.ledger.quiet import NOWHERE, Quiet, event_id_at, just_before
from mindswarm_exec.models.events import EventFilter, EventPage, Gap, position
from mindswarm_exec.models.records import Event
from mindswarm_exec.service.cancellation import cancel_and_wait
from mindswarm_exec.service.subscription import Subscription, matches

if TYPE_CHECKING:
    from mindswarm_exec.settings import Settings

log = logging.getLogger(__name__)

#: Events read from the stream at once.
PAGE = 500
#: Events looked at to fill one page of history: bounds the work of one call whose filter matches little.
MOST_SCANNED = 10_000
#: Executions whose records are looked at for where their events are; who asks for more has the stream read through.
MOST_LOOKED_UP = 100


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
        quiet = NOWHERE if newest_first else await self.quiet_of([wanted])
        for _ in range(MOST_SCANNED // PAGE):
            page = await self._page(cursor if newest_first else quiet.skip(cursor or START), newest_first)
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
        oldest_cursor = event_id_at(just_before(position(extent.oldest_id)))
        if extent.is_trimmed and position(cursor) < position(oldest_cursor):
            return Gap(reason="trimmed", resume_from=oldest_cursor)
        return None

    async def quiet_of(self, filters: Iterable[EventFilter]) -> Quiet:
        """Where in the stream nothing can match: known of filters that name few executions."""
        wanted: set[str] = set()
        for each in filters:
            wanted |= each.execution_ids
            if not each.execution_ids or len(wanted) > MOST_LOOKED_UP:
                return NOWHERE
        return await self.log.quiet_of(sorted(wanted)) if wanted else NOWHERE

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
