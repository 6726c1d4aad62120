"""What the rule machine and a close reading of the scripts have found, each fault as a test of its own."""

from __future__ import annotations

from datetime import timedelta

from mindswarm_exec.ledger import operations
from mindswarm_exec.ledger.operations import Settlement
from mindswarm_exec.ledger.replies import Expired, Fenced, Settled
from mindswarm_exec.lifecycle import (
    CANCELLED,
    COMPLETE,
    COMPLETED,
    FAIL,
    PAUSED,
    PENDING,
    POSTPONE,
    QUEUED,
    RELEASE,
    TIME_OUT,
    TIMED_OUT,
)
from mindswarm_exec.service.sweeps import step_for, sweep
from tests.ledger.driving import control, lose_agent, status, submitted
from tests.ledger.model import ModelAttempt
from tests.ledger.world import RETENTION_MS, World


def following(world: World, reply: object) -> ModelAttempt:
    assert isinstance(reply, Settled)
    assert reply.following is not None
    return world.model.attempts[reply.following.execution_id, reply.following.nonce]


# --- an attempt that follows at once -------------------------------------------------------------------------


def test_an_execution_fed_back_to_its_own_slot_can_settle(world: World) -> None:
    world.open_agent()
    first = world.running(submitted(world))
    again = following(world, world.settle(first, Settlement(POSTPONE, slot="claim")))
    assert again.execution_id == first.execution_id
    assert isinstance(world.settle(again, Settlement(COMPLETE)), Settled)
    assert status(world, first.execution_id) is COMPLETED


def test_a_repeated_settlement_names_its_successor_after_a_retry_too(world: World) -> None:
    world.open_agent()
    attempt = world.running(submitted(world))
    submitted(world)
    how = Settlement(FAIL, slot="claim")
    operation = operations.settle(attempt.held, "ant", "agent:ant", how, {})
    first = world.run(operation)
    assert first.following is not None
    control(world, "retry", attempt.execution_id)
    assert world.run(operation) == first


# --- queue timeouts ------------------------------------------------------------------------------------------


def test_a_queue_timeout_ends_an_execution_again_after_a_retry(world: World) -> None:
    execution_id = submitted(world, queue_timeout_seconds=5)
    for _ in range(2):
        world.advance(5)
        sweep(world.ledger)
        assert status(world, execution_id) is TIMED_OUT
        control(world, "retry", execution_id)
    assert status(world, execution_id) is PENDING


def test_a_queue_timeout_that_ended_an_attempt_ends_the_execution_again_after_a_retry(world: World) -> None:
    """The retried execution still carries the nonce of the attempt that the first timeout took back."""
    world.open_agent()
    execution_id = submitted(world, queue_timeout_seconds=5)
    assert status(world, execution_id) is QUEUED
    world.advance(5)
    sweep_executions(world)
    assert status(world, execution_id) is TIMED_OUT
    world.run(operations.set_agent_state("ant", "", "draining", accepts_work=False))
    control(world, "retry", execution_id)
    world.advance(5)
    sweep_executions(world)
    assert status(world, execution_id) is TIMED_OUT


def test_a_queue_timeout_does_not_run_before_the_start_time(world: World) -> None:
    execution_id = submitted(world, queue_timeout_seconds=5, start_at=world.now() + timedelta(seconds=60))
    world.advance(30)
    sweep(world.ledger)
    assert status(world, execution_id) is PENDING
    for seconds in (30, 5):
        world.advance(seconds)
        sweep(world.ledger)
    assert status(world, execution_id) is TIMED_OUT


# --- pauses --------------------------------------------------------------------------------------------------


def test_a_start_time_outlasts_a_pause(world: World) -> None:
    world.open_agent()
    execution_id = submitted(world, start_at=world.now() + timedelta(seconds=60))
    control(world, "pause", execution_id)
    control(world, "resume", execution_id)
    assert status(world, execution_id) is PENDING
    world.advance(60)
    sweep_executions(world)
    assert status(world, execution_id) is QUEUED


def test_who_comes_too_late_is_told_how_the_attempt_ended_until_there_is_a_later_one(world: World) -> None:
    world.open_agent()
    attempt = world.running(submitted(world))
    control(world, "force", attempt.execution_id)
    assert world.settle(attempt, Settlement(RELEASE)) == Fenced(ended_by="forced")
    control(world, "retry", attempt.execution_id)
    assert world.settle(attempt, Settlement(RELEASE)) == Fenced()


def test_an_attempt_withdrawn_by_a_pause_cannot_speak_for_the_resumed_execution(world: World) -> None:
    world.open_agent()
    execution_id = submitted(world)
    attempt = world.model.attempts[execution_id, world.snapshot().executions[execution_id]["nonce"]]
    control(world, "pause", execution_id)
    before = world.snapshot().executions
    assert world.settle(attempt, Settlement(TIME_OUT)) == Fenced(ended_by="withdrawn")
    assert world.snapshot().executions == before


def test_a_pause_asked_of_a_lost_attempt_is_obeyed_when_it_is_released(world: World) -> None:
    world.open_agent()
    attempt = world.running(submitted(world))
    control(world, "pause", attempt.execution_id)
    lose_agent(world)
    assert status(world, attempt.execution_id) is PAUSED


