"""Two who want different things of one execution at a time: whoever comes first counts, and nothing is left over."""

from __future__ import annotations

from mindswarm_exec.identifiers import new_nonce
from mindswarm_exec.ledger import operations
from mindswarm_exec.ledger.operations import Settlement
from mindswarm_exec.ledger.replies import (
    Answered,
    BudgetSpent,
    Done,
    Exhausted,
    Fenced,
    Metered,
    NotObeyed,
    Offline,
    Refused,
    Settled,
)
from mindswarm_exec.lifecycle import (
    CANCEL,
    CANCELLED,
    COMPLETE,
    COMPLETED,
    PAUSE,
    PAUSED,
    PENDING,
    QUEUED,
    RELEASE,
    RUNNING,
    STRAND,
)
from mindswarm_exec.service.control import cancellation_of_children
from mindswarm_exec.service.sweeps import settle_lost, sweep
from tests.ledger.driving import (
    QUESTION,
    answer,
    ask,
    budget,
    control,
    events,
    frozen,
    lose_agent,
    meter,
    parked,
    record,
    status,
    submitted,
)
from tests.ledger.world import World

# --- pause, resume, completion -------------------------------------------------------------------------------


def test_a_completion_gets_ahead_of_a_pause_that_was_asked_for(world: World) -> None:
    world.open_agent()
    attempt = world.running(submitted(world))
    control(world, "pause", attempt.execution_id)
    assert isinstance(world.settle(attempt, Settlement(COMPLETE)), Settled)
    ended = record(world, attempt.execution_id)
    assert ended["status"] == COMPLETED
    assert "intent_acknowledged_at_ms" not in ended
    assert "intent_slot_released_at_ms" in ended


def test_a_pause_that_comes_after_the_completion_is_refused(world: World) -> None:
    world.open_agent()
    attempt = world.running(submitted(world))
    world.settle(attempt, Settlement(COMPLETE))
    assert ask(world, "pause", attempt.execution_id) == Refused(COMPLETED)


def test_of_two_resumes_one_counts_and_the_other_is_refused(world: World) -> None:
    execution_id = submitted(world)
    control(world, "pause", execution_id)
    control(world, "resume", execution_id)
    assert ask(world, "resume", execution_id) == Refused(PENDING)
    assert events(world, execution_id).count("resumed") == 1


def test_of_two_resumes_of_a_frozen_process_one_lets_it_go_on(world: World) -> None:
    world.open_agent()
    attempt = frozen(world)
    control(world, "resume", attempt.execution_id)
    assert ask(world, "resume", attempt.execution_id) == Refused(RUNNING)
    assert events(world, attempt.execution_id).count("resumed") == 1


def test_a_checkpoint_is_not_replaced_under_a_handler_that_still_runs_towards_its_pause(world: World) -> None:
    """It would not see the new one, and its next checkpoint would overwrite it."""
    world.open_agent()
    attempt = world.running(submitted(world))
    control(world, "pause", attempt.execution_id)
    before = world.snapshot()
    edit = operations.resume(attempt.execution_id, "edit", "{}", {"checkpoint": "1"}, checkpoint_replaced=True)
    assert world.run(edit) == NotObeyed()
    assert world.snapshot() == before
    world.settle(attempt, Settlement(PAUSE), fields={"checkpoint": "0"})
    assert isinstance(world.run(edit), Done)
    assert record(world, attempt.execution_id)["checkpoint"] == "1"


def test_a_pause_asked_for_again_is_the_same_wish(world: World) -> None:
    world.open_agent()
    attempt = world.running(submitted(world))
    control(world, "pause", attempt.execution_id)
    asked = record(world, attempt.execution_id)
    world.advance(5)
    control(world, "pause", attempt.execution_id)
    again = record(world, attempt.execution_id)
    for field in ("intent_requested_at_ms", "pause_ack_at_ms", "seq"):
        assert again[field] == asked[field]


# --- pause and cancel ----------------------------------------------------------------------------------------


