"""Reading what has ended and left the ledger: the second source of records and listings."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from mindswarm_exec.ledger import reads
from mindswarm_exec.ledger.faces import AsyncLedger
from mindswarm_exec.ledger.reads import Record
from mindswarm_exec.lifecycle import TERMINAL
from mindswarm_exec.models.records import Execution
from mindswarm_exec.service.records import execution_record

if TYPE_CHECKING:
    from mindswarm_exec.archive.store import Archive
    from mindswarm_exec.service.listing import Filter, Order

Found = list[tuple["Order", Execution]]


class OlderRecords(Protocol):
    """What the ledger has no more."""

    async def get(self, execution_id: str) -> Record | None: ...
    async def page(self, wanted: Filter, limit: int, after: Order | None) -> Found: ...


class ArchivedRecords:
    """The archive as the service reads it. An execution that the ledger has is left to the ledger: it may have been
    brought back since it was copied."""

    def __init__(self, archive: Archive, ledger: AsyncLedger) -> None:
        self._archive = archive
        self._ledger = ledger

    async def get(self, execution_id: str) -> Record | None:
        """The record of an ended execution, or None. Raises LedgerUnavailable."""
        return await asyncio.to_thread(self._archive.get, execution_id)

    async def page(self, wanted: Filter, limit: int, after: Order | None) -> Found:
        """Up to `limit` that match and come behind `after`, newest first; fewer only at the end."""
        from mindswarm_exec.archive.store import Wanted  # needs SQLAlchemy, which is there if there is an archive

        statuses = [status for status in wanted.statuses if status in TERMINAL]
        asked = Wanted(statuses, wanted.equal, wanted.since_ms, wanted.until_ms, wanted.tag)
        found: Found = []
        while statuses and len(found) < limit:
            rows = await asyncio.to_thread(self._archive.newest, asked, after, limit)
            present = await self._ledger.run_many([reads.fields(row.execution_id, ("status",)) for row in rows])
            for row, here in zip(rows, present, strict=True):
                after = row.ended_at_ms, row.execution_id
                if not here:
                    found.append((after, execution_record(row.execution_id, row.record)))
            if len(rows) < limit:
                break
        return found[:limit]
