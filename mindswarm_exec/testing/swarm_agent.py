"""An agent of a swarm: the engine and the membership of a real one, on threads of the test's process."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Sequence
from typing import TypeVar

from mindswarm_exec.agent import Agent
from mindswarm_exec.errors import LedgerUnavailable
from mindswarm_exec.ledger.faces import SyncLedger, connect_sync
from mindswarm_exec.ledger.operations import Operation
from mindswarm_exec.ledger.replies import Wake
from mindswarm_exec.settings import Settings
from mindswarm_exec.testing.offers import target_of
from mindswarm_exec.testing.raised import Raised
from workers.attempt import Wish
from workers.engine import UnifiedTaskEngine
from workers.isolation.process import ProcessIsolation
from workers.membership import Membership

R = TypeVar("R")

#: By this a membership renews, in real seconds, so that an agent that was cut off joins again at once. The lease
#: itself is the ledger's, and goes by the clock of the test.
RENEWING_LEASE_SECONDS = 1.0
#: Nobody sweeps but the test.
NEVER_SECONDS = 1e9
CLOSING_SECONDS = 2.0


class SwarmAgent:
    """One agent. `Swarm.agent` makes it and opens it for work."""

    def __init__(
        self,
        agent: Agent,
        name: str | None,
        url: str,
        settings: Settings,
        raised: Raised,
        publish: Callable[[Sequence[Wake]], None],
    ) -> None:
        profile = agent.profile(name)
        self.name = profile.agent_id
        self._ledger = _SeverableLedger(connect_sync(url, settings), settings, test_clock=True)
        has_processes = any(handler.isolation == "process" for handler in agent.handlers.values())
        processes = ProcessIsolation(target_of(agent), settings) if has_processes else None
        self._engine = UnifiedTaskEngine(
            raised.noting(agent), self.name, self._ledger, settings, processes=processes, publish=publish
        )
        renewing = {"lease_seconds": RENEWING_LEASE_SECONDS, "sweep_seconds": NEVER_SECONDS}
        self._membership = Membership(
            agent,
            profile,
            self._engine,
            self._ledger,
            settings.model_copy(update=renewing),
            None,
            self._note_fenced,
            publish,
            on_sleep=self._engine.calls.rest,
        )
        self.is_fenced = False
        self._is_closed = False

    # --- what may happen to it ---------------------------------------------------------------------------

    def cut_off(self) -> None:
        """Let nothing that it sends arrive. Its handlers run on; after its lease the sweep gives their work away."""
        self._ledger.is_severed = True

    def reconnect(self) -> None:
        """End that. What it still wants to say of work that moved on is refused, and it joins again."""
        self._ledger.is_severed = False

    def drain(self, grace_seconds: float = CLOSING_SECONDS) -> bool:
        """Let it leave as on SIGTERM: what runs stops at its next checkpoint, or is handed back after the grace.

        Whether all of it ended in good order.
        """
        self._is_closed = True
        in_order = self._membership.drain(grace_seconds)
        self._engine.stop()
        if in_order:
            self._engine.calls.close()
        return in_order

    # --- for the swarm -----------------------------------------------------------------------------------

    def join(self) -> None:
        """Run its `on_start` hooks and open it for work. Raises StartFailed."""
        self._engine.start()
        self._membership.prepare()
        self._membership.join()

    def deliver(self, wake: Wake) -> None:
        """Take a wake-up as its Celery worker would; there are never more than it has slots for."""
        arguments = (wake.execution_id, wake.nonce)
        threading.Thread(target=self._engine.run, args=arguments, name=f"slot of {self.name}", daemon=True).start()

    def renew(self) -> None:
        """Say that it is alive, unless it is cut off."""
        if not self._is_closed and not self._ledger.is_severed:
            self._membership.state()

    def close(self) -> None:
        """Cancel what still runs and leave."""
        if self._is_closed:
            return
        self.reconnect()
        self._engine.is_draining = True
        self._engine.wish_all(Wish.CANCEL)
        if not self.drain():
            warnings.warn(f"a handler of agent '{self.name}' ignores its cancel and runs on", stacklevel=3)

    def _note_fenced(self) -> None:
        self.is_fenced = True


class _SeverableLedger(SyncLedger):
    """A ledger whose line a test can cut."""

    is_severed = False

    def run(self, operation: Operation[R]) -> R:
        self._check()
        return super().run(operation)

    def run_many(self, operations: Sequence[Operation[R]]) -> list[R]:
        self._check()
        return super().run_many(operations)

    def _check(self) -> None:
        if self.is_severed:
            raise LedgerUnavailable("the test has cut this agent off. Call its reconnect() to end that.")