def test_a_cancel_takes_the_place_of_a_pause(world: World) -> None:
    world.open_agent()
    attempt = world.running(submitted(world))
    control(world, "pause", attempt.execution_id)
    control(world, "cancel", attempt.execution_id)
    assert world.run(operations.freeze(attempt.held, "{}")) == Refused(RUNNING)
    world.settle(attempt, Settlement(PAUSE))
    assert status(world, attempt.execution_id) is CANCELLED
    assert events(world, attempt.execution_id)[-4:] == ["pause_requested", "cancel_requested", "paused", "cancelled"]


def test_a_pause_does_not_take_the_place_of_a_cancel(world: World) -> None:
    world.open_agent()
    attempt = world.running(submitted(world))
    control(world, "cancel", attempt.execution_id)
    asked = record(world, attempt.execution_id)
    world.advance(1)
    control(world, "pause", attempt.execution_id)
    again = record(world, attempt.execution_id)
    assert (again["intent_kind"], again["cancel_grace_at_ms"]) == ("cancel", asked["cancel_grace_at_ms"])
    assert ask(world, "resume", attempt.execution_id) == Refused(RUNNING)


def test_a_cancel_asked_for_again_gets_no_longer_grace(world: World) -> None:
    world.open_agent()
    attempt = world.running(submitted(world))
    control(world, "cancel", attempt.execution_id)
    asked = record(world, attempt.execution_id)
    world.advance(3)
    control(world, "cancel", attempt.execution_id)
    again = record(world, attempt.execution_id)
    assert (again["cancel_grace_at_ms"], again["seq"]) == (asked["cancel_grace_at_ms"], asked["seq"])


# --- frozen in place -----------------------------------------------------------------------------------------


def test_a_process_goes_on_whose_pause_was_withdrawn_as_it_was_frozen(world: World) -> None:
    world.open_agent()
    attempt = world.running(submitted(world))
    control(world, "pause", attempt.execution_id)
    control(world, "resume", attempt.execution_id)
    before = record(world, attempt.execution_id)
    assert world.run(operations.freeze(attempt.held, "{}")) == Refused(RUNNING)
    assert record(world, attempt.execution_id) == before
    assert isinstance(world.settle(attempt, Settlement(COMPLETE)), Settled)


def test_a_frozen_process_that_is_to_be_cancelled_cannot_be_resumed(world: World) -> None:
    world.open_agent()
    attempt = frozen(world)
    control(world, "cancel", attempt.execution_id)
    assert ask(world, "resume", attempt.execution_id) == Refused(PAUSED)
    assert isinstance(world.settle(attempt, Settlement(CANCEL)), Settled)
    assert status(world, attempt.execution_id) is CANCELLED
    assert world.snapshot().held("ant") == {}


def test_a_frozen_process_that_does_not_end_within_its_grace_is_fenced(world: World) -> None:
    world.open_agent()
    attempt = frozen(world)
    control(world, "cancel", attempt.execution_id)
    world.advance(8)
    sweep(world.ledger)
    ended = record(world, attempt.execution_id)
    assert (ended["status"], ended["intent_unresponsive"]) == (CANCELLED, "1")
    assert "intent_slot_released_at_ms" not in ended
    assert attempt.id in world.snapshot().held("ant")
    assert world.settle(attempt, Settlement(RELEASE)) == Fenced(ended_by="cancel")
    assert "intent_slot_released_at_ms" in record(world, attempt.execution_id)


def test_a_frozen_process_lost_with_its_agent_leaves_an_ordinary_pause(world: World) -> None:
    world.open_agent()
    attempt = frozen(world)
    lose_agent(world)
    left = record(world, attempt.execution_id)
    assert (left["status"], "frozen" in left) == (PAUSED, False)
    assert "intent_slot_released_at_ms" in left
    control(world, "resume", attempt.execution_id)
    assert status(world, attempt.execution_id) is PENDING


