"""The background work of an engine that is embedded in another program: sweeps, where no beat sweeps."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from mindswarm_exec.errors import LedgerUnavailable
from mindswarm_exec.ledger import reads
from mindswarm_exec.ledger.faces import SyncLedger
from mindswarm_exec.service.sweeps import SILENT_PERIODS, sweep

if TYPE_CHECKING:
    from mindswarm_exec.service.executions import Publisher

log = logging.getLogger(__name__)


class SweepsIfSilent:
    """Sweeps every period in which nobody else has swept for three."""

    def __init__(self, ledger: SyncLedger, publisher: Publisher | None) -> None:
        self._ledger = ledger
        self._publisher = publisher
        self._task: asyncio.Task[None] | None = None
        self._is_to_stop = asyncio.Event()

    async def start(self) -> None:
        """Begin, if it has not begun."""
        if self._task is None:
            self._is_to_stop.clear()
            self._task = asyncio.create_task(self._go_on())

    async def stop(self) -> None:
        """End; a sweep under way is finished. Idempotent."""
        if self._task is not None:
            self._is_to_stop.set()
            await self._task
            self._task = None

    async def _go_on(self) -> None:
        period = self._ledger.settings.sweep_seconds
        while not self._is_to_stop.is_set():
            try:
                age_ms = await asyncio.to_thread(self._ledger.run, reads.sweep_age_ms())
                if age_ms > SILENT_PERIODS * period * 1000:
                    swept = await asyncio.to_thread(sweep, self._ledger)
                    if swept.wakes and self._publisher is not None:
                        await self._publisher.publish(swept.wakes)
            except LedgerUnavailable as error:
                log.warning("could not sweep", extra={"action": "sweep", "error": str(error)})
            except Exception:  # a script failed: whoever sweeps in beat's place must not end of it
                log.exception("a sweep failed", extra={"action": "sweep"})
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._is_to_stop.wait(), period)
