"""A whole engine in one process, for a test: a ledger of its own, agents on threads, and a clock to put forward."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from typing import Any, Self

from mindswarm_exec.agent import Agent
from mindswarm_exec.agent_loading import load_agent
from mindswarm_exec.direct import DirectClient
from mindswarm_exec.direct.client import DirectHandle
from mindswarm_exec.errors import ExecutionNotCompleted, ResultNotReady
from mindswarm_exec.ledger.faces import SyncLedger, connect_sync
from mindswarm_exec.ledger.replies import Wake
from mindswarm_exec.lifecycle import Status
from mindswarm_exec.models.records import Execution
from mindswarm_exec.service.sweeps import Swept, sweep
from mindswarm_exec.settings import Settings
from mindswarm_exec.testing.clock import TestClock
from mindswarm_exec.testing.raised import Raised
from mindswarm_exec.testing.swarm_agent import SwarmAgent
from mindswarm_exec.testing.whereabouts import whereabouts

#: How long a test waits before it fails, unless it says otherwise.
PATIENCE_SECONDS = 10.0
LOOK_SECONDS = 0.01


class SwarmHandle(DirectHandle):
    """One execution of a swarm. It waits for seconds, not for ever."""

    def __init__(self, client: DirectClient, execution_id: str, raised: Raised) -> None:
        super().__init__(client, execution_id)
        self._raised = raised

    def result(self, timeout: float | None = PATIENCE_SECONDS) -> Any:
        """Wait for the result.

        Raises:
            ExecutionNotCompleted: it ended without one; its cause is what the handler raised.
            ResultNotReady: it has not ended within `timeout` seconds; the message says where it is.
        """
        __tracebackhide__ = True  # pytest shows the line of the test, and of the handler
        try:
            return super().result(timeout)
        except ExecutionNotCompleted as ended:
            raise ExecutionNotCompleted(str(ended), **ended.facts) from self._raised.of(self.execution_id)
        except ResultNotReady:
            told = f"after {timeout:g} s {whereabouts(self.get())}"
            raise ResultNotReady(told, execution_id=self.execution_id) from None

    def get(self) -> Execution:
        """Its record as it is now."""
        return self._client.get(self.execution_id)

    def await_status(self, *wanted: Status | str, timeout: float = PATIENCE_SECONDS) -> Execution:
        """Wait until it is in one of these states, and answer its record.

        Raises:
            AssertionError: it was not, within `timeout` seconds; the message says where it is. Where its handler
                raised, that is the cause.
        """
        __tracebackhide__ = True
        deadline = time.monotonic() + timeout
        while (found := self.get()).status not in wanted:
            if time.monotonic() >= deadline:
                states = " or ".join(map(str, wanted))
                told = f"not {states} after {timeout:g} s: {whereabouts(found)}"
                raise AssertionError(told) from self._raised.of(self.execution_id)
            time.sleep(LOOK_SECONDS)
        return found


class Swarm:
    """A context. `client` has all verbs of `DirectClient`; what it shows is in a namespace of its own.

    Args:
        url: the server, which other swarms may share.
        settings: fields of `Settings` that differ from the defaults. The environment is not looked at.
    """

    def __init__(self, url: str, **settings: Any) -> None:
        self.settings = Settings.model_validate({"namespace": f"test-{secrets.token_hex(6)}", **settings})
        self._url = url
        self._ledger = SyncLedger(connect_sync(url, self.settings), self.settings, test_clock=True)
        self._raised = Raised()
        self._agents: dict[str, SwarmAgent] = {}
        self._replaced: list[SwarmAgent] = []
        self.clock = TestClock(self._ledger)
        self.client = DirectClient(url, self.settings, _Messenger(self), test_clock=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- verbs -------------------------------------------------------------------------------------------

    def agent(self, agent: Agent | str, name: str | None = None) -> SwarmAgent:
        """Start an agent, given as the object or as MODULE:ATTR, and answer it open for work.

        A second one of the same name takes the place of the first, as a second process would: what ran there is lost.
        """
        found = load_agent(agent) if isinstance(agent, str) else agent
        started = SwarmAgent(found, name, self._url, self.settings, self._raised, self.publish)
        if started.name in self._agents:
            self._replaced.append(self._agents[started.name])
        self._agents[started.name] = started
        started.join()
        return started

    def start(self, task_type: str, payload: Any = None, **options: Any) -> SwarmHandle:
        """Submit an execution; arguments as for `DirectClient.start`."""
        return self.handle(self.client.start(task_type, payload, **options).execution_id)

    def handle(self, execution_id: str) -> SwarmHandle:
        """A handle on an execution that was started otherwise, such as a child."""
        return SwarmHandle(self.client, execution_id, self._raised)

    def sweep(self) -> Swept:
        """Move on what is due by the clock: delays, retries, timeouts, and the work of agents that are cut off.

        Nobody else sweeps. Agents that are not cut off have renewed their leases just before.
        """
        for agent in self._agents.values():
            agent.renew()
        swept = sweep(self._ledger, patient=False)  # its clock jumps
        self.publish(swept.wakes)
        return swept

    # --- beneath -----------------------------------------------------------------------------------------

    def publish(self, wakes: Sequence[Wake]) -> None:
        """Wake agents. One that is gone is left out, as a message in its queue would be."""
        for wake in wakes:
            if (agent := self._agents.get(wake.agent_id)) is not None:
                agent.deliver(wake)

    def close(self) -> None:
        """Cancel what runs, and remove all that the swarm has written."""
        for agent in (*self._replaced, *self._agents.values()):
            agent.close()
        self.client.close()
        names = list(self._ledger.client.scan_iter(f"{self._ledger.keys.prefix}*", count=1000))
        if names:
            self._ledger.client.unlink(*names)
        self._ledger.close()


class _Messenger:
    """Where the broker would be."""

    def __init__(self, swarm: Swarm) -> None:
        self._swarm = swarm

    async def publish(self, wakes: Sequence[Wake]) -> None:
        self._swarm.publish(wakes)
