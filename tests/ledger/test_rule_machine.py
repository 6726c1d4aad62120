"""The ledger against a model: every verb, the passing of time, sweeps and stale actors, in any order.

Runs against the real server. `MINDSWARM_TEST_EXAMPLES=2000` looks longer and further than the default.
"""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from mindswarm_exec.identifiers import new_nonce
from mindswarm_exec.ledger import operations
from mindswarm_exec.ledger.replies import (
    Absent,
    Claimed,
    Done,
    Due,
    Expired,
    Fenced,
    LostAttempt,
    Offline,
    Refused,
    Renewed,
    Reported,
    Settled,
    Taken,
)
from mindswarm_exec.lifecycle import CANCEL, MOVES, PAUSE, PENDING, QUEUED, RESUME, RETRY, RUNNING, Move, Status
from mindswarm_exec.settings import Settings
from tests.ledger import drawing
from tests.ledger.invariants import check_all
from tests.ledger.model import ModelAttempt
from tests.ledger.sweep import operations_for, zombie_of
from tests.ledger.world import RETENTION_MS, World

EXAMPLES = int(os.environ.get("MINDSWARM_TEST_EXAMPLES", "0"))

twice = st.booleans()
one_of = st.integers(0, 10_000)


def pick(members: list[Any], number: int) -> Any:
    return members[number % len(members)]


