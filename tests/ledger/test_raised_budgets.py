"""A budget that is raised lets everyone go on who stood still because it was spent, and nobody else."""

from __future__ import annotations

from typing import Any

import pytest

from mindswarm_exec.identifiers import new_nonce
from mindswarm_exec.ledger import operations
from mindswarm_exec.ledger.operations import Settlement
from mindswarm_exec.ledger.replies import BudgetSpent, Done
from mindswarm_exec.lifecycle import CANCELLED, COMPLETE, COMPLETED, PAUSE, PAUSED, QUEUED, RUNNING
from mindswarm_exec.service.sweeps import sweep
from tests.ledger.driving import budget, control, events, meter, record, status, submitted
from tests.ledger.model import ModelAttempt
from tests.ledger.world import World


@pytest.fixture
def parent(world: World) -> ModelAttempt:
    """It runs, and has a budget of 5 tokens."""
    world.open_agent(max_concurrent=20)
    return world.running(submitted(world, **budget(5)))


def children(world: World, parent: ModelAttempt, count: int) -> list[ModelAttempt]:
    return [world.running(submitted(world, parent.execution_id)) for _ in range(count)]


def spend_up(world: World, *attempts: ModelAttempt) -> None:
    """Each spends 5, and obeys the pause."""
    for attempt in attempts:
        meter(world, attempt, 5)
        world.settle(attempt, Settlement(PAUSE))


def raise_budget(world: World, parent: ModelAttempt, limit: float = 100) -> Any:
    return world.run(operations.resume(parent.execution_id, new_nonce(), "{}", {"budget:tokens": limit}))


def let_go_on(world: World, parent: ModelAttempt, most: int = 100) -> int:
    left, _ = world.run(operations.resume_starved(parent.execution_id, '{"budget_of":"p"}', most))
    return left


def test_children_go_on_with_the_budget_of_their_parent(world: World, parent: ModelAttempt) -> None:
    first, second = children(world, parent, 2)
    spend_up(world, first, second)
    world.settle(parent, Settlement(PAUSE))
    assert raise_budget(world, parent).followers_left == 2
    assert status(world, first.execution_id) is PAUSED
    assert let_go_on(world, parent) == 0
    for child in (first, second):
        assert status(world, child.execution_id) is QUEUED
        assert "pause_reason" not in record(world, child.execution_id)
        assert events(world, child.execution_id)[-2:] == ["resumed", "queued"]


def test_a_sweep_lets_them_go_on_if_whoever_raised_it_ends_on_the_way(world: World, parent: ModelAttempt) -> None:
    found = children(world, parent, 3)
    spend_up(world, *found)
    raise_budget(world, parent)
    assert let_go_on(world, parent, most=1) == 2
    sweep(world.ledger)
    assert [status(world, child.execution_id) for child in found] == [QUEUED] * 3
    assert world.run(operations.due()).raised == ()


def test_a_child_that_was_still_on_its_way_to_the_pause_runs_on(world: World, parent: ModelAttempt) -> None:
    (child,) = children(world, parent, 1)
    meter(world, child, 5)
    assert record(world, child.execution_id)["intent_kind"] == "pause"
    raise_budget(world, parent)
    let_go_on(world, parent)
    assert "intent_kind" not in record(world, child.execution_id)
    world.settle(child, Settlement(COMPLETE))
    assert status(world, child.execution_id) is COMPLETED


def test_a_frozen_child_goes_on_in_place(world: World, parent: ModelAttempt) -> None:
    (child,) = children(world, parent, 1)
    meter(world, child, 5)
    world.run(operations.freeze(child.held, "{}"))
    raise_budget(world, parent)
    let_go_on(world, parent)
    after = record(world, child.execution_id)
    assert (after["status"], after["nonce"]) == (RUNNING, child.nonce)
    assert "frozen" not in after


def test_whoever_was_paused_by_hand_or_cancelled_meanwhile_stays_so(world: World, parent: ModelAttempt) -> None:
    by_hand, cancelled, ended = children(world, parent, 3)
    control(world, "pause", by_hand.execution_id)
    spend_up(world, by_hand, cancelled)
    control(world, "cancel", cancelled.execution_id)
    meter(world, ended, 5)
    world.settle(ended, Settlement(COMPLETE))
    raise_budget(world, parent)
    let_go_on(world, parent)
    found = [status(world, each.execution_id) for each in (by_hand, cancelled, ended)]
    assert found == [PAUSED, CANCELLED, COMPLETED]


def test_nobody_goes_on_while_it_is_spent(world: World, parent: ModelAttempt) -> None:
    (child,) = children(world, parent, 1)
    spend_up(world, child)
    assert isinstance(raise_budget(world, parent, 5), BudgetSpent)
    assert let_go_on(world, parent) == 0
    assert status(world, child.execution_id) is PAUSED
    raise_budget(world, parent)
    let_go_on(world, parent)
    assert status(world, child.execution_id) is QUEUED


def test_a_parent_that_was_paused_by_hand_and_gets_no_larger_budget_takes_nobody_along(
    world: World, parent: ModelAttempt
) -> None:
    (child,) = children(world, parent, 1)
    control(world, "pause", parent.execution_id)
    spend_up(world, child)
    world.settle(parent, Settlement(PAUSE))
    reply = world.run(operations.resume(parent.execution_id, new_nonce(), "{}", {}))
    assert isinstance(reply, Done)
    assert reply.followers_left == 0
    assert status(world, child.execution_id) is PAUSED
