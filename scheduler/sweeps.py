"""What beat's ticks do when a dispatcher carries them out. Each is idempotent: two beats do no harm."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from mindswarm_exec.ledger import operations, reads
from mindswarm_exec.ledger.faces import SyncLedger
from mindswarm_exec.ledger.replies import Wake
from mindswarm_exec.service import sweeps
from scheduler.rollups import Roller

if TYPE_CHECKING:
    from scheduler.archiving import Archiver

log = logging.getLogger(__name__)

#: Executions removed by one script, which holds the server for as long, and scripts run by one tick.
MOST_FORGOTTEN, MOST_ROUNDS = 500, 200


class Sweeper:
    """Sweeps due deadlines, repairs missed matches, forgets what has outlived its retention."""

    def __init__(
        self, ledger: SyncLedger, publish: Callable[[Sequence[Wake]], None], archiver: Archiver | None = None
    ) -> None:
        self._ledger = ledger
        self._publish = publish
        self._archiver = archiver
        self._roller = Roller(ledger)
        self._forgetting = threading.Lock()

    def sweep(self) -> None:
        """Move on everything that is due."""
        swept = sweeps.sweep(self._ledger)
        self._publish(swept.wakes)
        if swept.agents_spared:
            log.warning(
                "nobody had swept for long: agents have a lease from now on to be heard of",
                extra={"action": "sweep", "agents": len(swept.agents_spared)},
            )
        for agent_id in swept.agents_lost:
            log.warning("an agent was lost; its work moves on", extra={"action": "sweep", "agent_id": agent_id})
        for agent_id in swept.passed_over:
            log.warning("an agent did not wake in time", extra={"action": "pass_over", "agent_id": agent_id})

    def sweep_if_silent(self) -> None:
        """Sweep if nobody has for three periods."""
        age_ms = self._ledger.run(reads.sweep_age_ms())
        if age_ms > sweeps.SILENT_PERIODS * self._ledger.settings.sweep_seconds * 1000:
            self.sweep()

    def match_waiting(self) -> None:
        """Give waiting executions to free agents, should a script ever have missed a match."""
        matches, wakes = self._ledger.run(operations.match_waiting())
        self._publish(wakes)
        if matches:
            log.warning("executions had missed their agents", extra={"action": "match_waiting", "matches": matches})

    def forget(self) -> None:
        """Remove ended executions, idle classes and events that have outlived their retention.

        They are counted first. Where there is an archive, executions are copied into it too, and only what is there
        is removed. While an archive that is slow keeps one tick waiting, the next ones of this process do nothing.
        """
        if not self._forgetting.acquire(blocking=False):
            return
        try:
            self._roller.roll_up()
            self._forget()
        finally:
            self._forgetting.release()

    def _forget(self) -> None:
        settings = self._ledger.settings
        retention_ms = round(settings.retention_seconds * 1000)
        for _ in range(MOST_ROUNDS):
            copied = self._archiver.copy_due() if self._archiver is not None else 0
            forgetting = operations.forget(
                retention_ms, MOST_FORGOTTEN, settings.max_events, only_archived=self._archiver is not None
            )
            if self._ledger.run(forgetting) < MOST_FORGOTTEN and not copied:
                return
