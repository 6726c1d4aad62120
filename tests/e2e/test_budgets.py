"""Budgets that an execution and its children spend: the warning, the pause, and going on with a larger one."""

from __future__ import annotations

from typing import Any

import pytest

from mindswarm_exec.errors import MoveRefused
from mindswarm_exec.lifecycle import COMPLETED, PAUSED
from mindswarm_exec.models.records import Execution
from tests.e2e.controlled_swarm import ControlledSwarm


def spending(
    swarm: ControlledSwarm, task_type: str, limit: float, *, times: int, checkpoints: bool = False, **payload: Any
) -> str:
    """An execution that spends 10 tokens `times` over, of `limit`."""
    asked = {"amount": 10, "times": times, "checkpoints": checkpoints, **payload}
    return swarm.start(task_type, asked, resource_limits={"meters": {"tokens": limit}})


def spent_up(swarm: ControlledSwarm, execution_id: str) -> Execution:
    """Wait until it is paused because a budget is spent."""
    found = swarm.await_status(execution_id, PAUSED)
    assert found.pause_reason == "budget"
    return found


@pytest.mark.parametrize("kind", ["async", "thread", "process"])
def test_at_eighty_percent_of_a_budget_an_event_says_so_once(swarm: ControlledSwarm, kind: str) -> None:
    execution_id = spending(swarm, f"spend.{kind}", 100, times=9)
    ended = swarm.await_end(execution_id)
    assert ended.status is COMPLETED
    assert swarm.told(execution_id, "budget") == [{"meter": "tokens", "spent": 80, "limit": 100}]
    assert (ended.meters["tokens"].spent, ended.meters["tokens"].limit) == (90, 100)


@pytest.mark.parametrize("kind", ["async", "thread", "process"])
def test_at_the_limit_it_pauses_at_its_next_checkpoint_and_goes_on_with_a_larger_budget(
    swarm: ControlledSwarm, kind: str
) -> None:
    execution_id = spending(swarm, f"spend.{kind}", 30, times=5, checkpoints=True)
    found = spent_up(swarm, execution_id)
    assert found.intent is not None
    assert found.intent.reason == "the budget of tokens is spent"
    assert found.intent.slot_released_at is not None
    assert (found.checkpoint, found.meters["tokens"].spent, found.is_frozen) == ({"done": 3}, 30, False)
    requested = swarm.told(execution_id, "pause_requested")[-1]
    assert requested == {
        "reason": "budget",
        "meter": "tokens",
        "spent": 30,
        "limit": 30,
        "budget_of": execution_id,
    }
    swarm.resume(execution_id, meters={"tokens": 100})
    ended = swarm.await_end(execution_id)
    assert (ended.status, ended.meters["tokens"].spent) == (COMPLETED, 50)
    assert len(swarm.lines("spent", execution_id)) == 5


@pytest.mark.parametrize("kind", ["async", "thread"])
def test_without_a_checkpoint_it_pauses_when_it_comes_back_to_spend_more(swarm: ControlledSwarm, kind: str) -> None:
    execution_id = spending(swarm, f"spend.{kind}", 20, times=3)
    found = spent_up(swarm, execution_id)
    assert len(swarm.lines("spent", execution_id)) == 2
    assert (found.meters["tokens"].spent, found.is_frozen) == (30, False), "what was to be spent counts"
    swarm.resume(execution_id, meters={"tokens": 1000})
    ended = swarm.await_end(execution_id)
    assert (ended.status, ended.attempt, ended.meters["tokens"].spent) == (COMPLETED, 2, 60)


def test_a_process_without_a_checkpoint_is_frozen_at_the_limit_and_goes_on_in_place(swarm: ControlledSwarm) -> None:
    execution_id = spending(swarm, "spend.process", 20, times=200)
    found = spent_up(swarm, execution_id)
    assert found.intent is not None
    assert found.meters["tokens"].spent <= 40
    swarm.resume(execution_id, meters={"tokens": 10_000})
    ended = swarm.await_end(execution_id)
    assert ended.status is COMPLETED
    if found.is_frozen:
        assert (ended.attempt, ended.meters["tokens"].spent) == (1, 2000)


def test_a_resume_without_a_larger_budget_is_refused_and_names_what_is_spent(swarm: ControlledSwarm) -> None:
    execution_id = spending(swarm, "spend.thread", 30, times=5, checkpoints=True)
    before = spent_up(swarm, execution_id)
    for meters in (None, {"tokens": 30}, {"dollars": 100}):
        with pytest.raises(MoveRefused, match="of the budget of tokens, its own, 30 of 30 are spent") as refused:
            swarm.resume(execution_id, meters=meters)
        assert refused.value.facts["budget_of"] == execution_id
    after = swarm.get(execution_id)
    assert (after.status, after.meters["tokens"]) == (PAUSED, before.meters["tokens"])
    swarm.cancel(execution_id)


@pytest.mark.parametrize("parent", ["parent", "parent.process"])
def test_what_children_spend_counts_for_their_parent_and_its_limit_pauses_them(
    swarm: ControlledSwarm, parent: str
) -> None:
    child_payload = {"amount": 10, "times": 5, "checkpoints": True}
    execution_id = swarm.start(
        parent,
        {"task_type": "spend.async", "payload": child_payload},
        resource_limits={"meters": {"tokens": 30}},
    )
    (line,) = swarm.await_lines_of("children", execution_id)
    child = line.split()[1]
    found = spent_up(swarm, child)
    assert found.checkpoint == {"done": 3}
    above = swarm.get(execution_id)
    assert above.meters["tokens"].spent == 30
    assert above.intent is not None, "the parent is to pause as well"
    with pytest.raises(MoveRefused, match=f"the one of its ancestor {execution_id}") as refused:
        swarm.resume(child)
    assert refused.value.facts["budget_of"] == execution_id
    swarm.resume(execution_id, meters={"tokens": 100})  # and with it what its budget held up
    ended = swarm.await_end(execution_id)
    assert (ended.status, ended.meters["tokens"].spent) == (COMPLETED, 50)


def test_a_retry_keeps_what_was_spent(swarm: ControlledSwarm) -> None:
    execution_id = spending(swarm, "spend.async", 30, times=5, checkpoints=True)
    spent_up(swarm, execution_id)
    swarm.cancel(execution_id)
    swarm.retry(execution_id)
    again = swarm.await_status(execution_id, PAUSED)
    assert again.meters["tokens"].spent > 30
    swarm.resume(execution_id, meters={"tokens": 100})
    assert swarm.await_end(execution_id).status is COMPLETED
