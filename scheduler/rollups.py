"""The rollups: what beat's tick does to keep the counts of each minute, hour and day up to date."""

from __future__ import annotations

import logging

from mindswarm_exec.ledger.faces import SyncLedger
from mindswarm_exec.ledger.plans import carry_out
from mindswarm_exec.ledger.replies import Rolled
from mindswarm_exec.service.rollups import add_up, add_up_minute, roll_up_some

log = logging.getLogger(__name__)

#: Scripts run by one tick. More is left to the next: a backlog must not keep a dispatcher's thread for long.
MOST_ROUNDS = 200


class Roller:
    """Counts what ended since the last tick. Whoever else does the same meanwhile counts other events."""

    def __init__(self, ledger: SyncLedger) -> None:
        self._ledger = ledger
        self._lost_before: int | None = None
        self._added_up_ms = 0

    def roll_up(self) -> None:
        """Count all that is there, up to a bound, and add it up; say once if events were lost."""
        for _ in range(MOST_ROUNDS):
            rolled = self._ledger.run(roll_up_some(self._ledger.settings))
            self._tell_losses(rolled)
            self._add_up(rolled)
            if not rolled.behind:
                return

    def _tell_losses(self, rolled: Rolled) -> None:
        if self._lost_before is not None and rolled.lost > self._lost_before:
            lost = rolled.lost - self._lost_before
            log.warning("events were trimmed before they were counted", extra={"action": "roll_up", "lost": lost})
        self._lost_before = rolled.lost

    def _add_up(self, rolled: Rolled) -> None:
        """Once a minute all sums; between, the one of the open minute."""
        is_new = rolled.minute_ms != self._added_up_ms
        carry_out(self._ledger, (add_up if is_new else add_up_minute)(rolled, self._ledger.settings))
        self._added_up_ms = rolled.minute_ms
