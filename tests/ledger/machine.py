"""What the rules of the ledger's machine stand on: the world, the invariant, the steps that rules share."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant

from mindswarm_exec.identifiers import attempt_id, new_nonce
from mindswarm_exec.ledger import operations
from mindswarm_exec.ledger.replies import (
    Absent,
    AwaitsInput,
    BudgetSpent,
    Done,
    Due,
    Fenced,
    LostAttempt,
    NotObeyed,
    Refused,
)
from mindswarm_exec.lifecycle import CANCEL, PAUSE, RUNNING, WATCHED, Move, Status
from mindswarm_exec.service.submission import budget_fields
from mindswarm_exec.settings import Settings
from tests.ledger.invariants import check_all
from tests.ledger.invariants_of_agents import is_up
from tests.ledger.invariants_of_control import METER
from tests.ledger.model import ModelAttempt
from tests.ledger.snapshot import Record, Snapshot
from tests.ledger.world import World

#: Whether an operation is sent twice, as by a client whose first answer was lost.
twice = st.booleans()
#: Picks one of however many there are.
one_of = st.integers(0, 10_000)


def pick(members: list[Any], number: int) -> Any:
    return members[number % len(members)]


MOST_AT_A_TIME = 12

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


def without_request(record: Record) -> Record:
    """The record without the trace that every request leaves."""
    return {name: value for name, value in record.items() if name != "requests"}


def refusal_of_resume(snapshot: Snapshot, id: str, limit: float | None, replaced: bool) -> Any:
    """What a resume is refused with, given a new limit of the execution's own budget, or a checkpoint; or None."""
    record = snapshot.executions[id]
    withdraws = record["status"] == RUNNING and record.get("intent_kind") == "pause"
    if not withdraws and record["status"] != "paused":
        return Refused(record["status"])
    if withdraws and replaced:
        return NotObeyed()
    if "question" in record:
        return AwaitsInput()
    if record.get("intent_kind") == "cancel":
        return Refused(record["status"])
    if record.get("pause_reason") != "budget":
        return None
    owner_id = record["budget_owner"]
    owner = snapshot.executions.get(owner_id)
    if owner is None or Status(owner["status"]).is_terminal or f"budget:{METER}" not in owner:
        return None
    least = limit if limit is not None and owner_id == id else float(owner[f"budget:{METER}"])
    spent = float(owner[f"meter:{METER}"])
    return BudgetSpent(owner_id, METER, spent, least) if spent >= least else None


def is_spent(snapshot: Snapshot, id: str) -> bool:
    """Whether a budget of its own binds, and is spent."""
    owner = snapshot.executions.get(id)
    if owner is None or Status(owner["status"]).is_terminal or f"budget:{METER}" not in owner:
        return False
    return float(owner.get(f"meter:{METER}", 0)) >= float(owner[f"budget:{METER}"]) and f"meter:{METER}" in owner


class Machine(RuleBasedStateMachine):
    """No rules yet; each of its children adds those of some actors."""

    def __init__(self, url: str, namespace: str) -> None:
        super().__init__()
        self.world = World(url, Settings(namespace=namespace))
        self.model = self.world.model
        #: the ledger as the invariants have last seen it: as it is when a rule is chosen, and begins
        self.latest = self.world.snapshot()
        #: what processes that are gone left behind, not yet settled
        self.lost: list[tuple[str, LostAttempt]] = []
        #: what an earlier sweep found and has not yet acted on
        self.found: Due | None = None

    def teardown(self) -> None:
        self.world.close()

    @invariant()
    def every_promise_holds(self) -> None:
        self.world.read_events()
        self.latest = self.world.snapshot()
        check_all(self.latest, self.model, self.world.settings)

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

    def pause(self, id: str, twice: bool = False) -> None:
        """Pause, or ask for it. The wish that stands is not asked for again, and gets no other grace."""
        before = self.world.snapshot().executions[id]
        self.send_control(PAUSE, id, operations.pause(id, new_nonce(), "", "{}"), twice)
        if before["status"] == RUNNING and "intent_kind" in before:
            assert without_request(self.world.snapshot().executions[id]) == without_request(before)

    def cancel(self, id: str, force: bool, twice: bool = False) -> None:
        """Cancel, or ask for it; what had an attempt and is cancelled by force keeps its slot."""
        before = self.world.snapshot().executions[id]
        operation = operations.cancel(id, new_nonce(), "", force=force, error="{}", data="{}")
        is_done = self.send_control(CANCEL, id, operation, twice)
        has_code = before["status"] == RUNNING or "frozen" in before
        if has_code and force:
            self.haunt(before, id)
        elif has_code and before.get("intent_kind") == "cancel":
            assert without_request(self.world.snapshot().executions[id]) == without_request(before)
            is_done = False
        for child in self.model.executions.values() if is_done else ():
            child.has_escaped = child.has_escaped and child.parent_id != id

    def haunt(self, record: Record, id: str) -> None:
        """The attempt is over; its code runs on in its slot."""
        self.model.zombies.add((record["agent_id"], attempt_id(id, int(record["attempt"])), record["nonce"]))

    def resume(self, id: str, twice: bool = False, limit: float | None = None, replaced: bool = False) -> None:
        """Let it go on: a frozen process in place, unless its checkpoint is replaced; or withdraw a pause."""
        snapshot = self.world.snapshot()
        before = snapshot.executions[id]
        fields: dict[str, Any] = {"checkpoint": "{}"} if replaced else {}
        if limit is not None:
            fields |= budget_fields({METER: limit})
        operation = operations.resume(id, new_nonce(), "{}", fields, checkpoint_replaced=replaced)
        reply = self.world.run(operation, twice)
        after = self.world.snapshot().executions[id]
        refusal = refusal_of_resume(snapshot, id, limit, replaced)
        if refusal is not None:
            assert (reply, after) == (refusal, before)
            return
        assert isinstance(reply, Done)
        assert reply.status == after["status"]
        goes_on = before["status"] == RUNNING or ("frozen" in before and not replaced)
        assert (after["status"] == RUNNING and after["nonce"] == before["nonce"]) == goes_on
        now = self.world.snapshot()
        assert reply.followers_left == (0 if is_spent(now, id) else len(now.families["starved"].get(id, {})))
        if "frozen" in before and replaced:
            self.haunt(before, id)

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

    def taken_up(self, attempt: ModelAttempt) -> ModelAttempt:
        """The attempt, claimed if nobody has."""
        if attempt.token is None:
            self.world.claim(attempt, new_nonce())
        return attempt

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
    def workable_attempts(self) -> list[ModelAttempt]:
        return [one for one in self.model.attempts.values() if not one.over and not one.frozen]

    @property
    def running_attempts(self) -> list[ModelAttempt]:
        return [one for one in self.workable_attempts if one.token is not None]

    @property
    def frozen_attempts(self) -> list[ModelAttempt]:
        return [one for one in self.model.attempts.values() if one.frozen]

    @property
    def live_attempts(self) -> list[ModelAttempt]:
        return [one for one in self.model.attempts.values() if not one.over]

    @property
    def takes_more(self) -> bool:
        """Few executions at a time: what is there is worked on, and an example stays quick."""
        indexed = self.latest.families["status"]
        return sum(len(indexed.get(status, ())) for status in WATCHED) < MOST_AT_A_TIME
