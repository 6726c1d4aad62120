"""Reading what has ended and left the ledger: the second source of records and listings."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from mindswarm_exec.ledger import operations, reads
from mindswarm_exec.ledger.faces import AsyncLedger
from mindswarm_exec.ledger.listings import Order
from mindswarm_exec.ledger.reads import Record
from mindswarm_exec.lifecycle import TERMINAL
from mindswarm_exec.models.records import Execution
from mindswarm_exec.service.filters import Filter
from mindswarm_exec.service.records import execution_record

if TYPE_CHECKING:
    from mindswarm_exec.archive.store import Archive, Wanted

#: An execution with its place in listings.
Found = tuple[Order, Execution]

#: Places read at once, where all that match are wanted.
CHUNK = 1000


class OlderRecords(Protocol):
    """What the ledger has no more. Every call raises ArchiveUnavailable where it cannot be told."""

    async def get(self, execution_id: str) -> Record | None: ...
    async def page(self, wanted: Filter, limit: int, after: Order | None, down_to: Order | None) -> list[Found]: ...
    async def every(self, wanted: Filter) -> list[str]: ...
    async def restore(self, execution_ids: Sequence[str]) -> None: ...


class ArchivedRecords:
    """The archive as the service reads it. An execution that the ledger has is left to the ledger: it may have been
    brought back since it was copied."""

    def __init__(self, archive: Archive, ledger: AsyncLedger) -> None:
        self._archive = archive
        self._ledger = ledger

    async def get(self, execution_id: str) -> Record | None:
        """The record of an ended execution, or None."""
        found = await asyncio.to_thread(self._archive.get, [execution_id])
        return found[0].record if found else None

    async def restore(self, execution_ids: Sequence[str]) -> None:
        """Put the executions back into the ledger as they ended, as far as they were archived and are not there.

        They stay there for a minute or so, in which they can be brought back.
        """
        found = await asyncio.to_thread(self._archive.get, execution_ids)
        await self._ledger.run_many(
            [operations.restore(one.execution_id, one.ended_at_ms, one.record) for one in found]
        )

    async def page(self, wanted: Filter, limit: int, after: Order | None, down_to: Order | None) -> list[Found]:
        """Up to `limit` that match and come behind `after` but not behind `down_to`, newest first."""
        from mindswarm_exec.archive.store import Stretch  # needs SQLAlchemy, which is there if there is an archive

        asked = _asked(wanted)
        found: list[Found] = []
        while asked.statuses and len(found) < limit:
            rows = await asyncio.to_thread(self._archive.newest, asked, Stretch(limit, after, down_to))
            absent = await self._absent([row.execution_id for row in rows])
            for row in rows:
                after = row.order
                if row.execution_id in absent:
                    found.append((after, execution_record(row.execution_id, row.record)))
            if len(rows) < limit:
                break
        return found[:limit]

    async def every(self, wanted: Filter) -> list[str]:
        """The ids of all that match, the longest ended first."""
        from mindswarm_exec.archive.store import Stretch

        asked = _asked(wanted)
        found: list[str] = []
        places: list[Order] = []
        while asked.statuses:
            after = places[-1] if places else None
            places = await asyncio.to_thread(self._archive.newest_places, asked, Stretch(CHUNK, after))
            ids = [execution_id for _, execution_id in places]
            absent = await self._absent(ids)
            found += [each for each in ids if each in absent]
            if len(places) < CHUNK:
                break
        return found[::-1]

    async def _absent(self, execution_ids: Sequence[str]) -> set[str]:
        """Those that the ledger does not have."""
        here = await self._ledger.run_many([reads.fields(each, ("status",)) for each in execution_ids])
        return {each for each, fields in zip(execution_ids, here, strict=True) if not fields}


def _asked(wanted: Filter) -> Wanted:
    from mindswarm_exec.archive.store import Wanted

    statuses = [status for status in wanted.statuses if status in TERMINAL]
    return Wanted(statuses, wanted.equal, wanted.since_ms, wanted.until_ms, wanted.tag)
