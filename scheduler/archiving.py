"""The archiver: copies what is about to be forgotten into the archive. Copied first, marked then, forgotten last."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from mindswarm_exec.archive.store import Archive, ArchivedExecution
from mindswarm_exec.errors import ArchiveUnavailable, InvalidRequest
from mindswarm_exec.ledger import operations, reads
from mindswarm_exec.ledger.faces import SyncLedger
from mindswarm_exec.ledger.listings import Place

log = logging.getLogger(__name__)

#: Executions copied by one call, and in one transaction.
MOST_COPIED = 200
#: Records read in one round trip, and the characters of them that are held before they are written: a record may
#: have some megabytes.
READ_AT_ONCE, MOST_HELD = 20, 8 << 20


class Archiver:
    """Idempotent: what is copied twice is the same row, whoever copies it."""

    def __init__(self, ledger: SyncLedger, archive: Archive) -> None:
        self._ledger = ledger
        self._archive = archive
        #: what the database cannot hold; it stays in the ledger
        self._refused: set[str] = set()

    def copy_due(self) -> int:
        """Copy some of what has outlived its retention and is not in the archive as it is; how many were.

        0 also if the archive is away, which is logged; what has ended waits in the ledger then.
        """
        try:
            return sum(self._copy(batch) for batch in self._batches(self._due()))
        except (ArchiveUnavailable, InvalidRequest) as error:
            log.warning("could not archive", extra={"action": "archive", "error": str(error)})
            return 0

    def _due(self) -> list[Place]:
        retention_ms = round(self._ledger.settings.retention_seconds * 1000)
        found = self._ledger.run(operations.unarchived(retention_ms, MOST_COPIED))
        return [place for place in found if place.execution_id not in self._refused]

    def _batches(self, places: Sequence[Place]) -> Iterator[list[ArchivedExecution]]:
        """The records, as they are now, in what is written in one transaction."""
        batch: list[ArchivedExecution] = []
        held = 0
        for start in range(0, len(places), READ_AT_ONCE):
            some = places[start : start + READ_AT_ONCE]
            records = self._ledger.run_many([reads.execution(place.execution_id) for place in some])
            for place, record in zip(some, records, strict=True):
                if record is not None and record["status"] == place.status:
                    batch.append(ArchivedExecution(place.execution_id, place.at_ms, record))
                    held += sum(map(len, record.values()))
            if held > MOST_HELD:
                yield batch
                batch, held = [], 0
        if batch:
            yield batch

    def _copy(self, copies: list[ArchivedExecution]) -> int:
        refused = self._archive.put(copies)
        for execution_id in refused:
            log.error(
                "the archive cannot hold an execution; it stays in the ledger",
                extra={"action": "archive", "execution_id": execution_id},
            )
        self._refused.update(refused)
        seqs = {one.execution_id: one.record["seq"] for one in copies if one.execution_id not in self._refused}
        return self._ledger.run(operations.mark_archived(seqs))
