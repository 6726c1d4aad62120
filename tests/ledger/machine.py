"""What the rules of the ledger's machine stand on: the world, the invariant, the steps that rules share."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant

from mindswarm_exec.ledger import operations
from mindswarm_exec.ledger.replies import Absent, Done, Due, Fenced, LostAttempt, Refused
from mindswarm_exec.lifecycle import Move, Status
from mindswarm_exec.settings import Settings
from tests.ledger.invariants import check_all, is_up
from tests.ledger.model import ModelAttempt
from tests.ledger.snapshot import Record
from tests.ledger.world import World

#: Whether an operation is sent twice, as by a client whose first answer was lost.
twice = st.booleans()
#: Picks one of however many there are.
one_of = st.integers(0, 10_000)


def pick(members: list[Any], number: int) -> Any:
    return members[number % len(members)]


STATE_EVENTS = {
    "awake": "agent.woken",
    "sleeping": "agent.sleeping",
    "draining": "agent.draining",
    "offline": "agent.offline",
}


def may_open(record: Record) -> bool:
    """Whether the agent's process may open it: not against an operator's word."""
    return is_up(record) or (record["state"] == "sleeping" and "passed_over" in record)


def _becomes(state: str, has_slept: bool) -> tuple[str, ...]:
    """The states that an agent may be in when it was told to be in `state`."""
    match state:
        case "awake":
            return ("waking",) if has_slept else ("awake",)
        case "sleeping":
            return ("sleeping", "waking")  # work that waits for it alone wakes it again at once
        case _:
            return (state,)


class Machine(RuleBasedStateMachine):
    """No rules yet; each of its children adds those of some actors."""

    def __init__(self, url: str, namespace: str) -> None:
        super().__init__()
        self.world = World(url, Settings(namespace=namespace))
        self.model = self.world.model
        #: what processes that are gone left behind, not yet settled
        self.lost: list[tuple[str, LostAttempt]] = []
        #: what an earlier sweep found and has not yet acted on
        self.found: Due | None = None

    def teardown(self) -> None:
        self.world.close()

    @invariant()
    def every_promise_holds(self) -> None:
        self.world.read_events()
        check_all(self.world.snapshot(), self.model, self.world.settings)

    # --- steps -------------------------------------------------------------------------------------------

    def send_control(self, move: Move, id: str, operation: Any, twice: bool) -> bool:
        """Send a control; it must be obeyed from the sources of its row, and else refused without a trace."""
        before = self.world.snapshot().executions[id]
        found = Status(before["status"])
        reply = self.world.run(operation, twice)
        after = self.world.snapshot().executions[id]
        if found not in move.sources:
            assert (reply, after) == (Refused(found), before)
            return False
        assert isinstance(reply, Done)
        assert reply.status == after["status"]
        return True

    def set_state(self, agent_id: str, state: str, twice: bool = False, by_operator: bool = False) -> None:
        """An operator or the agent's own process says what it is to be; the answer is what it is then."""
        present = self.world.snapshot().agents.get(agent_id)
        incarnation = "" if by_operator else self.model.agents[agent_id].incarnation
        operation = operations.set_agent_state(
            agent_id, incarnation, state, accepts_work=state == "awake", event=STATE_EVENTS[state]
        )
        reply = self.world.run(operation, twice)
        if present is None:
            assert reply == Absent()
        elif by_operator and present["state"] == "offline":
            assert reply == Refused("offline")
        elif not by_operator and present["incarnation"] != incarnation:
            assert reply == Fenced()
        elif not by_operator and state == "awake" and not may_open(present):
            assert reply == Refused(present["state"])
        else:
            after = self.world.state(agent_id)
            assert reply.status == after
            assert after in _becomes(state, by_operator and "slept" in present)

    def settle_what_was_lost(self) -> None:
        for agent_id, lost in self.lost:
            self.world.settle_lost(agent_id, lost)
        self.lost.clear()

    def expect_no_effect(self, attempt: ModelAttempt, operation: Any, answer: Any) -> None:
        before = self.world.snapshot()
        reply = self.world.run(operation)
        assert reply == (answer if attempt.execution_id in before.executions else Absent())
        assert self.world.snapshot() == before

    # --- whom the rules find -----------------------------------------------------------------------------

    @property
    def executions(self) -> list[str]:
        return [id for id, known in self.model.executions.items() if not known.forgotten]

    @property
    def agents(self) -> list[str]:
        return sorted(self.model.agents)

    @property
    def stale_attempts(self) -> list[ModelAttempt]:
        return [attempt for attempt in self.model.attempts.values() if attempt.over]

    @property
    def waiting_attempts(self) -> list[ModelAttempt]:
        return [one for one in self.model.attempts.values() if not one.over and one.token is None]

    @property
    def live_attempts(self) -> list[ModelAttempt]:
        return [one for one in self.model.attempts.values() if not one.over]

    @property
    def running_attempts(self) -> list[ModelAttempt]:
        return [one for one in self.model.attempts.values() if not one.over and one.token is not None]
