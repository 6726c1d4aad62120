"""Pause and resume of real work: at a safe point, frozen in place, while it waits, and against everything else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mindswarm_exec.errors import MoveRefused
from mindswarm_exec.lifecycle import CANCELLED, COMPLETED, PAUSED, QUEUED, RUNNING, TIMED_OUT
from mindswarm_exec.models.records import Execution
from tests.e2e.controlled_swarm import PAUSE_ACK_SECONDS, ControlledSwarm, at_least, gone, passes
from tests.eventually import eventually

#: What stops where it stands: a process handler that has made no checkpoint yet, and a program.
FROZEN_IN_PLACE = ["wait.process", "wait.command"]


@pytest.fixture(scope="module")
def swarm(controlled_swarm: ControlledSwarm) -> ControlledSwarm:
    return controlled_swarm


@pytest.fixture(autouse=True)
def _slots_return_to_zero(swarm: ControlledSwarm) -> Iterator[None]:
    """Whatever a test did, its agents hold nothing when its handlers have ended."""
    yield
    swarm.await_load("one", 0)
    swarm.await_load("two", 0)


def paused(swarm: ControlledSwarm, execution_id: str, reason: str = "") -> Execution:
    """Pause it, and wait until it is."""
    swarm.pause(execution_id, reason)
    return swarm.await_status(execution_id, PAUSED)


# --- at a safe point -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["async", "thread", "process"])
def test_a_handler_that_checkpoints_stops_there_and_resumes_from_there_where_it_was(
    swarm: ControlledSwarm, kind: str, file: str
) -> None:
    execution_id = swarm.counting(f"steps.{kind}", file, on="two")
    found = paused(swarm, execution_id, "lunch")
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
    paused(swarm, execution_id)
    swarm.run(swarm.agents.drain("two"))
    swarm.touch(file)
    swarm.resume(execution_id)
    ended = swarm.await_end(execution_id)
    swarm.run(swarm.agents.wake("two"))
    assert ended.result == {"agent": "one", "from": 3}


@pytest.mark.parametrize("kind", ["async", "thread", "process"])
def test_a_resume_may_edit_the_state(swarm: ControlledSwarm, kind: str, file: str) -> None:
    execution_id = swarm.counting(f"steps.{kind}", file)
    paused(swarm, execution_id)
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


# --- frozen in place -------------------------------------------------------------------------------------


@pytest.mark.parametrize("task_type", FROZEN_IN_PLACE)
def test_what_has_no_safe_point_is_frozen_at_once_keeps_its_slot_and_goes_on_in_place(
    swarm: ControlledSwarm, task_type: str, file: str
) -> None:
    execution_id = swarm.running(task_type, file, on="one")
    found = paused(swarm, execution_id)
    assert found.intent is not None
    assert (found.is_frozen, found.intent.slot_released_at) == (True, None)
    assert found.intent.acknowledged_at is not None
    assert swarm.agent_record("one").held == (execution_id,)
    swarm.touch(file)
    swarm.resume(execution_id)
    ended = swarm.await_end(execution_id)
    assert (ended.status, ended.attempt, ended.is_frozen) == (COMPLETED, 1, False)
    resumed = next(e for e in swarm.events(execution_id) if e["type"] == "execution.resumed")
    assert resumed["data"] == {"in_place": True}


def test_freezing_stops_the_whole_tree_and_resuming_lets_all_of_it_go_on(swarm: ControlledSwarm, file: str) -> None:
    beats = swarm.files / f"{file}.beats"
    execution_id = swarm.start("tree", {"file": file, "beats": str(beats)})
    eventually(lambda: at_least(_size(beats), 8))
    paused(swarm, execution_id)
    stood_at = _size(beats)
    passes(0.5)
    assert _size(beats) == stood_at
    swarm.resume(execution_id)
    eventually(lambda: at_least(_size(beats), stood_at + 8))
    swarm.touch(file)
    assert swarm.await_end(execution_id).result == "grown"


def test_timeouts_stand_still_while_it_is_frozen(swarm: ControlledSwarm, file: str) -> None:
    limits = {"wall_seconds": 2}
    execution_id = swarm.running(
        "wait.process", file, timeout_seconds=2, stall_timeout_seconds=2, resource_limits=limits
    )
    paused(swarm, execution_id)
    passes(4)
    swarm.touch(file)
    swarm.resume(execution_id)
    assert swarm.await_end(execution_id).status is COMPLETED


def test_after_a_freeze_what_was_left_of_the_timeout_still_ends_it(swarm: ControlledSwarm) -> None:
    execution_id = swarm.running("wait.process", "never", timeout_seconds=1.5)
    paused(swarm, execution_id)
    swarm.resume(execution_id)
    ended = swarm.await_end(execution_id)
    assert ended.error is not None
    assert (ended.status, ended.error.kind) == (TIMED_OUT, "timeout")


def test_a_process_that_had_safe_points_and_reaches_none_in_time_is_frozen(swarm: ControlledSwarm, file: str) -> None:
    execution_id = swarm.running("late.process", file)
    found = paused(swarm, execution_id)
    assert found.intent is not None
    assert (found.is_frozen, found.intent.slot_released_at) == (True, None)
    assert found.intent.acknowledged_at is not None
    waited = (found.intent.acknowledged_at - found.intent.requested_at).total_seconds()
    assert waited >= PAUSE_ACK_SECONDS - 0.1
    swarm.touch(file)
    swarm.touch(f"{file}.end")
    swarm.resume(execution_id)
    ended = swarm.await_end(execution_id)
    assert (ended.status, ended.attempt, ended.result["from"]) == (COMPLETED, 1, 0)


def test_a_frozen_process_that_resumes_with_an_edited_state_is_ended_and_begins_anew(
    swarm: ControlledSwarm, file: str
) -> None:
    execution_id = swarm.running("late.process", file)
    old = swarm.pid_of(execution_id)
    assert paused(swarm, execution_id).is_frozen
    swarm.touch(f"{file}.end")
    resumed = swarm.resume(execution_id, checkpoint={"next": 2})
    assert (resumed.is_frozen, resumed.intent) == (False, None)
    ended = swarm.await_end(execution_id)
    assert (ended.status, ended.attempt, ended.result["from"]) == (COMPLETED, 2, 2)
    eventually(lambda: gone(old))
    assert [line for line in swarm.written("hooks") if execution_id in line] == [], "nothing was cancelled"


def test_what_ended_as_it_was_frozen_is_told_when_it_may_go_on(swarm: ControlledSwarm, file: str) -> None:
    execution_id = swarm.running("wait.process", file)
    assert paused(swarm, execution_id).is_frozen
    swarm.kill_handler(execution_id)
    passes(1)
    assert swarm.get(execution_id).status is PAUSED
    swarm.resume(execution_id)
    ended = swarm.await_end(execution_id)
    assert ended.error is not None
    assert ended.error.kind == "process_died"


# --- what waits ------------------------------------------------------------------------------------------


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
    paused(swarm, execution_id)
    swarm.resume(execution_id)
    ended = swarm.await_end(execution_id)
    assert ended.started_at is not None
    assert ended.started_at >= at


# --- with cancels, twice, and when agents go -------------------------------------------------------------


@pytest.mark.parametrize("task_type", FROZEN_IN_PLACE)
def test_a_frozen_process_that_is_cancelled_goes_on_to_clean_up(
    swarm: ControlledSwarm, task_type: str, file: str
) -> None:
    execution_id = swarm.running(task_type, file, on="one")
    paused(swarm, execution_id)
    asked = swarm.cancel(execution_id, "enough")
    assert asked.intent is not None
    assert asked.intent.kind == "cancel"
    ended = swarm.await_end(execution_id)
    assert ended.intent is not None
    assert (ended.status, ended.intent.unresponsive) == (CANCELLED, False)
    assert ended.intent.slot_released_at is not None
    if task_type == "wait.process":
        assert f"{execution_id} 1" in swarm.written("finally")


def test_a_frozen_process_that_is_cancelled_by_force_is_over_at_once_and_killed(
    swarm: ControlledSwarm, file: str
) -> None:
    execution_id = swarm.running("wait.process", file)
    pid = swarm.pid_of(execution_id)
    paused(swarm, execution_id)
    ended = swarm.cancel(execution_id, force=True)
    assert (ended.status, ended.is_frozen) == (CANCELLED, False)
    eventually(lambda: gone(pid))
    assert f"{execution_id} 1" not in swarm.written("finally")
    later = swarm.released(execution_id)
    assert later.status is CANCELLED


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
    paused(swarm, execution_id)
    swarm.touch(file)
    both = swarm.at_once(*(swarm.executions.resume(execution_id) for _ in range(2)))
    refused = [one for one in both if isinstance(one, MoveRefused)]
    assert len(refused) == 1, both
    assert "What can be done now" in str(refused[0]) or "cannot resume" in str(refused[0])
    ended = swarm.await_end(execution_id)
    assert (ended.status, ended.attempt) == (COMPLETED, 2)
    assert swarm.event_types(execution_id).count("resumed") == 1


def test_frozen_work_of_a_killed_agent_stays_paused_and_resumes_elsewhere_from_its_checkpoint(
    swarm: ControlledSwarm, file: str
) -> None:
    doomed = swarm.controlled("doomed")
    swarm.await_agents("doomed")
    execution_id = swarm.running("late.process", file, on="doomed")
    pid = swarm.pid_of(execution_id)
    assert paused(swarm, execution_id).agent_id == "doomed"
    doomed.kill()
    stranded = swarm.released(execution_id)
    assert (stranded.status, stranded.is_frozen) == (PAUSED, False)
    eventually(lambda: gone(pid))
    swarm.touch(file)
    swarm.touch(f"{file}.end")
    swarm.resume(execution_id)
    ended = swarm.await_end(execution_id)
    assert (ended.status, ended.result["from"], ended.attempt) == (COMPLETED, 1, 2)
    assert ended.agent_id in ("one", "two")


def test_frozen_work_of_an_agent_that_is_told_to_end_is_stranded_and_resumes_elsewhere(
    swarm: ControlledSwarm, file: str
) -> None:
    leaves = swarm.controlled("leaves")
    swarm.await_agents("leaves")
    execution_id = swarm.running("wait.process", file, on="leaves")
    assert paused(swarm, execution_id).is_frozen
    leaves.terminate()
    assert leaves.exit_code() == 0
    stranded = swarm.get(execution_id)
    assert stranded.intent is not None
    assert (stranded.status, stranded.is_frozen) == (PAUSED, False)
    assert stranded.intent.slot_released_at is not None
    swarm.touch(file)
    swarm.resume(execution_id)
    ended = swarm.await_end(execution_id)
    assert (ended.status, ended.attempt, ended.failed_attempts, ended.lost_attempts) == (COMPLETED, 2, 0, 0)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
