"""RabbitMQ as the broker, with Valkey as the ledger: the same promises over another road."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from amqp.exceptions import PreconditionFailed
from kombu import Connection, Queue

from mindswarm_exec.celery_app import celery_queue
from mindswarm_exec.lifecycle import CANCELLED, COMPLETED
from tests.e2e.celery_program import CeleryProgram
from tests.e2e.rabbitmq import RabbitMQ
from tests.e2e.running_flower import Flower
from tests.e2e.swarm import Swarm

pytestmark = pytest.mark.needs_program("rabbitmq-server")


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swarm]:
    directory = tmp_path_factory.mktemp("rabbitmq")
    with (
        RabbitMQ(directory / "broker") as broker,
        Swarm(directory, MINDSWARM_BROKER_URL=broker.url, MINDSWARM_LEASE_SECONDS="6") as swarm,
    ):
        swarm.broker_url = broker.url
        swarm.agent("first")
        swarm.agent("second")
        swarm.dispatcher()
        swarm.beat()
        swarm.await_agents("first", "second")
        swarm.await_dispatcher()
        yield swarm


def test_what_a_celery_program_submits_runs_and_is_answered(swarm: Swarm) -> None:
    with CeleryProgram(swarm) as program:
        ids = [program.start({"task_type": "echo", "payload": n})["execution_id"] for n in range(12)]
    assert [swarm.await_end(execution_id).result for execution_id in ids] == list(range(12))
    assert sorted(swarm.written("echo")) == sorted(ids), "each ran once"


def test_a_backlog_drains_over_both_agents(swarm: Swarm) -> None:
    ids = [swarm.start("steps", {"steps": 2}) for _ in range(30)]
    assert {swarm.await_end(execution_id).status for execution_id in ids} == {COMPLETED}


def test_work_is_paused_resumed_and_cancelled(swarm: Swarm) -> None:
    paused = swarm.start("steps", {"steps": 3, "hold": 1, "file": "go"}, on="first")
    swarm.await_lines("began", 1)
    swarm.run(swarm.executions.pause(paused))
    swarm.await_load("first", 0)
    swarm.touch("go")
    swarm.run(swarm.executions.resume(paused))
    assert swarm.await_end(paused).status is COMPLETED
    cancelled = swarm.start("wait.async", {"file": "never"}, on="second")
    swarm.await_load("second", 1)
    swarm.run(swarm.executions.cancel(cancelled))
    assert swarm.await_end(cancelled).status is CANCELLED


def test_flower_sees_agents_and_revokes(swarm: Swarm) -> None:
    flower = Flower(swarm)
    flower.await_worker("first")
    execution_id = swarm.start("wait.async", {"file": "never"}, on="first")
    flower.await_task(f"{execution_id}.1", "STARTED")
    flower.revoke(f"{execution_id}.1")
    assert swarm.await_end(execution_id).status is CANCELLED


def test_the_queue_of_an_agent_that_never_comes_back_goes_away(swarm: Swarm) -> None:
    declared = celery_queue(swarm.settings, "swarm.agent.first")
    with Connection(swarm.broker_url) as connection:
        declared(connection.channel()).queue_declare()  # as the agent has declared it, or it would be refused
        with pytest.raises(PreconditionFailed, match="x-expires"):
            Queue(declared.name, routing_key=declared.name)(connection.channel()).queue_declare()


def test_the_work_of_a_killed_agent_runs_elsewhere(swarm: Swarm) -> None:
    execution_id = swarm.start("wait.async", {"file": "open"}, on="second")
    swarm.await_load("second", 1)
    swarm.named("second").kill()
    swarm.touch("open")
    ended = swarm.await_end(execution_id, within_ms=40_000)
    assert (ended.status, ended.agent_id) == (COMPLETED, "first")
