"""Executions over the indexes by status: pages of them, newest first, or every one that matches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mindswarm_exec.errors import ArchiveUnavailable
from mindswarm_exec.ledger import operations, reads
from mindswarm_exec.ledger.faces import AsyncLedger
from mindswarm_exec.ledger.listings import Order, Picked, Stretch
from mindswarm_exec.ledger.operations import Operation
from mindswarm_exec.lifecycle import TERMINAL
from mindswarm_exec.models.records import Execution
from mindswarm_exec.service.archived import Found, OlderRecords
from mindswarm_exec.service.cursors import cursor_at, place_at
from mindswarm_exec.service.filters import Filter
from mindswarm_exec.service.records import execution_record

#: Executions that one script looks at, some milliseconds of the server's time; and scripts run for one page. A page
#: of a rare filter may then be short, with a cursor to go on from.
MOST_SEEN = 1000
MOST_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Page:
    """Executions, newest first; where to go on, None: there are no more; and what is missing from it, and why."""

    executions: tuple[Execution, ...]
    next_cursor: str | None
    missing: str | None = None


async def page(
    ledger: AsyncLedger, wanted: Filter, limit: int, cursor: str | None, older: OlderRecords | None = None
) -> Page:
    """Up to `limit` executions that match, newest first, from `cursor` on; of the ledger and of what is `older`.

    Order is by the instant at which the present status was taken. The cursor is a position in that order, so
    an execution that changes its status between two pages may be listed twice or not at all.

    Raises:
        ArchiveUnavailable: what is older does not answer, and the ledger has nothing more. What it has is told.
    """
    after = place_at(cursor)
    found, reached = await _in_ledger(ledger, wanted, limit, after)
    if older is None or not set(wanted.statuses) & TERMINAL:
        return _page(found, reached)
    try:
        # asked for after the ledger: what has moved from the one to the other meanwhile is found, perhaps twice
        archived = await older.page(wanted, limit, after, reached)
    except ArchiveUnavailable as error:
        if reached is None and not found:
            raise
        return _page(found, reached or found[-1][0], missing=str(error))
    both = sorted({one.execution_id: (order, one) for order, one in [*archived, *found]}.values(), key=_order)
    both.reverse()
    if len(both) > limit:
        return _page(both[:limit], both[limit - 1][0])
    # a full page of the archive may go on where it ends; the ledger is known down to `reached`
    return _page(both, archived[-1][0] if len(archived) == limit else reached)


def _order(found: Found) -> Order:
    return found[0]


def _page(found: Sequence[Found], reached: Order | None, missing: str | None = None) -> Page:
    return Page(tuple(one for _, one in found), cursor_at(reached) if reached else None, missing)


async def _in_ledger(
    ledger: AsyncLedger, wanted: Filter, limit: int, after: Order | None
) -> tuple[list[Found], Order | None]:
    """Up to `limit` that match, and how far was looked for them; None: to the end."""
    found: list[Found] = []
    for _ in range(MOST_ROUNDS):
        picked = await ledger.run(_pick(wanted, "newest", after, limit - len(found)))
        records = await ledger.run_many([reads.execution(place.execution_id) for place in picked.places])
        for place, fields in zip(picked.places, records, strict=True):
            after = place.order
            if fields and fields.get("status") in wanted.statuses and wanted.admits(fields):
                found.append((after, execution_record(place.execution_id, fields)))
                if len(found) == limit:
                    return found, after
        after = picked.reached
        if after is None:
            break
    return found, after


async def every(ledger: AsyncLedger, wanted: Filter) -> list[str]:
    """The ids of all executions in the ledger that match and exist at the call, the longest in their status first.

    One that changes its status meanwhile goes to the end of the order, where the walk is still to come by: none
    is missed that matches all along.
    """
    now_ms = await ledger.run(reads.server_time_ms())
    names = ["status", "created_at_ms", *wanted.names]
    found: dict[str, None] = {}
    after: Order | None = None
    while True:
        picked = await ledger.run(_pick(wanted, "oldest", after))
        records = await ledger.run_many([reads.fields(place.execution_id, names) for place in picked.places])
        for place, fields in zip(picked.places, records, strict=True):
            # it may have moved on since it was picked; nothing comes by it again
            is_meant = fields.get("status") in wanted.statuses and int(fields["created_at_ms"]) <= now_ms
            if is_meant and wanted.admits(fields):
                found[place.execution_id] = None
        after = picked.reached
        if after is None:
            return list(found)


def _pick(
    wanted: Filter, first: Literal["newest", "oldest"], after: Order | None, most: int = MOST_SEEN
) -> Operation[Picked]:
    """The next places behind `after` that match."""
    stretch = Stretch(wanted.statuses, first, wanted.since_ms, wanted.until_ms, after)
    text = f'"{wanted.tag}"' if wanted.tag else ""
    return operations.pick(stretch, wanted.equal, text, most_seen=MOST_SEEN, most=most)
