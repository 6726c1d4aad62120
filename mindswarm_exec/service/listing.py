"""Executions over the indexes by status: pages of them, newest first, or every one that matches."""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from mindswarm_exec.errors import InvalidRequest
from mindswarm_exec.ledger import reads
from mindswarm_exec.ledger.faces import AsyncLedger
from mindswarm_exec.ledger.operations import Operation
from mindswarm_exec.ledger.reads import Place, Record
from mindswarm_exec.lifecycle import Status
from mindswarm_exec.models.records import Execution, ExecutionPage
from mindswarm_exec.service.archived import OlderRecords
from mindswarm_exec.service.records import execution_record

#: Executions read for one page; a page of a rare filter may then be short, with a cursor to go on from.
MOST_READ = 5000
CHUNK = 200

Statuses = Status | str | Sequence[Status | str] | None
Order = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Filter:
    """What a listed execution must match; None matches all."""

    statuses: tuple[Status, ...] = tuple(Status)
    agent_id: str | None = None
    task_type: str | None = None
    task_id: str | None = None
    project_id: str | None = None
    #: bounds on the instant at which the present status was taken
    since: datetime | None = None
    until: datetime | None = None
    tag: str | None = None
    parent_id: str | None = None

    def admits(self, fields: Record) -> bool:
        return all(fields.get(name) == value for name, value in self._wanted().items()) and self._has_tag(fields)

    @property
    def names(self) -> list[str]:
        """The fields of a record that `admits` looks at."""
        return [*self._wanted(), *(["options"] if self.tag else [])]

    @property
    def equal(self) -> dict[str, str]:
        """The fields that must have a certain value."""
        return self._wanted()

    @property
    def since_ms(self) -> int | None:
        return _ms(self.since)

    @property
    def until_ms(self) -> int | None:
        return _ms(self.until)

    def _wanted(self) -> dict[str, str]:
        names = ("agent_id", "task_type", "task_id", "project_id", "parent_id")
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    def _has_tag(self, fields: Record) -> bool:
        options = fields.get("options", "{}")
        # a name needs no escapes in JSON, so most records are told apart without reading them
        return self.tag is None or (f'"{self.tag}"' in options and self.tag in json.loads(options).get("tags", ()))


def checked_statuses(given: Statuses, otherwise: Sequence[Status]) -> tuple[Status, ...]:
    """The statuses asked for, by themselves or by name; `otherwise` if none is.

    Raises:
        InvalidRequest: there is no such status.
    """
    if not given:
        return tuple(otherwise)
    try:
        return tuple(Status(each) for each in ([given] if isinstance(given, str) else given))
    except ValueError:
        raise InvalidRequest(
            f"status: there is no such state. The states are {', '.join(Status)}.",
            field="status",
            allowed=list(Status),
        ) from None


async def page(
    ledger: AsyncLedger, wanted: Filter, limit: int, cursor: str | None, older: OlderRecords | None = None
) -> ExecutionPage:
    """Up to `limit` executions that match, newest first, from `cursor` on; of the ledger and of what is `older`.

    Order is by the instant at which the present status was taken. The cursor is a position in that order, so
    an execution that changes its status between two pages may be listed twice or not at all.
    """
    after = _position(cursor)
    found, reached = await _in_ledger(ledger, wanted, limit, after)
    if older is None:
        return _page(found, reached)
    # asked for after the ledger: what has moved from the one to the other meanwhile is found, perhaps twice
    archived = await older.page(wanted, limit, after)
    edges = [edge for edge in (reached, archived[-1][0] if len(archived) == limit else None) if edge is not None]
    both = sorted(
        {one.execution_id: (order, one) for order, one in [*archived, *found]}.values(), reverse=True, key=_order
    )
    known = [each for each in both if not edges or each[0] >= max(edges)]
    if len(known) > limit:
        return _page(known[:limit], known[limit - 1][0])
    return _page(known, max(edges) if edges else None)


def _order(found: tuple[Order, Execution]) -> Order:
    return found[0]


def _page(found: Sequence[tuple[Order, Execution]], reached: Order | None) -> ExecutionPage:
    executions = tuple(one for _, one in found)
    return ExecutionPage(executions=executions, next_cursor=_cursor(reached) if reached else None)