def test_an_attempt_thawed_as_its_agent_was_lost_is_found_again_and_runs_elsewhere(world: World) -> None:
    world.open_agent()
    attempt = frozen(world)
    world.advance(16)
    reply = world.expire_lease("ant")
    assert isinstance(reply, Offline)
    control(world, "resume", attempt.execution_id)
    settle_lost(world.ledger, "ant", reply.lost, "it is gone")
    assert status(world, attempt.execution_id) is RUNNING
    assert attempt.id in world.snapshot().held("ant")
    world.open_agent("bee")
    world.advance(1)
    again = world.expire_lease("ant")
    assert isinstance(again, Offline)
    settle_lost(world.ledger, "ant", again.lost, "it is gone")
    assert (status(world, attempt.execution_id), record(world, attempt.execution_id)["agent_id"]) == (QUEUED, "bee")


def test_a_stranding_that_comes_after_the_thaw_changes_nothing(world: World) -> None:
    world.open_agent()
    attempt = frozen(world)
    control(world, "resume", attempt.execution_id)
    before = world.snapshot()
    assert world.settle(attempt, Settlement(STRAND)) == Refused(RUNNING)
    assert world.snapshot() == before


# --- questions -----------------------------------------------------------------------------------------------


def test_a_question_that_is_asked_as_a_cancel_comes_is_not_opened(world: World) -> None:
    world.open_agent()
    attempt = world.running(submitted(world))
    control(world, "cancel", attempt.execution_id)
    world.settle(attempt, Settlement(PAUSE), fields=QUESTION)
    ended = record(world, attempt.execution_id)
    assert (ended["status"], "question" in ended) == (CANCELLED, False)
    assert answer(world, attempt.execution_id) == Refused(CANCELLED)


def test_of_two_answers_the_first_counts(world: World) -> None:
    world.open_agent()
    attempt = parked(world)
    assert isinstance(answer(world, attempt.execution_id), Done)
    assert answer(world, attempt.execution_id) == Answered()
    assert events(world, attempt.execution_id).count("resumed") == 1


# --- budgets -------------------------------------------------------------------------------------------------


def test_a_pause_that_a_person_asked_for_stays_theirs_when_the_budget_is_spent(world: World) -> None:
    world.open_agent()
    attempt = world.running(submitted(world, **budget(5)))
    control(world, "pause", attempt.execution_id)
    assert meter(world, attempt, 6) == Metered("pause", 6)
    paused = record(world, attempt.execution_id)
    assert "pause_reason" not in paused
    assert events(world, attempt.execution_id).count("pause_requested") == 1
    control(world, "resume", attempt.execution_id)
    assert meter(world, attempt, 1) == Exhausted(7, 5)
    assert record(world, attempt.execution_id)["pause_reason"] == "budget"


def test_a_person_cannot_resume_past_a_spent_budget_without_a_larger_limit(world: World) -> None:
    world.open_agent()
    attempt = world.running(submitted(world, **budget(5)))
    assert meter(world, attempt, 5) == Metered("pause", 5)
    control(world, "pause", attempt.execution_id)
    id = attempt.execution_id
    world.settle(attempt, Settlement(PAUSE))
    for limit, is_enough in ((None, False), (5, False), (6, True)):
        fields = {} if limit is None else {"budget:tokens": limit}
        reply = world.run(operations.resume(id, new_nonce(), "{}", fields))
        assert isinstance(reply, Done) if is_enough else reply == BudgetSpent(id, "tokens", 5, 5)


# --- families ------------------------------------------------------------------------------------------------


def test_a_child_that_starts_before_the_cancel_is_cancelled_and_one_after_it_does_not_start(world: World) -> None:
    world.open_agent()
    parent = world.running(submitted(world))
    child = submitted(world, parent.execution_id)
    control(world, "cancel", parent.execution_id)
    assert world.submit("t", world.model.executions[child].options, parent_id=parent.execution_id) is None
    world.run(cancellation_of_children(parent.execution_id))
    assert status(world, child) is CANCELLED


def test_what_nobody_cancels_a_sweep_does_to_the_last_grandchild(world: World) -> None:
    parent = submitted(world)
    child = submitted(world, parent)
    grandchild = submitted(world, child)
    control(world, "cancel", parent)
    for _ in range(2):
        sweep(world.ledger)
    assert [status(world, one) for one in (child, grandchild)] == [CANCELLED, CANCELLED]
    assert world.snapshot().only("deadlines") == {}
