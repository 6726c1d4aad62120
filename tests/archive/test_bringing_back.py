"""What a caller may do with what was archived: look at it as ever, and bring it back."""

from __future__ import annotations

import pytest

from mindswarm_exec.direct import DirectClient
from mindswarm_exec.errors import ExecutionNotCompleted, MoveRefused
from mindswarm_exec.ledger.operations import Settlement
from mindswarm_exec.lifecycle import FAIL, Status
from mindswarm_exec.models.options import ExecutionOptions
from tests.archive.archived_world import archive_all, ask, ended, pages
from tests.ledger.world import World


def client(world: World) -> DirectClient:
    assert world.settings.redis_url is not None
    return DirectClient(world.settings.redis_url, world.settings, test_clock=True)


def archived(world: World, **how: object) -> str:
    execution_id = ended(world, FAIL, **how)
    archive_all(world)
    assert execution_id not in world.snapshot().executions
    return execution_id


def test_an_archived_execution_is_retried_as_if_it_had_stayed(world: World) -> None:
    execution_id = archived(world, tags=["blue"])
    before = ask(world, lambda on: on.executions.get_history(execution_id)).entries
    brought_back = ask(world, lambda on: on.executions.retry(execution_id))
    assert brought_back.status is Status.QUEUED
    after = ask(world, lambda on: on.executions.get_history(execution_id)).entries
    assert after[: len(before)] == before
    assert [one.seq for one in after] == list(range(1, len(after) + 1))
    assert pages(world, 10) == []
    ask(world, lambda on: on.executions.cancel(execution_id))
    archive_all(world)
    assert ask(world, lambda on: on.executions.get(execution_id)).status is Status.CANCELLED
    assert pages(world, 10) == [execution_id]


def test_a_retry_with_other_options_starts_from_what_was_archived(world: World) -> None:
    execution_id = archived(world)
    options = ExecutionOptions(priority=9)
    assert ask(world, lambda on: on.executions.retry(execution_id, options, "start")).priority == 9


@pytest.mark.parametrize("verb", ["pause", "resume", "cancel"])
def test_a_move_that_an_end_forbids_is_refused_by_what_was_archived(world: World, verb: str) -> None:
    execution_id = archived(world)
    with pytest.raises(MoveRefused, match="it is failed"):
        ask(world, lambda on: getattr(on.executions, verb)(execution_id))
    assert execution_id not in world.snapshot().executions


def test_what_has_completed_is_not_brought_back_from_the_archive_either(world: World) -> None:
    execution_id = ended(world)
    archive_all(world)
    with pytest.raises(MoveRefused, match="it is completed"):
        ask(world, lambda on: on.executions.retry(execution_id))
    assert execution_id not in world.snapshot().executions


def test_a_bulk_retry_brings_back_what_the_listing_shows(world: World) -> None:
    old = [ended(world, FAIL, tags=["red"]) for _ in range(3)] + [ended(world, FAIL)]
    archive_all(world)
    new = ended(world, FAIL, tags=["red"])
    listed = [
        one.execution_id for one in ask(world, lambda on: on.executions.list(status="failed", tag="red")).executions
    ]
    assert listed == [new, *old[2::-1]]
    thought = ask(world, lambda on: on.executions.retry_many(tag="red", dry_run=True))
    assert thought.matched == 4
    assert old[0] not in world.snapshot().executions
    outcome = ask(world, lambda on: on.executions.retry_many(tag="red"))
    assert (outcome.matched, outcome.done, outcome.refused) == (4, 4, 0)
    assert ask(world, lambda on: on.executions.list(status="failed")).executions[0].execution_id == old[3]


def test_a_restored_execution_leaves_its_idempotency_key_to_a_later_one(world: World) -> None:
    first = world.submit("t", ExecutionOptions(), "once")
    assert first is not None
    world.settle(world.running(first), Settlement(FAIL))
    archive_all(world)
    world.model.idempotency.clear()
    second = world.submit("t", ExecutionOptions(), "once")
    assert second is not None
    assert second != first
    ask(world, lambda on: on.executions.retry(first))
    ask(world, lambda on: on.executions.cancel(first))
    archive_all(world)
    world.model.idempotency["once"] = second
    assert world.submit("t", ExecutionOptions(), "once") == second


def test_a_result_and_the_events_of_an_archived_execution_are_told(world: World) -> None:
    execution_id = archived(world)
    with client(world) as direct:
        handle = direct.handle(execution_id)
        with pytest.raises(ExecutionNotCompleted) as told:
            handle.result(5)
        assert told.value.facts["status"] == "failed"
        assert [event.event_type for event in handle.events()][-1] == "execution.failed"


def test_an_archived_execution_is_explained(world: World) -> None:
    execution_id = archived(world)
    told = ask(world, lambda on: on.executions.explain(execution_id))
    assert (told.status, told.waiting, told.candidates) == (Status.FAILED, None, ())
    assert told.placement is not None
    assert told.placement.agent_id == "ant"
