"""Agents that go to sleep by their own wish, and open again: in time, late, or not at all."""

from __future__ import annotations

from hypothesis.stateful import precondition, rule

from mindswarm_exec.ledger import operations
from mindswarm_exec.ledger.replies import Absent, Done, Fenced, Refused
from tests.ledger.invariants_of_agents import can_be_woken
from tests.ledger.machine import Machine, one_of, pick, twice


class Sleepers(Machine):
    """What an agent's process does about its sleep."""

    @precondition(lambda self: self.model.agents)
    @rule(which=one_of, twice=twice)
    def go_to_sleep(self, which: int, twice: bool) -> None:
        """Refused to whoever holds something or was told otherwise."""
        agent_id = pick(self.agents, which)
        before = self.world.snapshot()
        incarnation = self.model.agents[agent_id].incarnation
        reply = self.world.run(operations.sleep_if_idle(agent_id, incarnation), twice)
        record = before.agents.get(agent_id)
        if record is None:
            assert reply == Absent()
        elif record["incarnation"] != incarnation:
            assert reply == Fenced()
        elif record["state"] == "awake" and before.held(agent_id):
            assert reply == Refused("awake")
        elif record["state"] in ("draining", "offline"):
            assert reply == Refused(record["state"])
        else:
            assert reply == Done(self.world.state(agent_id))
            assert reply.status in ("sleeping", "waking")

    @precondition(lambda self: self.told_to_wake)
    @rule(which=one_of, twice=twice)
    def open_after_waking(self, which: int, twice: bool) -> None:
        """In time, or late, when it was passed over already."""
        agent_id = pick(self.told_to_wake, which)
        self.set_state(agent_id, "awake", twice)
        assert self.world.state(agent_id) == "awake"

    @precondition(lambda self: self.told_to_wake)
    @rule(which=one_of, twice=twice)
    def fail_to_wake(self, which: int, twice: bool) -> None:
        """Its hook failed: it says so itself, before its time is over."""
        agent_id = pick(self.told_to_wake, which)
        operation = operations.pass_over(agent_id, self.model.agents[agent_id].incarnation)
        assert self.world.run(operation, twice) == Done("sleeping")
        assert not can_be_woken(self.world.snapshot().agents[agent_id])

    @property
    def told_to_wake(self) -> list[str]:
        agents = self.latest.agents
        return [
            name
            for name in self.agents
            if name in agents
            and agents[name]["incarnation"] == self.model.agents[name].incarnation
            and (agents[name]["state"] == "waking" or "passed_over" in agents[name])
            and agents[name]["state"] in ("waking", "sleeping")
        ]
