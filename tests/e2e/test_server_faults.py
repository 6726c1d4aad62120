"""The Valkey server dies, comes back, comes back empty: everything resumes by itself."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from mindswarm_exec.errors import LedgerUnavailable, UnknownExecution
from mindswarm_exec.lifecycle import COMPLETED, RUNNING
from tests.e2e.celery_program import CeleryProgram
from tests.e2e.swarm import Swarm, count_of
from tests.eventually import eventually


@pytest.fixture
def durable(tmp_path: Path) -> Iterator[Swarm]:
    with Swarm(tmp_path, durable=True, MINDSWARM_LEASE_SECONDS="6") as swarm:
        yield swarm


@pytest.fixture(scope="module")
def forgetful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swarm]:
    """A swarm on a server that keeps nothing on disk; its tests build on each other, the last one ends it."""
    impatient = {"MINDSWARM_LEASE_SECONDS": "6", "MINDSWARM_LEDGER_TIMEOUT_SECONDS": "1"}
    with Swarm(tmp_path_factory.mktemp("forgetful"), **impatient) as swarm:
        start_all(swarm)
        yield swarm


def start_all(swarm: Swarm) -> None:
    swarm.beat()
    swarm.dispatcher()
    swarm.agent("worker")
    swarm.await_agents("worker")
    swarm.await_dispatcher()


def kill_server(swarm: Swarm) -> None:
    os.kill(swarm.server.pid, signal.SIGKILL)
    eventually(lambda: _dead(swarm))


def _dead(swarm: Swarm) -> None:
    assert not swarm.server.is_alive()


def test_everything_resumes_after_the_server_is_killed_and_a_result_is_kept_meanwhile(durable: Swarm) -> None:
    swarm = durable
    start_all(swarm)
    finishes_meanwhile = swarm.start("wait.thread", {"file": "meanwhile"})
    checkpoints_meanwhile = swarm.start("steps", {"steps": 3, "hold": 1, "file": "later"})
    finishes_later = swarm.start("wait.async", {"file": "later"})
    waits = [swarm.start("echo", n) for n in range(3)]
    for execution_id in (finishes_meanwhile, checkpoints_meanwhile, finishes_later):
        swarm.await_status(execution_id, RUNNING)
    kill_server(swarm)
    swarm.touch("meanwhile")
    swarm.await_lines("effects", 1)
    worker = swarm.named("worker")
    eventually(lambda: _says(worker.log, "what is to be reported is kept"), 10_000)
    with pytest.raises(LedgerUnavailable):
        swarm.get(finishes_meanwhile)
    assert swarm.server.ensure_running()
    ended = swarm.await_end(finishes_meanwhile)
    assert (ended.status, ended.attempt, ended.result) == (COMPLETED, 1, {"agent": "worker", "attempt": 1})
    swarm.touch("later")
    for execution_id in (checkpoints_meanwhile, finishes_later, *waits):
        ended = swarm.await_end(execution_id)
        assert (ended.status, ended.attempt, ended.lost_attempts) == (COMPLETED, 1, 0)
        assert count_of(swarm.event_types(execution_id), "started", "completed") == {"started": 1, "completed": 1}
    with CeleryProgram(swarm) as program:
        answer = program.start({"task_type": "echo", "payload": "new"})
        assert swarm.await_end(answer["execution_id"]).result == "new"
    assert all(process.is_alive for process in swarm.processes)
    swept = swarm.redis.get(swarm.key("swept_at"))
    eventually(lambda: _differ(swarm.redis.get(swarm.key("swept_at")), swept))


def test_what_runs_goes_on_where_it_is_though_the_server_was_away_for_longer_than_a_lease(durable: Swarm) -> None:
    swarm = durable
    start_all(swarm)
    ids = [swarm.start(task_type, {"file": "back"}) for task_type in ("wait.thread", "wait.async")]
    for execution_id in ids:
        swarm.await_status(execution_id, RUNNING)
    kill_server(swarm)
    worker = swarm.named("worker")
    renewals_of_a_lease = 3
    eventually(lambda: _at_least(worker.log.count("could not be renewed"), renewals_of_a_lease + 1), 60_000)
    swarm.server.ensure_running()
    swarm.await_agents("worker")
    assert swarm.await_end(swarm.start("echo", "after")).result == "after"
    swarm.touch("back")
    for execution_id in ids:
        ended = swarm.await_end(execution_id)
        assert (ended.status, ended.attempt, ended.lost_attempts) == (COMPLETED, 1, 0)
        assert count_of(swarm.event_types(execution_id), "started", "completed") == {"started": 1, "completed": 1}


def test_a_silent_server_is_an_error_within_five_seconds_and_no_more_than_that(forgetful: Swarm) -> None:
    swarm = forgetful
    url = swarm.api()
    question = {"jsonrpc": "2.0", "id": 1, "method": "mindswarm.execution.start", "params": {"task_type": "echo"}}
    execution_id = swarm.start("wait.thread", {"file": "silence"})
    swarm.await_status(execution_id, RUNNING)
    with swarm.frozen_server():
        asked_at = time.monotonic()
        answer = httpx.post(f"{url}/rpc", json=question, timeout=10).json()
        assert time.monotonic() - asked_at < 5
        assert answer["error"]["data"]["code"] == "ledger_unavailable"
        swarm.touch("silence")
        swarm.await_lines("effects", 1)
    assert swarm.await_end(execution_id).status is COMPLETED
    assert "result" in httpx.post(f"{url}/rpc", json=question, timeout=10).json()
    assert swarm.await_end(swarm.start("echo", "after")).result == "after"
    assert all(process.is_alive for process in swarm.processes)


def test_agents_register_again_by_themselves_with_a_server_that_comes_back_empty(forgetful: Swarm) -> None:
    swarm = forgetful
    gone = swarm.start("wait.async", {"file": "never"})
    swarm.await_status(gone, RUNNING)
    queued = [swarm.start("wait.thread", {"file": "never"}) for _ in range(4)]
    kill_server(swarm)
    swarm.server.ensure_running()
    swarm.await_agents("worker")
    for execution_id in (gone, *queued):
        with pytest.raises(UnknownExecution, match="start it again"):
            swarm.get(execution_id)
    ids = [swarm.start("echo", n) for n in range(10)]
    assert [swarm.await_end(execution_id).result for execution_id in ids] == list(range(10))
    assert swarm.await_lines("finally", 1) == [gone]
    swarm.await_load("worker", 0)
    assert all(process.is_alive for process in swarm.processes)


def test_an_agent_that_starts_before_its_server_joins_when_the_server_is_there(forgetful: Swarm) -> None:
    swarm = forgetful
    kill_server(swarm)
    worker = swarm.agent("early")
    eventually(lambda: _says(worker.log, "could not be renewed"), 15_000)
    swarm.server.ensure_running()
    swarm.await_agents("early")
    assert swarm.await_end(swarm.start("echo", 2, on="early")).agent_id == "early"


def test_every_process_ends_on_sigterm_though_its_server_is_gone(forgetful: Swarm) -> None:
    swarm = forgetful
    kill_server(swarm)
    worker = swarm.named("worker")
    eventually(lambda: _at_least(worker.log.count("could not be renewed"), 2), 15_000)
    for process in swarm.processes:
        process.terminate()
    codes = {process.name: process.exit_code(15) for process in swarm.processes}
    assert codes == dict.fromkeys(("beat", "dispatcher", "worker", "early", "api"), 0)
    assert "Traceback" not in swarm.named("beat").log


def _says(log: str, words: str) -> None:
    assert words in log


def _at_least(found: int, least: int) -> None:
    assert found >= least


def _differ(found: object, earlier: object) -> None:
    assert found != earlier
