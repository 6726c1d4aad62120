"""Pauses that freeze a process where it stands, and what becomes of it then."""

from __future__ import annotations

from pathlib import Path

import pytest

from mindswarm_exec.lifecycle import CANCELLED, COMPLETED, PAUSED, TIMED_OUT
from tests.e2e.controlled_swarm import PAUSE_ACK_SECONDS, ControlledSwarm, gone
from tests.eventually import eventually, must_be_at_least, passes

#: What stops where it stands: a process handler that has made no checkpoint yet, and a program.
FROZEN_IN_PLACE = ["wait.process", "wait.command"]


# --- and going on ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("task_type", FROZEN_IN_PLACE)
def test_what_has_no_safe_point_is_frozen_at_once_keeps_its_slot_and_goes_on_in_place(
    swarm: ControlledSwarm, task_type: str, file: str
) -> None:
    execution_id = swarm.running(task_type, file, on="one")
    found = swarm.paused(execution_id)
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
    eventually(lambda: must_be_at_least(_size(beats), 8))
    swarm.paused(execution_id)
    stood_at = _size(beats)
    passes(0.5)
    assert _size(beats) == stood_at
    swarm.resume(execution_id)
    eventually(lambda: must_be_at_least(_size(beats), stood_at + 8))
    swarm.touch(file)
    assert swarm.await_end(execution_id).result == "grown"


def test_timeouts_stand_still_while_it_is_frozen(swarm: ControlledSwarm, file: str) -> None:
    limits = {"wall_seconds": 2}
    execution_id = swarm.running(
        "wait.process", file, timeout_seconds=2, stall_timeout_seconds=2, resource_limits=limits
    )
    swarm.paused(execution_id)
    passes(4)
    swarm.touch(file)
    swarm.resume(execution_id)
    assert swarm.await_end(execution_id).status is COMPLETED


def test_after_a_freeze_what_was_left_of_the_timeout_still_ends_it(swarm: ControlledSwarm) -> None:
    execution_id = swarm.running("wait.process", "never", timeout_seconds=1.5)
    swarm.paused(execution_id)
    swarm.resume(execution_id)
    ended = swarm.await_end(execution_id)
    assert ended.error is not None
    assert (ended.status, ended.error.kind) == (TIMED_OUT, "timeout")


def test_a_process_that_had_safe_points_and_reaches_none_in_time_is_frozen(swarm: ControlledSwarm, file: str) -> None:
    execution_id = swarm.running("late.process", file)
    found = swarm.paused(execution_id)
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
    assert swarm.paused(execution_id).is_frozen
    swarm.touch(f"{file}.end")
    resumed = swarm.resume(execution_id, checkpoint={"next": 2})
    assert (resumed.is_frozen, resumed.intent) == (False, None)
    ended = swarm.await_end(execution_id)
    assert (ended.status, ended.attempt, ended.result["from"]) == (COMPLETED, 2, 2)
    eventually(lambda: gone(old))
    assert [line for line in swarm.written("hooks") if execution_id in line] == [], "nothing was cancelled"


def test_what_ended_as_it_was_frozen_is_told_when_it_may_go_on(swarm: ControlledSwarm, file: str) -> None:
    execution_id = swarm.running("wait.process", file)
    assert swarm.paused(execution_id).is_frozen
    swarm.kill_handler(execution_id)
    passes(1)
    assert swarm.get(execution_id).status is PAUSED
    swarm.resume(execution_id)
    ended = swarm.await_end(execution_id)
    assert ended.error is not None
    assert ended.error.kind == "process_died"


# --- and ending otherwise -------------------------------------------------------------------------------


@pytest.mark.parametrize("task_type", FROZEN_IN_PLACE)
def test_a_frozen_process_that_is_cancelled_goes_on_to_clean_up(
    swarm: ControlledSwarm, task_type: str, file: str
) -> None:
    execution_id = swarm.running(task_type, file, on="one")
    swarm.paused(execution_id)
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
    swarm.paused(execution_id)
    ended = swarm.cancel(execution_id, force=True)
    assert (ended.status, ended.is_frozen) == (CANCELLED, False)
    eventually(lambda: gone(pid))
    assert f"{execution_id} 1" not in swarm.written("finally")
    later = swarm.released(execution_id)
    assert later.status is CANCELLED


def test_frozen_work_of_a_killed_agent_stays_paused_and_resumes_elsewhere_from_its_checkpoint(
    swarm: ControlledSwarm, file: str
) -> None:
    doomed = swarm.controlled("doomed")
    swarm.await_agents("doomed")
    execution_id = swarm.running("late.process", file, on="doomed")
    pid = swarm.pid_of(execution_id)
    assert swarm.paused(execution_id).agent_id == "doomed"
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
    assert swarm.paused(execution_id).is_frozen
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
