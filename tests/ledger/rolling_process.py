"""A process that rolls up and adds up without end, a few events a script, until it is killed: URL NAMESPACE."""

from __future__ import annotations

import sys

from mindswarm_exec.ledger import operations
from mindswarm_exec.ledger.faces import SyncLedger, connect_sync
from mindswarm_exec.ledger.plans import carry_out
from mindswarm_exec.service.rollups import add_up
from mindswarm_exec.settings import Settings

HOUR_MS = 3_600_000


def main(url: str, namespace: str) -> None:
    settings = Settings(namespace=namespace)
    ledger = SyncLedger(connect_sync(url, settings), settings)
    while True:
        carry_out(ledger, add_up(ledger.run(operations.roll_up(3, HOUR_MS)), settings))


if __name__ == "__main__":
    main(*sys.argv[1:])
