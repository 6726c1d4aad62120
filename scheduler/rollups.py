"""The rollups: what beat's tick does to keep the counts of each minute, hour and day up to date."""

from __future__ import annotations

import logging

from mindswarm_exec.ledger.faces import SyncLedger
from mindswarm_exec.service.rollups import roll_up_some

log = logging.getLogger(__name__)

#: Scripts run by one tick. More is left to the next: a backlog must not keep a dispatcher's thread for long.
MOST_ROUNDS = 100


def roll_up(ledger: SyncLedger) -> None:
    """Count what ended since the last tick. Idempotent: whoever else does the same meanwhile counts other events."""
    lost = 0
    for _ in range(MOST_ROUNDS):
        rolled = ledger.run(roll_up_some(ledger.settings))
        lost = rolled.lost
        if not rolled.behind:
            break
    if lost:
        log.info("events were trimmed before they were rolled up", extra={"action": "roll_up", "lost": lost})
