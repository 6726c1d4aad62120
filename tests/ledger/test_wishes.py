"""What the rule machine and a close reading have found about wishes, each fault as a test of its own."""

from __future__ import annotations

import pytest

from mindswarm_exec.identifiers import new_nonce
from mindswarm_exec.ledger import operations
from mindswarm_exec.ledger.operations import Settlement
from mindswarm_exec.ledger.replies import Exhausted, Metered, Refused, Reported
from mindswarm_exec.lifecycle import CANCELLED, COMPLETE, PAUSED, POSTPONE, QUEUED, RELEASE, Move
from tests.ledger.driving import (
    answer,
    budget,
    control,
    frozen,
    lose_agent,
    meter,
    parked,
    record,
    status,
    submitted,
)
from tests.ledger.world import World

# --- frozen attempts -----------------------------------------------------------------------------------------


def test_news_that_were_on_the_way_when_a_process_was_frozen_count(world: World) -> None:
    """Its agent may read output and checkpoints from the pipe after the ledger took it for paused."""
    world.open_agent()
    attempt = frozen(world, stall_timeout_seconds=20)
    news = operations.report(attempt.held, new_nonce(), "execution.checkpoint", "{}", {"checkpoint": "1"})
    assert world.run(news) == Reported("pause")
    assert meter(world, attempt, 3) == Metered("pause", 3)
    kept = record(world, attempt.execution_id)
    assert (kept["checkpoint"], kept["meter:tokens"]) == ("1", "3")
    assert "stall_at_ms" not in kept


@pytest.mark.parametrize("row", [COMPLETE, RELEASE, POSTPONE])
def test_a_settlement_that_a_frozen_attempt_forbids_leaves_it_its_slot(row: Move, world: World) -> None:
    world.open_agent()
    attempt = frozen(world)
    before = world.snapshot()
    assert world.settle(attempt, Settlement(row)) == Refused(PAUSED)
    assert world.snapshot() == before


def test_the_clocks_of_a_thawed_attempt_go_on_from_where_they_stood(world: World) -> None:
    world.open_agent()
    attempt = world.running(submitted(world, timeout_seconds=60, queue_timeout_seconds=5))
    due = int(record(world, attempt.execution_id)["timeout_at_ms"])
    control(world, "pause", attempt.execution_id)
    world.run(operations.freeze(attempt.held, "{}"))
    assert "queue_timeout_left_ms" not in record(world, attempt.execution_id)
    world.advance(100)
    control(world, "resume", attempt.execution_id)
    moved = int(record(world, attempt.execution_id)["timeout_at_ms"]) - due
    assert 100_000 <= moved < 105_000


# --- receipts ------------------------------------------------------------------------------------------------


def test_the_receipt_of_a_forced_cancel_names_the_release_that_the_loss_of_its_agent_brings(world: World) -> None:
    world.open_agent()
    attempt = world.running(submitted(world))
    control(world, "force", attempt.execution_id)
    assert "intent_slot_released_at_ms" not in record(world, attempt.execution_id)
    lose_agent(world)
    assert "intent_slot_released_at_ms" in record(world, attempt.execution_id)


@pytest.mark.parametrize("verb", ["pause", "cancel"])
def test_a_receipt_names_no_release_while_old_code_holds_the_slot(verb: str, world: World) -> None:
    world.open_agent()
    attempt = world.running(submitted(world))
    world.settle(attempt, Settlement(POSTPONE, slot="keep", delay_ms=60_000))
    control(world, verb, attempt.execution_id)
    receipt = record(world, attempt.execution_id)
    assert "intent_acknowledged_at_ms" in receipt
    assert "intent_slot_released_at_ms" not in receipt
    world.settle(attempt, Settlement(RELEASE))
    assert "intent_slot_released_at_ms" in record(world, attempt.execution_id)


# --- questions, budgets, families ----------------------------------------------------------------------------


def test_an_answer_does_not_bring_back_what_was_cancelled_while_it_asked(world: World) -> None:
    world.open_agent()
    attempt = parked(world)
    control(world, "cancel", attempt.execution_id)
    assert answer(world, attempt.execution_id) == Refused(CANCELLED)
    assert status(world, attempt.execution_id) is CANCELLED


def test_a_repeated_meter_beyond_the_budget_is_told_so_again(world: World) -> None:
    world.open_agent()
    attempt = world.running(submitted(world, **budget(5)))
    assert meter(world, attempt, 5, twice=True) == Metered("pause", 5)
    assert meter(world, attempt, 1, twice=True) == Exhausted(6, 5)


def test_a_slot_that_a_cancelled_child_frees_goes_on_under_a_nonce_like_any_other(world: World) -> None:
    """Settlements compare nonces of one length."""
    parent = submitted(world)
    world.open_agent()
    submitted(world, parent)
    assert status(world, parent) is QUEUED
    world.settle(world.running(parent), Settlement(POSTPONE, delay_ms=60_000))
    waiting = submitted(world)
    control(world, "cancel", parent)
    world.run(operations.cancel_children(parent, "{}", "{}"))
    assert len(record(world, waiting)["nonce"]) == 32


def test_the_oldest_children_are_cancelled_first(world: World) -> None:
    parent = submitted(world)
    children = [submitted(world, parent) for _ in range(4)]
    control(world, "cancel", parent)
    world.run(operations.cancel_children(parent, "{}", "{}", 2))
    assert [status(world, child) is CANCELLED for child in children] == [True, True, False, False]
