"""`mindswarm.events.*`: subscriptions belong to a WebSocket connection; history is open to HTTP too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mindswarm_exec.api.caller import Caller
from mindswarm_exec.api.jsonrpc import Method
from mindswarm_exec.errors import Forbidden, InvalidRequest, LedgerUnavailable, NotFound
from mindswarm_exec.models import params
from mindswarm_exec.models.events import EventFilter, EventPage, EventSubscription, EventSubscriptions

if TYPE_CHECKING:
    from mindswarm_exec.api.event_feed import EventFeed
    from mindswarm_exec.service import Services


class EventMethods:
    def __init__(self, services: Services) -> None:
        self._events = services.events

    def rows(self) -> list[Method[Caller]]:
        name = "mindswarm.events.{}".format
        # fmt: off
        return [
            Method(name("subscribe"), params.Subscribe, EventSubscription, self.subscribe,
                   "Receive the events that match as notifications mindswarm.event; WebSocket only. "
                   "The first subscription replaces the automatic delivery of everything.", (Forbidden,)),
            Method(name("unsubscribe"), params.Unsubscribe, EventSubscription, self.unsubscribe,
                   "End one subscription of this connection; WebSocket only.", (NotFound,)),
            Method(name("listSubscriptions"), params.Nothing, EventSubscriptions, self.list_subscriptions,
                   "The subscriptions of this connection; WebSocket only."),
            Method(name("getHistory"), params.GetEventHistory, EventPage, self.get_history,
                   "Events of the past that match, oldest first unless newest_first. A page may be short: go on "
                   "while next_cursor is set.", (Forbidden, LedgerUnavailable)),
        ]
        # fmt: on

    async def subscribe(self, caller: Caller, asked: params.Subscribe) -> EventSubscription:
        feed = _feed(caller, "subscribe")
        _must_open(caller, asked)
        return feed.subscribe(asked.filter, asked.from_event_id)

    async def unsubscribe(self, caller: Caller, asked: params.Unsubscribe) -> EventSubscription:
        return _feed(caller, "unsubscribe").unsubscribe(asked.subscription_id)

    async def list_subscriptions(self, caller: Caller, _: params.Nothing) -> EventSubscriptions:
        return EventSubscriptions(subscriptions=_feed(caller, "listSubscriptions").subscriptions)

    async def get_history(self, caller: Caller, asked: params.GetEventHistory) -> EventPage:
        _must_open(caller, asked)
        return await self._events.get_history(
            asked.filter, asked.limit, asked.cursor, newest_first=asked.newest_first, scope=caller.projects
        )


def _feed(caller: Caller, verb: str) -> EventFeed:
    if caller.events is None:
        raise InvalidRequest(
            f"mindswarm.events.{verb} works over WebSocket only: an HTTP request cannot receive events. "
            "Connect to /ws, or read mindswarm.events.getHistory from time to time."
        )
    return caller.events


def _must_open(caller: Caller, wanted: EventFilter) -> None:
    for project_id in sorted(wanted.project_ids):
        caller.must_open(project_id)
