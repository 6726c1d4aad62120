"""The events of one execution, from the first that the stream keeps to the one that ends it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from mindswarm_exec.models.events import EventFilter, Gap
from mindswarm_exec.models.records import Event
from mindswarm_exec.service import Services
from mindswarm_exec.service.subscription import Delivery
from mindswarm_exec.service.waited import ENDINGS

OLDEST = "0"


async def whole_life(on: Services, execution_id: str) -> AsyncIterator[Event]:
    """Its events, each once, through retries, up to its end. That may be one that the stream keeps no more."""
    earlier_end = await _end_of(on, execution_id)
    await on.events.start()
    subscription = on.events.subscribe(EventFilter(execution_ids=frozenset({execution_id})), OLDEST)
    try:
        async for event in _events_of(subscription.catch_up()):
            yield event
            if await _is_the_end(on, execution_id, event):
                return
        if earlier_end is not None and earlier_end == await _end_of(on, execution_id):
            return
        async for event in _events_of(subscription.live()):
            yield event
            if await _is_the_end(on, execution_id, event):
                return
    finally:
        subscription.close()


async def _events_of(deliveries: AsyncIterator[Delivery | Gap]) -> AsyncIterator[Event]:
    async for item in deliveries:
        if isinstance(item, Delivery):
            yield item.stored.event


async def _is_the_end(on: Services, execution_id: str, event: Event) -> bool:
    """Whether it ended its execution for good: not before a retry."""
    return event.event_type in ENDINGS and event.event_id == await _end_of(on, execution_id)


async def _end_of(on: Services, execution_id: str) -> str | None:
    """The event that ended it, or None: it has not ended, or was brought back."""
    last = (await on.executions.get_history(execution_id)).entries[-1]
    return last.event_id if last.event_type in ENDINGS else None
