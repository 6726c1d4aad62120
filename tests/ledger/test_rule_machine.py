"""The ledger against a model: every verb, the passing of time, sweeps and stale actors, in any order.

Runs against the real server, the same way each time. `MINDSWARM_TEST_EXAMPLES=2000` looks longer and further,
elsewhere each time, and shortens what it finds, which may take minutes.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule, run_state_machine_as_test

from mindswarm_exec.identifiers import attempt_id, new_nonce
from mindswarm_exec.ledger import operations
from mindswarm_exec.ledger.replies import (
    Absent,
    Done,
    DueExecution,
    Expired,
    Fenced,
    Offline,
    Refused,
    Renewed,
    Settled,
)
from mindswarm_exec.lifecycle import MOVES, PAUSED, PENDING, QUEUED, RUNNING, Move
from mindswarm_exec.service.control import cancellation_of_children, resumption_of_starved
from mindswarm_exec.service.sweeps import step_for
from tests.ledger import drawing
from tests.ledger.invariants_of_control import METER, check_cascades_are_over
from tests.ledger.machine import Machine, one_of, pick, twice
from tests.ledger.rules_of_families import Families
from tests.ledger.rules_of_pausing import IN_PLACE, Pausers
from tests.ledger.rules_of_sleep import Sleepers
from tests.ledger.rules_of_work import Submitters, Workers
from tests.ledger.snapshot import Record
from tests.ledger.world import RETENTION_MS

EXAMPLES = int(os.environ.get("MINDSWARM_TEST_EXAMPLES", "0"))


class Agents(Machine):
    """Come, go and come again, under the same names."""

    @initialize(
        profiles=st.lists(drawing.profiles, min_size=1, max_size=2),
        slots=st.integers(1, 3),
        submitted=st.lists(drawing.options, min_size=2, max_size=4),
    )
    def some_work_and_agents_are_there(self, profiles: list[Any], slots: int, submitted: list[Any]) -> None:
        for agent_id, profile in zip(drawing.AGENTS, profiles, strict=False):
            self.register(agent_id, profile, slots, True)
        for options in submitted:
            self.world.submit("t", options)

    @precondition(lambda self: self.lost)
    @rule()
    def settle_lost(self) -> None:
        self.settle_what_was_lost()

    @rule(
        what=st.sampled_from(["start", "awake", "awake", "awake", "draining", "sleeping", "offline"]),
        agent_id=st.sampled_from(drawing.AGENTS),
        profile=drawing.profiles,
        slots=st.integers(1, 3),
        flag=st.booleans(),
        twice=twice,
    )
    def come_or_go(
        self, what: str, agent_id: str, profile: dict[str, Any], slots: int, flag: bool, twice: bool
    ) -> None:
        if what == "start" or agent_id not in self.model.agents:
            self.register(agent_id, profile, slots, prompt=flag)
        else:
            # an operator says it, or the process; that it sleeps, only the operator; that it goes, only the process
            by_operator = what == "sleeping" or (flag and what != "offline")
            self.set_state(agent_id, what, twice, by_operator=by_operator)

    def register(self, agent_id: str, profile: dict[str, Any], slots: int, prompt: bool) -> None:
        """A new process starts; a prompt one settles what the earlier one lost, and opens."""
        self.lost += [(agent_id, one) for one in self.world.register(agent_id, profile, slots)]
        if prompt:
            self.settle_what_was_lost()
            self.set_state(agent_id, "awake", False)

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


class Sweeps(Machine):
    """Time passes; sweeps come when they come, and may act on what is long past."""

    @rule(seconds=st.sampled_from([4, 11, 16, 23, 61]), heard_of=st.sampled_from([True, True, True, False]))
    def time_passes(self, seconds: int, heard_of: bool) -> None:
        """Agents that are heard of keep their leases over it."""
        self.world.advance(seconds)
        for agent_id in self.agents if heard_of else ():
            self.world.run(operations.renew(agent_id, self.model.agents[agent_id].incarnation))

    @rule(patience_ms=st.sampled_from([None, None, 7500]))
    def find_what_is_due(self, patience_ms: int | None = None) -> None:
        self.found = self.world.run(operations.due(patience_ms=patience_ms))

    @precondition(lambda self: self.found)
    @rule()
    def act_on_what_was_found(self) -> None:
        """Perhaps long after it was found, as when two sweeps overlap or one was frozen."""
        due, self.found = self.found, None
        assert due is not None
        for agent_id in due.agents:
            self.pass_over(agent_id)
            reply = self.world.expire_lease(agent_id)
            if isinstance(reply, Offline):
                self.lost += [(agent_id, one) for one in reply.lost]
        for found in due.executions:
            if (operation := step_for(found, due.now_ms)) is not None:
                self.act_on(found, operation)
        for parent_id in due.parents:
            self.world.run(cancellation_of_children(parent_id))
        for owner_id in due.raised:
            self.world.run(resumption_of_starved(owner_id))

    def pass_over(self, agent_id: str) -> None:
        """As a sweep does: whoever was to wake and did not sleeps on; all others stay as they are."""
        before = self.world.snapshot().agents.get(agent_id)
        reply = self.world.run(operations.pass_over(agent_id))
        if isinstance(reply, Done):
            assert before is not None
            assert before["state"] == "waking"
            assert self.world.state(agent_id) == "sleeping"
        else:
            assert self.world.snapshot().agents.get(agent_id) == before

    def act_on(self, found: DueExecution, operation: Any) -> None:
        before = self.world.snapshot()
        live = before.is_live(found.execution_id, found.nonce)
        reply = self.world.run(operation)
        if isinstance(reply, Refused):
            assert self.world.snapshot() == before
        if live and found.status in (RUNNING, PAUSED) and isinstance(reply, Settled):
            attempt = attempt_id(found.execution_id, found.number)
            self.model.zombies.add((found.agent_id, attempt, found.nonce))

    @rule()
    def sweep(self) -> None:
        """A whole sweep. Whatever was due then is not due any more."""
        self.find_what_is_due()
        found = self.found
        self.act_on_what_was_found()
        self.settle_what_was_lost()
        again = self.world.run(operations.due())
        assert found is not None
        instants = {one.execution_id: one for one in found.executions}
        for one in again.executions:
            assert one != instants.get(one.execution_id), "a sweep had no effect"
        self.finish_cascades()

    def finish_cascades(self) -> None:
        """Sweeps follow each other until no family has children left to cancel."""
        while parents := self.world.run(operations.due()).parents:
            for parent_id in parents:
                self.world.run(cancellation_of_children(parent_id))
        while raised := self.world.run(operations.due()).raised:
            for owner_id in raised:
                self.world.run(resumption_of_starved(owner_id))
        check_cascades_are_over(self.world.snapshot(), self.model)

    @rule(twice=twice)
    def tidy(self, twice: bool) -> None:
        """No match was missed, so there is none to make; what has outlived its retention goes."""
        assert self.world.run(operations.match_waiting(), twice) == (0, ())
        self.forget()

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


class StaleActors(Machine):
    """Speak with a nonce or an incarnation that has lost its right. They change nothing."""

    @precondition(lambda self: self.stale_attempts)
    @rule(which=one_of, token=st.sampled_from(["own", "other"]))
    def claim_report_freeze_and_meter_when_stale(self, which: int, token: str) -> None:
        attempt = pick(self.stale_attempts, which)
        token = attempt.token or token if token == "own" else token
        claim = operations.claim(attempt.execution_id, attempt.nonce, token, attempt.agent_id)
        self.expect_no_effect(attempt, claim, Fenced())
        report = operations.report(attempt.held, new_nonce(), "execution.progress", "{}", {"progress_fraction": 1})
        self.expect_no_effect(attempt, report, Fenced())
        self.expect_no_effect(attempt, operations.freeze(attempt.held, IN_PLACE), Fenced())
        self.expect_no_effect(attempt, operations.meter(attempt.held, new_nonce(), METER, 1), Fenced())

    @precondition(lambda self: self.stale_attempts)
    @rule(which=one_of, how=drawing.settlements, row=st.sampled_from([row for row in MOVES if row.sources]))
    def settle_when_stale(self, which: int, how: Any, row: Move) -> None:
        """Its slot is freed if it still held one; the execution does not change."""
        attempt = pick(self.stale_attempts, which)
        before = self.world.snapshot().executions.get(attempt.execution_id)
        reply = self.world.settle(attempt, replace(how, move=row))
        after = self.world.snapshot().executions.get(attempt.execution_id)
        assert isinstance(reply, Fenced | Absent) or (isinstance(reply, Settled) and before is not None)
        # the receipt of a wish may name the release; the slot may go to its own execution, which waits anew
        is_same = without_release(before) == without_release(after)
        assert is_same or (before and after and (before["status"], after["status"]) == (PENDING, QUEUED))

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


def without_release(record: Record | None) -> Record | None:
    return record and {name: value for name, value in record.items() if name != "intent_slot_released_at_ms"}


class LedgerMachine(Submitters, Workers, Pausers, Families, Agents, Sleepers, Sweeps, StaleActors):
    """Each rule is one actor doing one thing."""


def test_no_order_of_events_breaks_a_promise(valkey_url: str, namespace: str) -> None:
    profile = settings(
        max_examples=EXAMPLES or 60,
        stateful_step_count=60 if EXAMPLES else 50,
        derandomize=not EXAMPLES,
        phases=[Phase.generate, Phase.shrink] if EXAMPLES else [Phase.generate],
        database=None,
        deadline=None,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(lambda: LedgerMachine(valkey_url, namespace), settings=profile)
