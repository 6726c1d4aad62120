"""Between storing an execution and waking its agent a process may die: the work is dispatched all the same."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mindswarm_exec.celery_app import redelivery_seconds
from mindswarm_exec.cli.stack import free_port
from mindswarm_exec.lifecycle import COMPLETED
from tests.e2e.celery_program import CeleryProgram
from tests.e2e.swarm import Swarm
from tests.eventually import eventually

#: Stores an execution as the API does, and is gone before it could do anything else.
DIES_AFTER_STORING = """
import os, signal, sys
from mindswarm_exec.ledger.faces import SyncLedger, connect_sync
from mindswarm_exec.models.options import ExecutionOptions
from mindswarm_exec.service.submission import start_operation
from mindswarm_exec.settings import Settings
settings = Settings.from_environment()
ledger = SyncLedger(connect_sync(settings.redis_url, settings), settings)
ledger.run(start_operation(sys.argv[1], "echo", "38", ExecutionOptions(), project_id="default"))
os.kill(os.getpid(), signal.SIGKILL)
"""
EXECUTION_ID = "01900000-0000-7000-8000-000000000038"


@pytest.fixture(params=[False, True], ids=["broker-is-ledger", "broker-is-apart"])
def swarm(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Swarm]:
    with Swarm(tmp_path, broker_is_apart=request.param) as swarm:
        swarm.agent("worker")
        swarm.dispatcher()
        swarm.await_agents("worker")
        swarm.await_dispatcher()
        yield swarm


def deliveries(swarm: Swarm, execution_id: str) -> int:
    """How often the sweep had to send the message again."""
    return int(swarm.redis.hget(swarm.key("execution", execution_id), "deliveries") or 0)


def test_what_a_killed_process_has_stored_is_dispatched(swarm: Swarm) -> None:
    killed = swarm.process("killed", "-c", DIES_AFTER_STORING, EXECUTION_ID)
    assert killed.exit_code() == -9
    ended = swarm.await_end(EXECUTION_ID, within_ms=15_000)
    assert (ended.status, ended.attempt, ended.result) == (COMPLETED, 1, 38)
    is_apart = swarm.broker_url != swarm.server.url
    assert (deliveries(swarm, EXECUTION_ID) > 0) == is_apart
    with CeleryProgram(swarm) as program:
        answers = [program.send({"task_type": "echo", "payload": n}) for n in range(12)]
        ids = [answer.get(timeout=20)["execution_id"] for answer in answers]
    assert [swarm.await_end(execution_id).result for execution_id in ids] == list(range(12))
    assert [deliveries(swarm, execution_id) for execution_id in ids] == [0] * 12, "somebody did not publish"


def test_agents_publish_what_their_own_scripts_match(tmp_path: Path) -> None:
    with Swarm(tmp_path, broker_is_apart=True, MINDSWARM_DELIVERY_SECONDS="600") as swarm:
        waiting = [swarm.start("wait.thread", {"file": "open"}) for _ in range(3)]
        swarm.agent("worker")  # the script that opens it for work matches all three
        swarm.await_agents("worker")
        swarm.await_lines("began", 3)
        swarm.touch("open")
        for execution_id in waiting:
            assert swarm.await_end(execution_id).status is COMPLETED


def test_an_agent_sweeps_and_sends_again_when_beat_and_dispatchers_are_gone(tmp_path: Path) -> None:
    with Swarm(tmp_path, broker_is_apart=True) as swarm:
        swarm.agent("worker")
        swarm.await_agents("worker")
        unpublished = swarm.start("echo", 34)
        assert swarm.await_end(unpublished).result == 34
        eventually(lambda: _at_least(deliveries(swarm, unpublished), 1))


def test_submissions_that_a_killed_dispatcher_had_in_hand_are_answered_by_another(tmp_path: Path) -> None:
    with Swarm(tmp_path, MINDSWARM_DELIVERY_SECONDS="0.5") as swarm, CeleryProgram(swarm) as program:
        away = {"MINDSWARM_REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"}
        cut_off = swarm.dispatcher("cut-off", MINDSWARM_BROKER_URL=swarm.broker_url, **away)
        asked = [program.send({"task_type": "echo", "payload": n}) for n in range(8)]
        eventually(lambda: _at_least(swarm.redis.hlen("swarm.unacked"), len(asked)), 20_000)
        cut_off.kill()
        swarm.agent("worker")
        eventually(lambda: _at_least(time.time() - oldest_in_hand(swarm), redelivery_seconds(swarm.settings)), 10_000)
        swarm.dispatcher()
        ids = [answer.get(timeout=30)["execution_id"] for answer in asked]
        assert [swarm.await_end(execution_id).result for execution_id in ids] == list(range(8))
        assert len(swarm.written("echo")) == 8
        again = program.send({"task_type": "echo", "payload": 0}, task_id=asked[0].id).get(timeout=20)
        assert again["execution_id"] == ids[0], "the same message twice is one submission"


def oldest_in_hand(swarm: Swarm) -> float:
    """When the message was taken that waits longest for its acknowledgement; 0 if none does."""
    oldest = swarm.redis.zrange("swarm.unacked_index", 0, 0, withscores=True)
    return oldest[0][1] if oldest else 0


def _at_least(found: float, least: float) -> None:
    assert found >= least
