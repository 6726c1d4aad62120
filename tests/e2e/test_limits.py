"""Limits of process handlers through the whole stack: only the attempt ends, its cause and its measure are told."""

from __future__ import annotations

from typing import Any

import pytest

from mindswarm_exec.lifecycle import COMPLETED, FAILED, TIMED_OUT, Status
from tests.e2e.controlled_swarm import ControlledSwarm, gone
from tests.eventually import eventually

LIMITS = [
    ("memory", {"memory_mb": 200}, "memory_limit", FAILED, "used_mb", 200),
    ("cpu", {"cpu_seconds": 1}, "cpu_limit", FAILED, "used_seconds", 1),
    ("output", {"output_mb": 2}, "output_limit", FAILED, "used_mb", 2),
    ("processes", {"max_processes": 10}, "process_limit", FAILED, "processes", 10),
    ("time", {"wall_seconds": 0.5}, "timeout", TIMED_OUT, "elapsed_ms", 500),
]


@pytest.mark.parametrize(("greed", "limits", "kind", "status", "measure", "limit"), LIMITS)
def test_a_limit_ends_the_attempt_alone_with_what_was_measured_and_leaves_nothing_running(
    swarm: ControlledSwarm,
    greed: str,
    limits: dict[str, Any],
    kind: str,
    status: Status,
    measure: str,
    limit: float,
    file: str,
) -> None:
    beside = [swarm.running(f"wait.{one}", file, on="one") for one in ("async", "thread", "process")]
    execution_id = swarm.start("greed", greed, resource_limits=limits, on="one")
    pid = swarm.pid_of(execution_id)
    ended = swarm.await_end(execution_id)
    assert ended.error is not None
    assert (ended.status, ended.error.kind, ended.attempt) == (status, kind, 1)
    measured = ended.error.measured[measure]
    assert isinstance(measured, int | float)
    assert measured >= limit
    eventually(lambda: gone(pid))
    for forked in swarm.forked(execution_id):
        eventually(lambda one=forked: gone(one))
    swarm.touch(file)
    for one in beside:
        other = swarm.await_end(one)
        assert (other.status, other.attempt) == (COMPLETED, 1)
    swarm.await_load("one", 0)


def test_without_limits_of_its_own_what_prints_without_end_is_ended_by_the_setting(swarm: ControlledSwarm) -> None:
    ended = swarm.await_end(swarm.start("greed", "output"))
    assert ended.error is not None
    assert (ended.error.kind, ended.error.measured["limit_mb"]) == ("output_limit", 16)


def test_what_runs_within_its_limits_is_left_alone(swarm: ControlledSwarm) -> None:
    limits = {"memory_mb": 500, "cpu_seconds": 30, "wall_seconds": 30, "output_mb": 1, "max_processes": 5}
    ended = swarm.await_end(swarm.start("quick.process", {"a": 1}, resource_limits=limits))
    assert (ended.status, ended.result) == (COMPLETED, {"a": 1})


def test_no_process_of_a_handler_outlives_its_agent(swarm: ControlledSwarm) -> None:
    doomed = swarm.controlled("doomed")
    swarm.await_agents("doomed")
    execution_id = swarm.start("greed", "processes", on="doomed", max_lost_attempts=1)
    pid = swarm.pid_of(execution_id)
    forked = eventually(lambda: _all_forked(swarm, execution_id), 10_000)
    doomed.kill()
    for one in (pid, *forked):
        eventually(lambda one=one: gone(one), 10_000)
    ended = swarm.await_end(execution_id)
    assert ended.error is not None
    assert ended.error.kind == "agent_lost"


def _all_forked(swarm: ControlledSwarm, execution_id: str) -> list[int]:
    forked = swarm.forked(execution_id)
    assert len(forked) == 30
    return forked
