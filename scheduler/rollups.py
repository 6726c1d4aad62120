"""The rollups: what beat's tick does to keep the counts of each minute, hour and day up to date."""

from __future__ import annotations

import logging

from mindswarm_exec.ledger.faces import SyncLedger
from mindswarm_exec.service.rollups import roll_up_some

log = logging.getLogger(__name__)

#: Scripts run by one tick. More is left to the next: a backlog must not keep a dispatcher's thread for long.
MOST_ROUNDS = 100


class Roller:
    """Counts what ended since the last tick. Whoever else does the same meanwhile counts other events."""

    def __init__(self, ledger: SyncLedger) -> None:
        self._ledger = ledger
        self._lost_before: int | None = None

    def roll_up(self) -> None:
        """Count all that is there, up to a bound; say once if events were lost."""
        for _ in range(MOST_ROUNDS):
            rolled = self._ledger.run(roll_up_some(self._ledger.settings))
            if self._lost_before is not None and rolled.lost > self._lost_before:
                lost = rolled.lost - self._lost_before
                log.warning("events were trimmed before they were counted", extra={"action": "roll_up", "lost": lost})
            self._lost_before = rolled.lost
            if not rolled.behind:
                return