async def _in_ledger(
    ledger: AsyncLedger, wanted: Filter, limit: int, after: Order | None
) -> tuple[list[tuple[Order, Execution]], Order | None]:
    """Up to `limit` that match, and how far was looked for them; None: to the end."""
    found: list[tuple[Order, Execution]] = []
    for _ in range(MOST_READ // CHUNK):
        places = await _newest(ledger, wanted, after)
        if not places:
            return found, None
        records = await ledger.run_many([reads.execution(place.execution_id) for place in places])
        for place, fields in zip(places, records, strict=True):
            after = place.order
            if fields and fields.get("status") == place.status and wanted.admits(fields):
                found.append((after, execution_record(place.execution_id, fields)))
                if len(found) == limit:
                    return found, after
    return found, after


async def every(ledger: AsyncLedger, wanted: Filter) -> list[str]:
    """The ids of all executions that match and exist at the call, the longest in their status first.

    One that changes its status meanwhile goes to the end of the order, where the walk is still to come by: none
    is missed that matches all along.
    """
    now_ms = await ledger.run(reads.server_time_ms())
    names = ["status", "created_at_ms", *wanted.names]
    found: dict[str, None] = {}
    after: Order | None = None
    while places := await _oldest(ledger, wanted, after):
        records = await ledger.run_many([reads.fields(place.execution_id, names) for place in places])
        for place, fields in zip(places, records, strict=True):
            after = place.order
            is_present = fields.get("status") == place.status and int(fields["created_at_ms"]) <= now_ms
            if is_present and wanted.admits(fields):
                found[place.execution_id] = None
    return list(found)


async def _newest(ledger: AsyncLedger, wanted: Filter, after: Order | None) -> list[Place]:
    """The next places behind `after`, over all wanted statuses, newest first."""
    since_ms, until_ms = _ms(wanted.since), _ms(wanted.until)
    before_ms = until_ms if after is None else min(after[0], after[0] if until_ms is None else until_ms)
    return await _next(
        ledger,
        lambda most: [reads.newest(status, before_ms, since_ms, most) for status in wanted.statuses],
        lambda order: after is None or order < after,
        is_reversed=True,
    )


async def _oldest(ledger: AsyncLedger, wanted: Filter, after: Order | None) -> list[Place]:
    """The next places behind `after`, over all wanted statuses, oldest first."""
    since_ms, until_ms = _ms(wanted.since), _ms(wanted.until)
    from_ms = since_ms if after is None else max(after[0], since_ms or 0)
    return await _next(
        ledger,
        lambda most: [reads.oldest(status, from_ms, until_ms, most) for status in wanted.statuses],
        lambda order: after is None or order > after,
        is_reversed=False,
    )


async def _next(
    ledger: AsyncLedger,
    ask: Callable[[int], Sequence[Operation[list[Place]]]],
    is_behind: Callable[[Order], bool],
    *,
    is_reversed: bool,
) -> list[Place]:
    """At most `CHUNK` places that are behind, none between them left out; empty at the end of the index.

    What a full answer cuts off lies beyond its last place, so what other statuses have beyond that has to wait. A
    script may give many executions one status in one millisecond: until one behind is seen, more are asked for.
    """
    most = CHUNK
    while True:
        by_status = await ledger.run_many(ask(most))
        merged = heapq.merge(*by_status, key=lambda place: place.order, reverse=is_reversed)
        behind = [place for place in merged if is_behind(place.order)]
        edges = [places[-1].order for places in by_status if len(places) == most]
        if not edges:
            return behind[:CHUNK]
        edge = max(edges) if is_reversed else min(edges)
        known = [place for place in behind if (place.order >= edge if is_reversed else place.order <= edge)]
        if known:
            return known[:CHUNK]
        most *= 2


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else round(moment.timestamp() * 1000)


def _cursor(order: Order) -> str:
    return f"{order[0]}:{order[1]}"


def _position(cursor: str | None) -> Order | None:
    if cursor is None:
        return None
    at, _, execution_id = cursor.partition(":")
    if not at.isdigit() or len(at) > 15 or not execution_id:
        raise InvalidRequest("the cursor does not fit: pass next_cursor of the previous page as it was, or none.")
    return int(at), execution_id