def test_a_cancel_asked_of_a_lost_attempt_is_obeyed_when_it_is_released(world: World) -> None:
    world.open_agent()
    attempt = world.running(submitted(world))
    control(world, "cancel", attempt.execution_id)
    lose_agent(world)
    record = world.snapshot().executions[attempt.execution_id]
    assert (record["status"], record["error"]) == (CANCELLED, '{"kind":"cancelled_by"}')
    assert "intent_acknowledged_at_ms" in record


# --- slots whose code still runs -----------------------------------------------------------------------------


def zombie_of_a_waiting_execution(world: World, **options: object) -> ModelAttempt:
    """An attempt that was given up while its code goes on; its execution waits for a later try."""
    world.open_agent()
    attempt = world.running(submitted(world, **options))
    world.settle(attempt, Settlement(POSTPONE, slot="keep", delay_ms=60_000))
    assert world.snapshot().held("ant") == {attempt.id: attempt.nonce}
    return attempt


def test_a_slot_stays_taken_by_its_code_when_the_waiting_execution_is_cancelled(world: World) -> None:
    attempt = zombie_of_a_waiting_execution(world)
    control(world, "cancel", attempt.execution_id)
    assert attempt.id in world.snapshot().held("ant")


def test_a_slot_stays_taken_by_its_code_when_the_waiting_execution_times_out(world: World) -> None:
    attempt = zombie_of_a_waiting_execution(world, queue_timeout_seconds=5)
    submitted(world)
    world.advance(60)
    for _ in range(2):
        sweep_executions(world)
        world.advance(5)
    assert status(world, attempt.execution_id) is TIMED_OUT
    assert list(world.snapshot().held("ant")) == [attempt.id]


def test_a_sweep_that_comes_late_does_not_free_the_slot_of_code_that_still_runs(world: World) -> None:
    """It found the attempt queued; since then it was claimed, fenced by force, and followed by another."""
    world.open_agent(max_concurrent=2)
    execution_id = submitted(world, queue_timeout_seconds=5)
    world.advance(5)
    found = world.run(operations.due())
    attempt = world.running(execution_id)
    control(world, "force", execution_id)
    control(world, "retry", execution_id)
    assert len(world.snapshot().held("ant")) == 2
    for one in found.executions:
        world.run(step_for(one, found.now_ms))
    assert attempt.id in world.snapshot().held("ant")


def test_a_settlement_that_kept_its_slot_frees_it_when_it_comes_again(world: World) -> None:
    world.open_agent()
    attempt = world.running(submitted(world))
    waiting = submitted(world)
    world.settle(attempt, Settlement(FAIL, slot="keep"))
    assert status(world, waiting) is PENDING
    world.settle(attempt, Settlement(FAIL, slot="wake"))
    assert status(world, waiting) is QUEUED


def sweep_executions(world: World) -> None:
    """A sweep that leaves the agents alone: theirs is a lease that nobody renews here."""
    due = world.run(operations.due())
    for one in due.executions:
        world.run(step_for(one, due.now_ms))


# --- agents --------------------------------------------------------------------------------------------------


def test_an_agent_whose_lease_ran_out_while_it_was_offline_has_to_register_again(world: World) -> None:
    incarnation = world.open_agent().incarnation
    world.run(operations.set_agent_state("ant", incarnation, "offline", accepts_work=False))
    world.advance(16)
    world.run(operations.expire_lease("ant", RETENTION_MS))
    assert world.run(operations.renew("ant", incarnation)) == Expired()
    assert world.run(operations.set_agent_state("ant", incarnation, "awake", accepts_work=True)) == Fenced()


def test_a_changed_success_rate_counts_at_once_though_the_slot_is_kept(world: World) -> None:
    world.open_agent(max_concurrent=2)
    attempt = world.running(submitted(world, agent={"min_success_rate": 0.95}))
    world.settle(attempt, Settlement(FAIL, slot="keep", outcome="0"))
    assert status(world, submitted(world, agent={"min_success_rate": 0.95})) is PENDING


def test_an_agent_below_the_success_rate_is_not_fed(world: World) -> None:
    world.open_agent()
    attempt = world.running(submitted(world, agent={"min_success_rate": 0.95}))
    demanding, plain = submitted(world, priority=9, agent={"min_success_rate": 0.95}), submitted(world)
    fed = following(world, world.settle(attempt, Settlement(FAIL, slot="claim", outcome="0")))
    assert fed.execution_id == plain
    assert status(world, demanding) is PENDING


def test_force_start_does_not_waive_the_success_rate(world: World) -> None:
    world.open_agent()
    world.settle(world.running(submitted(world)), Settlement(FAIL, outcome="0"))
    forced = submitted(world, force_start=True, agent={"min_success_rate": 0.95})
    assert status(world, forced) is PENDING


def test_force_start_exceeds_the_slots(world: World) -> None:
    world.open_agent()
    normal, forced = submitted(world), submitted(world, force_start=True)
    assert {world.running(normal).id, world.running(forced).id} == set(world.snapshot().held("ant"))


def test_a_limit_of_wall_time_is_enforced_by_a_sweep_where_the_agent_does_not(world: World) -> None:
    world.open_agent()
    execution_id = submitted(world, timeout_seconds=60, resource_limits={"wall_seconds": 5})
    world.running(execution_id)
    world.advance(8)
    sweep(world.ledger)
    assert status(world, execution_id) is TIMED_OUT
    assert '"limit_seconds":5' in world.snapshot().executions[execution_id]["error"]
