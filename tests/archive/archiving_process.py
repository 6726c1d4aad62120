"""A process that archives and forgets without end, a few executions a round: URL NAMESPACE ARCHIVE_URL."""

from __future__ import annotations

import sys

import scheduler.archiving
from mindswarm_exec.archive.store import Archive
from mindswarm_exec.ledger.faces import SyncLedger, connect_sync
from mindswarm_exec.settings import Settings
from scheduler.archiving import Archiver
from scheduler.sweeps import Sweeper

RETENTION_SECONDS = 0.001


def main(url: str, namespace: str, archive_url: str) -> None:
    scheduler.archiving.MOST_COPIED = 2
    settings = Settings(namespace=namespace, retention_seconds=RETENTION_SECONDS)
    ledger = SyncLedger(connect_sync(url, settings), settings)
    sweeper = Sweeper(ledger, lambda wakes: None, Archiver(ledger, Archive(archive_url, namespace)))
    while True:
        sweeper.forget()


if __name__ == "__main__":
    main(*sys.argv[1:])
