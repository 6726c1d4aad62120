"""The events of one WebSocket connection, as JSON-RPC notifications.

`mindswarm.event` carries an Event and `subscription_ids`: those that it matched, empty while delivery is
automatic. A live event comes once, however many subscriptions it matches. A replayed one names only the
subscription that asked for the replay, and may repeat what another has already been given.
`mindswarm.gap` carries a Gap and the `subscription_ids` that it concerns.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from pydantic_core import to_json
from starlette.websockets import WebSocketDisconnect

from mindswarm_exec.errors import InvalidRequest, NotFound
from mindswarm_exec.models.events import EventFilter, EventSubscription, Gap
from mindswarm_exec.service.subscription import Delivery, Subscription

if TYPE_CHECKING:
    from mindswarm_exec.service.events import EventService

log = logging.getLogger(__name__)

#: Each costs a comparison for every event of the system.
MOST_SUBSCRIPTIONS = 100

#: The name of the filter that delivers everything until the first subscription.
_AUTOMATIC = ""


class EventFeed:
    """Sends what one connection is to hear. `run` it; what it holds for a slow reader is bounded."""

    def __init__(
        self,
        service: EventService,
        send: Callable[[str], Awaitable[None]],
        *,
        scope: frozenset[str] | None,
        is_automatic: bool,
    ) -> None:
        self._service = service
        self._send = send
        self._scope = scope
        self._filters: dict[str, EventFilter] = {}
        self._made = 0
        self._live = service.subscribe({_AUTOMATIC: EventFilter()} if is_automatic else {}, scope=scope)
        self._waiting_replays: dict[str, Subscription] = {}
        self._replays: dict[str, asyncio.Task[None]] = {}

    @property
    def subscriptions(self) -> tuple[EventSubscription, ...]:
        return tuple(_described(name, wanted) for name, wanted in self._filters.items())

    async def run(self) -> None:
        """Send live events, without end."""
        async for item in self._live.deliveries():
            concerned = tuple(self._live.filters) if isinstance(item, Gap) else item.names
            await self._send(_notification(item, concerned))

    def subscribe(self, wanted: EventFilter, from_event_id: str | None) -> EventSubscription:
        """Add a subscription; with a cursor, its replay waits for `start_replays`."""
        if len(self._filters) >= MOST_SUBSCRIPTIONS:
            raise InvalidRequest(
                f"this connection has {MOST_SUBSCRIPTIONS} subscriptions, the most it may have. "
                "End one, or name more in one filter.",
                limit=MOST_SUBSCRIPTIONS,
            )
        self._made += 1
        name = f"s{self._made}"
        self._filters[name] = wanted
        self._live.filters.pop(_AUTOMATIC, None)
        if from_event_id is None:
            self._live.filters[name] = wanted
        else:
            self._waiting_replays[name] = self._service.subscribe({name: wanted}, from_event_id, scope=self._scope)
        return _described(name, wanted)

    def start_replays(self) -> None:
        """Begin the replays asked for. Called when the answer that names the subscription has been sent."""
        while self._waiting_replays:
            name, replay = self._waiting_replays.popitem()
            self._replays[name] = asyncio.create_task(self._replay(name, replay), name=f"replay {name}")

    def unsubscribe(self, name: str) -> EventSubscription:
        """End a subscription. Raises NotFound."""
        wanted = self._filters.pop(name, None)
        if wanted is None:
            raise NotFound(
                f"this connection has no subscription '{name}'. mindswarm.events.listSubscriptions names its own.",
                subscription_id=name,
                allowed=list(self._filters),
            )
        self._live.filters.pop(name, None)
        if replay := self._waiting_replays.pop(name, None):
            replay.close()
        if task := self._replays.pop(name, None):
            task.cancel()
        return _described(name, wanted)

    def close(self) -> None:
        """Hear and send no more."""
        self._live.close()
        for name in list(self._filters):
            self.unsubscribe(name)

    async def _replay(self, name: str, replay: Subscription) -> None:
        try:
            async for item in replay.catch_up():
                await self._send(_notification(item, (name,)))
                await asyncio.sleep(0)  # a send need not wait: others have their turn, and a reader may have left
            self._live.adopt(replay)  # nothing is awaited since the last event, so none falls between
        except WebSocketDisconnect:
            log.debug("a reader has left in a replay", extra={"action": "replay"})
        finally:
            replay.close()
            self._replays.pop(name, None)


def _described(name: str, wanted: EventFilter) -> EventSubscription:
    return EventSubscription(subscription_id=name, filter=wanted)


def _notification(item: Delivery | Gap, names: tuple[str, ...]) -> str:
    is_gap = isinstance(item, Gap)
    ids = to_json([name for name in names if name != _AUTOMATIC]).decode()
    text = item.model_dump_json() if isinstance(item, Gap) else item.stored.text
    method = "mindswarm.gap" if is_gap else "mindswarm.event"
    return f'{{"jsonrpc":"2.0","method":"{method}","params":{text[:-1]},"subscription_ids":{ids}}}}}'
