"""Pages of executions, newest first, over the indexes by status."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from mindswarm_exec.errors import InvalidRequest
from mindswarm_exec.ledger import reads
from mindswarm_exec.ledger.faces import AsyncLedger
from mindswarm_exec.ledger.reads import Place, Record
from mindswarm_exec.lifecycle import Status
from mindswarm_exec.models.records import Execution, ExecutionPage
from mindswarm_exec.service.records import execution_record

#: Executions read for one page; a page of a rare filter may then be short, with a cursor to go on from.
MOST_READ = 5000
CHUNK = 200


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

    def admits(self, fields: Record) -> bool:
        wanted = (
            ("agent_id", self.agent_id),
            ("task_type", self.task_type),
            ("task_id", self.task_id),
            ("project_id", self.project_id),
        )
        return all(value is None or fields.get(name) == value for name, value in wanted)


async def page(ledger: AsyncLedger, wanted: Filter, limit: int, cursor: str | None) -> ExecutionPage:
    """Up to `limit` executions that match, newest first, from `cursor` on.

    Order is by the instant at which the present status was taken. The cursor is a position in that order, so
    an execution that changes its status between two pages may be listed twice or not at all.
    """
    after = _position(cursor)
    found: list[Execution] = []
    for _ in range(MOST_READ // CHUNK):
        places = await _places(ledger, wanted, after)
        if not places:
            return ExecutionPage(executions=tuple(found))
        for place, fields in zip(places, await _records(ledger, places), strict=True):
            after = place.order
            if fields and fields.get("status") == place.status and wanted.admits(fields):
                found.append(execution_record(place.execution_id, fields))
                if len(found) == limit:
                    return ExecutionPage(executions=tuple(found), next_cursor=_cursor(place))
    return ExecutionPage(executions=tuple(found), next_cursor=f"{after[0]}:{after[1]}" if after else None)


async def _places(ledger: AsyncLedger, wanted: Filter, after: tuple[int, str] | None) -> list[Place]:
    """The next places behind `after`, over all wanted statuses."""
    until_ms = _ms(wanted.until)
    before_ms = until_ms if after is None else min(after[0], until_ms or after[0])
    asked = [reads.newest(status, before_ms, _ms(wanted.since), CHUNK) for status in wanted.statuses]
    by_status = await ledger.run_many(asked)
    merged = heapq.merge(*(_behind(places, after) for places in by_status), key=lambda p: p.order, reverse=True)
    return [place for place, _ in zip(merged, range(CHUNK), strict=False)]


def _behind(places: Sequence[Place], after: tuple[int, str] | None) -> Iterable[Place]:
    return (place for place in places if after is None or place.order < after)


async def _records(ledger: AsyncLedger, places: Sequence[Place]) -> list[Record | None]:
    return await ledger.run_many([reads.execution(place.execution_id) for place in places])


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else round(moment.timestamp() * 1000)


def _cursor(place: Place) -> str:
    return f"{place.at_ms}:{place.execution_id}"


def _position(cursor: str | None) -> tuple[int, str] | None:
    if cursor is None:
        return None
    at, _, execution_id = cursor.partition(":")
    if not at.isdigit() or len(at) > 15 or not execution_id:
        raise InvalidRequest("the cursor does not fit: pass next_cursor of the previous page as it was, or none.")
    return int(at), execution_id
