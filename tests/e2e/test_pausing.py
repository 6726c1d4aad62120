"""Pause and resume of real work: at a safe point, while it waits, and against everything else."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from mindswarm_exec.errors import MoveRefused
from mindswarm_exec.lifecycle import CANCELLED, COMPLETED, PAUSED, QUEUED, RUNNING, TIMED_OUT
from mindswarm_exec.models.records import Execution
from tests.e2e.controlled_swarm import ControlledSwarm
from tests.eventually import eventually, passes

# --- at a safe point ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["async", "thread", "process"])
def test_a_handler_that_checkpoints_stops_there_and_resumes_from_there_where_it_was(
    swarm: ControlledSwarm, kind: str, file: str
) -> None:
    execution_id = swarm.counting(f"steps.{kind}", file, on="two")
    found = swarm.paused(execution_id, "lunch")
    assert found.intent is not None
    assert (found.intent.kind, found.intent.reason, found.pause_reason) == ("pause", "lunch", "requested")
    assert found.intent.acknowledged_at is not None
    assert found.intent.slot_released_at is not None
    assert found.intent.requested_at <= found.intent.acknowledged_at <= found.intent.slot_released_at
    last = [event for event in swarm.events(execution_id) if event["type"] == "execution.checkpoint"][-1]
    assert found.intent.checkpoint_id == last["data"]["checkpoint_id"]
    assert (found.is_frozen, swarm.agent_record("two").load) == (False, 0)
    swarm.touch(file)
    resumed = swarm.resume(execution_id)
    assert resumed.intent is None
    ended = swarm.await_end(execution_id)
    assert (ended.status, ended.result) == (COMPLETED, {"agent": "two", "from": 3})
    assert (ended.attempt, ended.failed_attempts) == (2, 0)


@pytest.mark.parametrize("kind", ["async", "thread", "process"])
def test_a_resume_goes_elsewhere_when_the_last_agent_takes_no_work(
    swarm: ControlledSwarm, kind: str, file: str
) -> None:
    execution_id = swarm.counting(f"steps.{kind}", file, on="two")
    swarm.paused(execution_id)
    swarm.run(swarm.agents.drain("two"))
    swarm.touch(file)
    swarm.resume(execution_id)
    ended = swarm.await_end(execution_id)
    swarm.run(swarm.agents.wake("two"))
    assert ended.result == {"agent": "one", "from": 3}


@pytest.mark.parametrize("kind", ["async", "thread", "process"])
def test_a_resume_may_edit_the_state(swarm: ControlledSwarm, kind: str, file: str) -> None:
    execution_id = swarm.counting(f"steps.{kind}", file)
    swarm.paused(execution_id)
    swarm.resume(execution_id, checkpoint={"next": 5})
    assert swarm.await_end(execution_id).result["from"] == 5


@pytest.mark.parametrize("kind", ["async", "thread"])
def test_without_a_safe_point_in_time_the_receipt_says_so_and_a_later_checkpoint_obeys(
    swarm: ControlledSwarm, kind: str, file: str
) -> None:
    execution_id = swarm.running(f"late.{kind}", file)
    swarm.pause(execution_id)
    late = eventually(lambda: _overdue(swarm, execution_id))
    assert late.intent is not None
    assert (late.status, late.intent.acknowledged_at) == (RUNNING, None)
    told = [e["data"] for e in swarm.events(execution_id) if e["type"] == "execution.pause_requested"]
    assert told == [{}, {"agent_id": late.agent_id, "unacknowledged": True}]
    swarm.touch(file)
    found = swarm.await_status(execution_id, PAUSED)
    assert found.intent is not None
    assert found.intent.acknowledged_at is not None
    assert found.checkpoint == {"next": 2}
    swarm.touch(f"{file}.end")
    swarm.resume(execution_id)
    assert swarm.await_end(execution_id).result["from"] == 2


@pytest.mark.parametrize("kind", ["async", "thread"])
def test_a_pause_that_is_overdue_can_be_withdrawn_and_no_later_checkpoint_obeys_it(
    swarm: ControlledSwarm, kind: str, file: str
) -> None:
    execution_id = swarm.running(f"late.{kind}", file)
    swarm.pause(execution_id)
    eventually(lambda: _overdue(swarm, execution_id))
    assert swarm.resume(execution_id).intent is None
    swarm.touch(f"{file}.end")
    swarm.touch(file)
    ended = swarm.await_end(execution_id)
    assert (ended.status, ended.attempt) == (COMPLETED, 1)
    assert "paused" not in swarm.event_types(execution_id)


def _overdue(swarm: ControlledSwarm, execution_id: str) -> Execution:
    found = swarm.get(execution_id)
    assert found.intent is not None
    assert found.intent.overdue_at is not None
    return found


# --- what waits -----------------------------------------------------------------------------------------


def test_what_waits_is_paused_at_once_and_its_queue_timeout_stands_still(swarm: ControlledSwarm) -> None:
    execution_id = swarm.start("nobody.does.this", queue_timeout_seconds=1)
    found = swarm.pause(execution_id)
    assert found.intent is not None
    assert found.intent.acknowledged_at is not None
    assert (found.status, found.is_frozen) == (PAUSED, False)
    passes(1.5)
    assert swarm.get(execution_id).status is PAUSED
    swarm.resume(execution_id)
    ended = swarm.await_end(execution_id)
    assert ended.error is not None
    assert (ended.status, ended.error.kind) == (TIMED_OUT, "queue_timeout")


def test_what_is_sent_but_not_claimed_is_taken_back_by_a_pause(swarm: ControlledSwarm, file: str) -> None:
    agent = swarm.named("one")
    agent.freeze()
    execution_id = swarm.start("quick", 1, agent={"agent_id": "one"})
    assert swarm.get(execution_id).status is QUEUED
    found = swarm.pause(execution_id)
    assert (found.status, swarm.agent_record("one").load) == (PAUSED, 0)
    agent.thaw()
    probe = swarm.start("quick", 2, agent={"agent_id": "one"})
    assert swarm.await_end(probe).status is COMPLETED
    assert swarm.get(execution_id).status is PAUSED
    swarm.resume(execution_id)
    ended = swarm.await_end(execution_id)
    assert (ended.status, swarm.event_types(execution_id).count("started")) == (COMPLETED, 1)


def test_a_start_time_outlasts_a_pause(swarm: ControlledSwarm) -> None:
    at = datetime.fromtimestamp(time.time() + 1.5, UTC)
    execution_id = swarm.start("quick", 1, start_at=at)
    swarm.paused(execution_id)
    swarm.resume(execution_id)
    ended = swarm.await_end(execution_id)
    assert ended.started_at is not None
    assert ended.started_at >= at


# --- with cancels, and twice ----------------------------------------------------------------------------


def test_a_cancel_outdoes_a_pause_that_is_not_yet_obeyed(swarm: ControlledSwarm) -> None:
    execution_id = swarm.running("wait.async", "never")
    swarm.pause(execution_id)
    swarm.cancel(execution_id)
    ended = swarm.await_end(execution_id)
    assert ended.intent is not None
    assert (ended.status, ended.intent.kind) == (CANCELLED, "cancel")


def test_a_pause_of_what_is_to_be_cancelled_changes_nothing(swarm: ControlledSwarm, file: str) -> None:
    execution_id = swarm.running("deaf.thread", file)
    swarm.cancel(execution_id)
    found = swarm.pause(execution_id)
    assert found.intent is not None
    assert found.intent.kind == "cancel"
    assert swarm.await_end(execution_id).status is CANCELLED
    swarm.touch(file)


@pytest.mark.parametrize("kind", ["async", "thread", "process"])
def test_a_completion_that_comes_before_the_safe_point_counts(swarm: ControlledSwarm, kind: str, file: str) -> None:
    execution_id = swarm.running(f"wait.{kind}", file)
    swarm.pause(execution_id)
    swarm.touch(file)
    if kind == "process":  # it may have been frozen first
        swarm.await_status(execution_id, PAUSED, COMPLETED)
        if swarm.get(execution_id).status is PAUSED:
            swarm.resume(execution_id)
    ended = swarm.await_end(execution_id)
    assert (ended.status, ended.attempt) == (COMPLETED, 1)


def test_of_two_resumes_one_counts_and_the_other_is_refused(swarm: ControlledSwarm, file: str) -> None:
    execution_id = swarm.counting("steps.async", file)
    swarm.paused(execution_id)
    swarm.touch(file)
    both = swarm.at_once(*(swarm.executions.resume(execution_id) for _ in range(2)))
    refused = [one for one in both if isinstance(one, MoveRefused)]
    assert len(refused) == 1, both
    assert "What can be done now" in str(refused[0]) or "cannot resume" in str(refused[0])
    ended = swarm.await_end(execution_id)
    assert (ended.status, ended.attempt) == (COMPLETED, 2)
    assert swarm.event_types(execution_id).count("resumed") == 1
