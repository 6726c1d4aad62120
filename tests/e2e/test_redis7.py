"""Redis 7, as Debian ships it, in place of Valkey: the core of what is promised."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from mindswarm_exec.cli.stack import free_port
from mindswarm_exec.lifecycle import CANCELLED, COMPLETED
from tests.debian import required
from tests.e2e.celery_program import CeleryProgram
from tests.e2e.swarm import START_MS, Swarm
from tests.eventually import eventually

pytestmark = pytest.mark.needs_program("redis-server")


@contextlib.contextmanager
def redis_server(directory: Path) -> Iterator[str]:
    """A Redis of the test's own; its URL."""
    port = free_port()
    options = [
        "--bind",
        "127.0.0.1",
        "--port",
        str(port),
        "--dir",
        str(directory),
        "--save",
        "",
        "--appendonly",
        "yes",
    ]
    server = subprocess.Popen([required("redis-server"), *options], stdout=subprocess.DEVNULL)
    try:
        with redis.Redis(port=port) as client:
            eventually(lambda: answers(client), START_MS)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.kill()
        server.wait()


def answers(client: redis.Redis) -> None:
    try:
        assert str(client.info("server")["redis_version"]).startswith("7.")
    except redis.ConnectionError as error:
        raise AssertionError(str(error)) from None


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swarm]:
    directory = tmp_path_factory.mktemp("redis")
    with redis_server(directory) as url, Swarm(directory, MINDSWARM_REDIS_URL=url) as swarm:
        swarm.broker_url = url
        swarm.redis.close()
        swarm.run(swarm.ledger.close())
        swarm.connect(url)
        swarm.redis = redis.Redis.from_url(url, decode_responses=True)
        swarm.agent("worker")
        swarm.dispatcher()
        swarm.beat()
        swarm.await_agents("worker")
        swarm.await_dispatcher()
        yield swarm


def test_a_backlog_drains_and_every_history_is_whole(swarm: Swarm) -> None:
    ids = [swarm.start("echo", n, priority=n % 10) for n in range(40)]
    assert [swarm.await_end(execution_id).result for execution_id in ids] == list(range(40))
    for execution_id in ids:
        assert swarm.event_types(execution_id) == ["created", "queued", "started", "completed"]


def test_a_delayed_retry_comes_when_it_is_due(swarm: Swarm) -> None:
    execution_id = swarm.start("fail", {"until": 2}, retry_policy={"max_attempts": 2, "initial_delay_seconds": 0.5})
    ended = swarm.await_end(execution_id)
    assert (ended.status, ended.attempt) == (COMPLETED, 2)


def test_work_is_paused_resumed_and_cancelled(swarm: Swarm) -> None:
    paused = swarm.start("steps", {"steps": 3, "hold": 1, "file": "go"})
    swarm.await_lines("began", 1)
    swarm.run(swarm.executions.pause(paused))
    swarm.await_load("worker", 0)
    swarm.touch("go")
    swarm.run(swarm.executions.resume(paused))
    assert swarm.await_end(paused).status is COMPLETED
    cancelled = swarm.start("wait.async", {"file": "never"})
    swarm.await_load("worker", 1)
    swarm.run(swarm.executions.cancel(cancelled))
    assert swarm.await_end(cancelled).status is CANCELLED


def test_the_front_door_answers(swarm: Swarm) -> None:
    with CeleryProgram(swarm) as program:
        program.app.conf.result_backend = swarm.broker_url
        answer = program.start({"task_type": "echo", "payload": "over redis"})
    assert swarm.await_end(answer["execution_id"]).result == "over redis"


def test_the_work_of_a_killed_agent_runs_elsewhere(swarm: Swarm) -> None:
    execution_id = swarm.start("wait.async", {"file": "open"})
    swarm.await_load("worker", 1)
    swarm.named("worker").kill()
    swarm.agent("successor")
    swarm.touch("open")
    ended = swarm.await_end(execution_id, within_ms=40_000)
    assert (ended.status, ended.agent_id) == (COMPLETED, "successor")
