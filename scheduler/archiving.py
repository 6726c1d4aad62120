"""The archiver: copies what is about to be forgotten into the archive. Copied first, marked then, forgotten last."""

from __future__ import annotations

import logging

from mindswarm_exec.archive.store import Archive, ArchivedExecution
from mindswarm_exec.errors import LedgerUnavailable
from mindswarm_exec.ledger import operations, reads
from mindswarm_exec.ledger.faces import SyncLedger
from mindswarm_exec.ledger.reads import Place
from mindswarm_exec.lifecycle import TERMINAL, Status

log = logging.getLogger(__name__)

#: Executions copied in one transaction.
MOST_COPIED = 200


class Archiver:
    """Idempotent: what is copied twice is the same row, whoever copies it."""

    def __init__(self, ledger: SyncLedger, archive: Archive) -> None:
        self._ledger = ledger
        self._archive = archive

    def copy_due(self) -> int:
        """Copy some of what has outlived its retention and is not marked yet; how many were. None if SQL is away."""
        try:
            return sum(self._copy(self._due(status)) for status in sorted(TERMINAL))
        except LedgerUnavailable as error:
            log.warning("could not archive", extra={"action": "archive", "error": str(error)})
            return 0

    def _due(self, status: Status) -> list[Place]:
        retention_ms = round(self._ledger.settings.retention_seconds * 1000)
        before_ms = self._ledger.run(reads.server_time_ms()) - retention_ms
        found = self._ledger.run(reads.oldest(status, None, before_ms, MOST_COPIED))
        marks = self._ledger.run_many([reads.fields(place.execution_id, ("seq", "archived")) for place in found])
        return [
            place for place, mark in zip(found, marks, strict=True) if mark and mark.get("archived") != mark["seq"]
        ]

    def _copy(self, places: list[Place]) -> int:
        records = self._ledger.run_many([reads.execution(place.execution_id) for place in places])
        copies = [
            ArchivedExecution(place.execution_id, place.at_ms, record)
            for place, record in zip(places, records, strict=True)
            if record is not None and record["status"] == place.status
        ]
        if not copies:
            return 0
        self._archive.put(copies)
        return self._ledger.run(operations.mark_archived({one.execution_id: one.record["seq"] for one in copies}))
