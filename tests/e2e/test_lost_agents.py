"""Agents that die, freeze and are replaced: their work moves on, once, and nothing that they send late counts."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from mindswarm_exec.lifecycle import COMPLETED, FAILED, QUEUED, RUNNING
from tests.e2e.swarm import FAST, Process, Swarm, count_of
from tests.eventually import eventually

LEASE_AND_SWEEP_SECONDS = float(FAST["MINDSWARM_LEASE_SECONDS"]) + float(FAST["MINDSWARM_SWEEP_SECONDS"])
#: Two busy cores, and a process that has to notice.
ALLOWANCE_SECONDS = 2.0


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swarm]:
    with Swarm(tmp_path_factory.mktemp("lost")) as swarm:
        swarm.dispatcher()
        swarm.beat()
        swarm.agent("steady")
        swarm.await_agents("steady")
        yield swarm


@pytest.fixture(scope="module")
def nomad(swarm: Swarm) -> Process:
    """An agent that one test after another puts out of action, until one kills it."""
    nomad = swarm.agent("nomad")
    swarm.await_agents("nomad")
    return nomad


def running_on(swarm: Swarm, agent: str, task_type: str, file: str, **options: object) -> str:
    """An execution that runs on `agent` until `file` appears."""
    execution_id = swarm.start(task_type, {"file": file}, on=agent, **options)
    found = swarm.await_status(execution_id, RUNNING)
    assert found.agent_id == agent
    return execution_id


def test_nothing_moves_when_an_agent_freezes_for_less_than_its_lease(swarm: Swarm, nomad: Process) -> None:
    execution_id = running_on(swarm, "nomad", "wait.thread", "froze-shortly")
    renewed = swarm.redis.hget(swarm.key("agent", "nomad"), "lease_expires_at_ms")
    eventually(lambda: _differs(swarm.redis.hget(swarm.key("agent", "nomad"), "lease_expires_at_ms"), renewed))
    nomad.freeze()
    lease_ms = int(swarm.redis.hget(swarm.key("agent", "nomad"), "lease_expires_at_ms") or 0)
    eventually(lambda: _at_least(int(time.time() * 1000), lease_ms - 1200))
    nomad.thaw()
    eventually(lambda: _at_least(int(time.time() * 1000), lease_ms + 500))
    assert swarm.get(execution_id).agent_id == "nomad"
    swarm.touch("froze-shortly")
    ended = swarm.await_end(execution_id)
    assert (ended.agent_id, ended.attempt, ended.lost_attempts) == ("nomad", 1, 0)


def _differs(found: object, earlier: object) -> None:
    assert found != earlier


def _at_least(found: int, least: int) -> None:
    assert found >= least


def test_a_message_lost_after_the_pop_is_sent_again(swarm: Swarm, nomad: Process) -> None:
    nomad.freeze()
    execution_id = swarm.start("echo", 4, on="nomad")
    assert swarm.get(execution_id).status is QUEUED
    # the message sits in the socket of a frozen reader, and dies there with its connection
    for client in swarm.redis.client_list():
        if client["cmd"] == "brpop":
            swarm.redis.client_kill_filter(_id=client["id"])
    nomad.thaw()
    ended = swarm.await_end(execution_id)
    assert (ended.agent_id, ended.attempt, ended.result) == ("nomad", 1, 4)


def test_a_frozen_agent_cannot_complete_what_another_has_taken_over(swarm: Swarm, nomad: Process) -> None:
    kinds = ("wait.thread", "wait.async", "wait.deaf")
    moved = [running_on(swarm, "nomad", kind, "froze-for-long") for kind in kinds]
    nomad.freeze()
    for execution_id in moved:
        eventually(lambda one=execution_id: _runs_on(swarm, one, "steady"), 15_000)
    nomad.thaw()
    eventually(lambda: _says(nomad.log, "registering again"))
    swarm.await_agents("nomad")
    for execution_id in moved:
        _runs_on(swarm, execution_id, "steady")
    swarm.touch("froze-for-long")
    for execution_id in moved:
        ended = swarm.await_end(execution_id)
        assert (ended.agent_id, ended.result) == ("steady", {"agent": "steady", "attempt": 2})
        wanted = {"started": 2, "completed": 1, "released": 1}
        assert count_of(swarm.event_types(execution_id), *wanted) == wanted
    again = swarm.start("wait.thread", {"file": "froze-for-long"}, on="nomad")
    assert swarm.await_end(again).agent_id == "nomad"
    swarm.await_load("nomad", 0)


def _says(log: str, words: str) -> None:
    assert words in log


def test_work_of_an_agent_killed_with_minus_9_is_elsewhere_within_lease_and_sweep(
    swarm: Swarm, nomad: Process
) -> None:
    execution_id = running_on(swarm, "nomad", "wait.thread", "killed")
    nomad.kill()
    killed_at = time.monotonic()
    eventually(lambda: _runs_on(swarm, execution_id, "steady"), 15_000)
    assert time.monotonic() - killed_at < LEASE_AND_SWEEP_SECONDS + ALLOWANCE_SECONDS
    swarm.touch("killed")
    ended = swarm.await_end(execution_id)
    assert (ended.status, ended.agent_id) == (COMPLETED, "steady")
    assert (ended.attempt, ended.lost_attempts, ended.failed_attempts) == (2, 1, 0)
    assert count_of(swarm.event_types(execution_id), "started", "released", "completed") == {
        "started": 2,
        "released": 1,
        "completed": 1,
    }


def _runs_on(swarm: Swarm, execution_id: str, agent: str) -> None:
    found = swarm.get(execution_id)
    assert (found.status, found.agent_id) == (RUNNING, agent)


def test_of_two_agents_under_one_name_the_newer_works_and_the_older_says_so_and_exits(swarm: Swarm) -> None:
    older = swarm.agent("twin")
    swarm.await_agents("twin")
    execution_id = running_on(swarm, "twin", "wait.async", "two-of-a-name")
    incarnation = swarm.agent_record("twin").incarnation
    newer = swarm.agent("twin")
    assert older.exit_code() == 76
    assert "another process has taken this agent's name" in older.log
    eventually(lambda: _differs(swarm.agent_record("twin").incarnation, incarnation))
    swarm.touch("two-of-a-name")
    ended = swarm.await_end(execution_id)
    assert (ended.status, ended.attempt) == (COMPLETED, 2)
    assert ended.lost_attempts <= 1, "none if the older one still handed it back itself"
    assert count_of(swarm.event_types(execution_id), "completed", "released") == {"completed": 1, "released": 1}
    again = swarm.start("echo", 14, on="twin")
    assert swarm.await_end(again).agent_id == "twin"
    assert newer.is_alive
    newer.kill()


def test_a_payload_that_kills_its_agents_fails_after_its_limit_of_lost_attempts(swarm: Swarm) -> None:
    swarm.agent("mortal")
    swarm.await_agents("mortal")
    execution_id = swarm.start("misbehave", {"how": "die"}, on="mortal", max_lost_attempts=1)
    ended = swarm.await_end(execution_id)
    assert ended.error is not None
    assert (ended.status, ended.error.kind, ended.lost_attempts) == (FAILED, "agent_lost", 1)
    assert ended.error.measured == {"lost_attempts": 1}