class LedgerMachine(RuleBasedStateMachine):
    """Each rule is one actor doing one thing."""

    def __init__(self, url: str, namespace: str) -> None:
        super().__init__()
        self.world = World(url, Settings(namespace=namespace))
        self.model = self.world.model
        #: what processes that are gone left behind, not yet settled
        self.lost: list[tuple[str, LostAttempt]] = []
        #: what an earlier sweep found and has not yet acted on
        self.found: Due | None = None
        #: settlements and controls that were answered, to be sent again
        self.sent: list[tuple[Any, Any]] = []

    def teardown(self) -> None:
        self.world.close()

    @invariant()
    def every_promise_holds(self) -> None:
        self.world.read_events()
        check_all(self.world.snapshot(), self.model, self.world.settings)

    @initialize(profiles=st.lists(drawing.profiles, min_size=1, max_size=2), slots=st.integers(1, 3))
    def some_agents_are_there(self, profiles: list[dict[str, Any]], slots: int) -> None:
        for agent_id, profile in zip(drawing.AGENTS, profiles, strict=False):
            self.register(agent_id, profile, slots, True)

    # --- submitters --------------------------------------------------------------------------------------

    @rule(task_type=drawing.task_types, options=drawing.options, count=st.integers(1, 3), twice=twice)
    def submit(self, task_type: str, options: Any, count: int, twice: bool) -> None:
        for _ in range(count):
            self.world.submit(task_type, options, twice=twice)

    @rule(options=drawing.options, key=st.sampled_from(["once", "only"]), twice=twice)
    def submit_with_an_idempotency_key(self, options: Any, key: str, twice: bool) -> None:
        self.world.submit("t", options, key, twice)

    @rule(options=drawing.options, seconds=st.sampled_from(drawing.SECONDS))
    def submit_for_later(self, options: Any, seconds: int) -> None:
        start_at = self.world.now() + timedelta(seconds=seconds)
        self.world.submit("t", options.model_copy(update={"start_at": start_at}))

    @precondition(lambda self: self.executions)
    @rule(which=one_of, twice=twice)
    def pause(self, which: int, twice: bool) -> None:
        id = pick(self.executions, which)
        self.control(PAUSE, id, operations.pause(id, new_nonce(), "", "{}"), twice)

    @precondition(lambda self: self.executions)
    @rule(which=one_of, twice=twice)
    def resume(self, which: int, twice: bool) -> None:
        id = pick(self.executions, which)
        before = self.world.snapshot().executions[id]
        withdraws = before["status"] == RUNNING and before.get("intent_kind") == "pause"
        operation = operations.resume(id, new_nonce(), "{}", {})
        self.control(PAUSE if withdraws else RESUME, id, operation, twice)

    @precondition(lambda self: self.executions)
    @rule(which=one_of, force=st.booleans(), twice=twice)
    def cancel(self, which: int, force: bool, twice: bool) -> None:
        id = pick(self.executions, which)
        record = self.world.snapshot().executions[id]
        operation = operations.cancel(id, new_nonce(), "", force=force, error="{}", data="{}")
        self.control(CANCEL, id, operation, twice)
        if force and record["status"] == RUNNING:
            self.model.zombies.add((record["agent_id"], f"{id}.{record['attempt']}", record["nonce"]))

    @precondition(lambda self: self.executions)
    @rule(which=one_of, twice=twice)
    def retry(self, which: int, twice: bool) -> None:
        id = pick(self.executions, which)
        if self.control(RETRY, id, operations.retry(id, new_nonce(), "{}", {}), twice):
            self.model.executions[id].retries += 1

    def control(self, move: Move, id: str, operation: Any, twice: bool) -> bool:
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

    # --- agents ------------------------------------------------------------------------------------------

    @rule(
        agent_id=st.sampled_from(drawing.AGENTS),
        profile=drawing.profiles,
        slots=st.integers(1, 3),
        prompt=st.sampled_from([True, True, False]),
    )
    def register(self, agent_id: str, profile: dict[str, Any], slots: int, prompt: bool) -> None:
        """A new process starts; a prompt one settles what the earlier one lost, and opens."""
        self.lost += [(agent_id, one) for one in self.world.register(agent_id, profile, slots)]
        if prompt:
            self.settle_lost()
            self.set_state(agent_id, "awake", False)

    @precondition(lambda self: self.lost)
    @rule()
    def settle_lost(self) -> None:
        for agent_id, lost in self.lost:
            self.world.settle_lost(agent_id, lost)
        self.lost.clear()

    @precondition(lambda self: self.model.agents)
    @rule(which=one_of, state=st.sampled_from(["awake", "awake", "draining", "sleeping", "offline"]), twice=twice)
    def agent_changes_its_state(self, which: int, state: str, twice: bool) -> None:
        self.set_state(pick(self.agents, which), state, twice)

    def set_state(self, agent_id: str, state: str, twice: bool) -> None:
        present = self.world.snapshot().agents.get(agent_id)
        incarnation = self.model.agents[agent_id].incarnation
        operation = operations.set_agent_state(
            agent_id, incarnation, state, accepts_work=state == "awake", event=f"agent.{state}"
        )
        reply = self.world.run(operation, twice)
        if present is None:
            assert reply == Absent()
        elif present["incarnation"] != incarnation:
            assert reply == Fenced()
        else:
            assert reply.status == state

    @precondition(lambda self: self.model.agents)
    @rule(which=one_of, state=st.sampled_from(["awake", "draining", "sleeping"]), twice=twice)
    def operator_changes_an_agents_state(self, which: int, state: str, twice: bool) -> None:
        agent_id = pick(self.agents, which)
        present = self.world.snapshot().agents.get(agent_id)
        operation = operations.set_agent_state(
            agent_id, "", state, accepts_work=state == "awake", event=f"agent.{state}"
        )
        reply = self.world.run(operation, twice)
        if present is None:
            assert reply == Absent()
        elif present["state"] == "offline":
            assert reply == Refused("offline")
        else:
            assert reply.status == state

    @precondition(lambda self: self.model.agents)
    @rule(which=one_of, twice=twice)
    def renew(self, which: int, twice: bool) -> None:
        agent_id = pick(self.agents, which)
        record = self.world.snapshot().agents.get(agent_id)
        reply = self.world.run(operations.renew(agent_id, self.model.agents[agent_id].incarnation))
        if record is None or not record["incarnation"]:
            assert reply == Expired()
        else:
            assert isinstance(reply, Renewed)
            held = {f"{one.execution_id}.{one.number}": one.nonce for one in reply.held}
            assert held == self.world.snapshot().held(agent_id)

    # --- attempts ----------------------------------------------------------------------------------------

    @precondition(lambda self: self.waiting_attempts)
    @rule(which=one_of, all_of_them=st.booleans(), twice=twice)
    def claim(self, which: int, all_of_them: bool, twice: bool) -> None:
        waiting = self.waiting_attempts
        for attempt in waiting if all_of_them else [pick(waiting, which)]:
            reply = self.world.claim(attempt, new_nonce(), twice)
            assert isinstance(reply, Claimed)
            assert reply.attempt.nonce == attempt.nonce

    @precondition(lambda self: self.running_attempts)
    @rule(which=one_of, checkpoint=st.booleans(), twice=twice)
    def report(self, which: int, checkpoint: bool, twice: bool) -> None:
        """And a second message of the attempt arrives meanwhile."""
        attempt = pick(self.running_attempts, which)
        second = operations.claim(attempt.execution_id, attempt.nonce, "other", attempt.agent_id)
        self.expect_no_effect(attempt, second, Taken())
        event = "execution.checkpoint" if checkpoint else "execution.progress"
        operation = operations.report(attempt.held, new_nonce(), event, "{}", {"progress_fraction": 0.5})
        record = self.world.snapshot().executions[attempt.execution_id]
        assert self.world.run(operation, twice) == Reported(record.get("intent_kind", ""))

    @precondition(lambda self: self.running_attempts)
    @rule(which=one_of, how=drawing.settlements, twice=twice)
    def settle(self, which: int, how: Any, twice: bool) -> None:
        attempt = pick(self.running_attempts, which)
        reply = self.world.settle(attempt, how, twice)
        assert isinstance(reply, Settled)
        if how.slot != "claim":
            assert reply.following is None

    @precondition(lambda self: self.live_attempts)
    @rule(which=one_of, hows=st.lists(drawing.settlements, min_size=1, max_size=4), twice=twice)
    def work(self, which: int, hows: list[Any], twice: bool) -> None:
        """An agent works: it claims if it must, settles, and goes on with what it was handed."""
        attempt = pick(self.live_attempts, which)
        if attempt.token is None:
            self.world.claim(attempt, new_nonce())
        for how in hows:
            reply = self.world.settle(attempt, how, twice)
            assert isinstance(reply, Settled)
            if reply.following is None:
                break
            attempt = self.model.attempts[reply.following.execution_id, reply.following.nonce]
            self.every_promise_holds()

    # --- time and sweeps ---------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([4, 11, 16, 23, 61]))
    def time_passes(self, seconds: int) -> None:
        self.world.advance(seconds)

    @rule()
    def find_what_is_due(self) -> None:
        self.found = self.world.run(operations.due())

    @precondition(lambda self: self.found)
    @rule()
    def act_on_what_was_found(self) -> None:
        """Perhaps long after it was found, as when two sweeps overlap or one was frozen."""
        due, self.found = self.found, None
        assert due is not None
        for agent_id in due.agents:
            reply = self.world.expire_lease(agent_id)
            if isinstance(reply, Offline):
                self.lost += [(agent_id, one) for one in reply.lost]
        for found, operation in operations_for(due):
            live = self.world.snapshot().is_live(found.execution_id, found.nonce)
            reply = self.world.run(operation)
            if live and found.status is RUNNING and isinstance(reply, Settled):
                self.model.zombies.add(zombie_of(found))

    @rule()
    def sweep(self) -> None:
        """A whole sweep. Whatever was due then is not due any more."""
        self.find_what_is_due()
        found = self.found
        self.act_on_what_was_found()
        self.settle_lost()
        again = self.world.run(operations.due())
        assert found is not None
        instants = {one.execution_id: one for one in found.executions}
        for one in again.executions:
            assert one != instants.get(one.execution_id), "a sweep had no effect"

    @rule(twice=twice)
    def match_waiting(self, twice: bool) -> None:
        """Finds nothing to repair, ever."""
        assert self.world.run(operations.match_waiting(), twice) == (0, ())

    @rule()
    def forget(self) -> None:
        before = self.world.snapshot()
        removed = self.world.run(operations.forget(RETENTION_MS, 100, 1_000_000))
        left = self.world.snapshot()
        gone = set(before.executions) - set(left.executions)
        assert len(gone) == removed
        for id in gone:
            assert before.status_of(id).is_terminal
            self.model.executions[id].forgotten = True
        kept = set(left.families["idempotency"].values())
        self.model.idempotency = {key: id for key, id in self.model.idempotency.items() if id not in gone}
        assert kept == set(self.model.idempotency.values())

    # --- stale actors ------------------------------------------------------------------------------------

    @precondition(lambda self: self.stale_attempts)
    @rule(which=one_of, token=st.sampled_from(["own", "other"]))
    def claim_and_report_when_stale(self, which: int, token: str) -> None:
        attempt = pick(self.stale_attempts, which)
        token = attempt.token or token if token == "own" else token
        claim = operations.claim(attempt.execution_id, attempt.nonce, token, attempt.agent_id)
        self.expect_no_effect(attempt, claim, Fenced())
        report = operations.report(attempt.held, new_nonce(), "execution.progress", "{}", {"progress_fraction": 1})
        self.expect_no_effect(attempt, report, Fenced())

    @precondition(lambda self: self.stale_attempts)
    @rule(which=one_of, how=drawing.settlements, row=st.sampled_from([row for row in MOVES if row.sources]))
    def settle_when_stale(self, which: int, how: Any, row: Move) -> None:
        """Its slot is freed if it still held one; the execution does not change."""
        attempt = pick(self.stale_attempts, which)
        before = self.world.snapshot().executions.get(attempt.execution_id)
        reply = self.world.settle(attempt, replace(how, move=row))
        after = self.world.snapshot().executions.get(attempt.execution_id)
        assert isinstance(reply, Fenced | Absent) or (isinstance(reply, Settled) and before is not None)
        # the freed slot may go to its own execution, which waits anew
        assert before == after or (before and after and (before["status"], after["status"]) == (PENDING, QUEUED))

    @precondition(lambda self: any(agent.old_incarnations for agent in self.model.agents.values()))
    @rule(which=one_of, generation=one_of)
    def act_as_an_old_process(self, which: int, generation: int) -> None:
        agents = sorted(name for name, agent in self.model.agents.items() if agent.old_incarnations)
        agent_id = pick(agents, which)
        old = pick(self.model.agents[agent_id].old_incarnations, generation)
        before = self.world.snapshot().families["agent"].get(agent_id)
        renewed = self.world.run(operations.renew(agent_id, old))
        opened = self.world.run(operations.set_agent_state(agent_id, old, "awake", accepts_work=True))
        assert isinstance(renewed, Fenced | Expired)
        assert isinstance(opened, Fenced | Absent)
        assert self.world.snapshot().families["agent"].get(agent_id) == before

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


def test_no_order_of_events_breaks_a_promise(valkey_url: str, namespace: str) -> None:
    profile = settings(
        max_examples=EXAMPLES or 40,
        stateful_step_count=60 if EXAMPLES else 40,
        derandomize=not EXAMPLES,
        database=None,
        deadline=None,
        print_blob=False,
        phases=[Phase.generate, Phase.shrink] if not os.environ.get('NOSHRINK') else [Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(lambda: LedgerMachine(valkey_url, namespace), settings=profile)
