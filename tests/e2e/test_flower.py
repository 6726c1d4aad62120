"""Flower, as an operator uses it: agents are workers, attempts are tasks, and a revoke is a cancel."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from mindswarm_exec.celery_app import RUN_TASK, create_app
from mindswarm_exec.lifecycle import CANCELLED, COMPLETED, RUNNING
from tests.e2e.running_flower import Flower
from tests.e2e.swarm import Swarm
from tests.eventually import eventually


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swarm]:
    with Swarm(tmp_path_factory.mktemp("flower")) as swarm:
        swarm.agent("seen")
        swarm.agent("other")
        swarm.await_agents("seen", "other")
        yield swarm


@pytest.fixture(scope="module")
def flower(swarm: Swarm) -> Flower:
    flower = Flower(swarm)
    flower.await_worker("seen")
    flower.await_worker("other")
    return flower


def test_agents_are_workers_on_the_queues_that_are_theirs(flower: Flower) -> None:
    name = flower.await_worker("seen")

    def check() -> None:
        worker = flower.get("/api/workers", refresh=1, workername=name)[name]
        assert [queue["name"] for queue in worker["active_queues"]] == ["swarm.agent.seen"]
        assert "mindswarm.run" in worker["registered"]

    eventually(check, 20_000, every_ms=200)


def test_attempts_are_tasks_under_their_task_types_with_states_and_runtimes(swarm: Swarm, flower: Flower) -> None:
    fine = swarm.start("echo", "private words", on="seen")
    failing = swarm.start("fail", {"until": 2}, on="seen", retry_policy={"max_attempts": 2})
    for execution_id in (fine, failing):
        assert swarm.await_end(execution_id).status is COMPLETED
    shown = flower.await_task(f"{fine}.1", "SUCCESS")
    assert (shown["name"], str(shown["worker"]).partition("@")[0]) == ("echo", "seen")
    assert shown["runtime"] >= 0
    assert "private words" not in str(shown)
    assert flower.await_task(f"{failing}.1", "FAILURE")["name"] == "fail"
    assert flower.await_task(f"{failing}.2", "SUCCESS")["name"] == "fail"


def test_an_attempt_that_began_before_flower_has_its_name_when_it_ends(swarm: Swarm) -> None:
    execution_id = swarm.start("wait.async", {"file": "end"}, on="other")
    swarm.await_status(execution_id, RUNNING)
    late = Flower(swarm, "late-flower")
    late.await_worker("other")
    swarm.touch("end")
    assert swarm.await_end(execution_id).status is COMPLETED
    assert late.await_task(f"{execution_id}.1", "SUCCESS")["name"] == "wait.async"


@pytest.mark.parametrize("task_type", ["wait.async", "wait.thread"])
def test_a_revoke_cancels_the_execution_and_its_handler_may_clean_up(
    swarm: Swarm, flower: Flower, task_type: str
) -> None:
    execution_id = swarm.start(task_type, {"file": "never"}, on="seen")
    flower.await_task(f"{execution_id}.1", "STARTED")
    flower.revoke(f"{execution_id}.1")
    ended = swarm.await_end(execution_id)
    assert ended.status is CANCELLED
    assert ended.error is not None
    assert "remote control" in ended.error.message
    assert swarm.event_types(execution_id).count("cancel_requested") == 1
    flower.await_task(f"{execution_id}.1", "REVOKED")
    if task_type == "wait.async":
        assert execution_id in swarm.await_lines("finally", 1)
    actors = [event["data"]["actor"]["via"] for event in swarm.events(execution_id) if "actor" in event["data"]]
    assert "celery" in actors


def test_a_revoke_with_terminate_fences_what_hears_nothing(swarm: Swarm, flower: Flower) -> None:
    execution_id = swarm.start("wait.deaf", {"file": "deaf"}, on="seen")
    flower.await_task(f"{execution_id}.1", "STARTED")
    flower.revoke(f"{execution_id}.1", terminate="true")
    assert swarm.await_end(execution_id).status is CANCELLED
    assert "cancel_requested" not in swarm.event_types(execution_id)
    assert swarm.agent_record("seen").load == 1, "the slot stays taken until the code ends"
    swarm.touch("deaf")
    swarm.await_load("seen", 0)


def test_a_revoke_of_an_earlier_attempt_leaves_the_present_one_alone(swarm: Swarm, flower: Flower) -> None:
    first = swarm.start("wait.async", {"file": "later"}, on="seen")
    flower.await_task(f"{first}.1", "STARTED")
    flower.revoke(f"{first}.1")
    assert swarm.await_end(first).status is CANCELLED
    swarm.run(swarm.executions.retry(first))
    flower.await_task(f"{first}.2", "STARTED")
    flower.revoke(f"{first}.1")
    flower.revoke("no attempt at all")
    marker = swarm.start("wait.async", {"file": "never"}, on="seen")  # revokes are heard in their order
    flower.await_task(f"{marker}.1", "STARTED")
    flower.revoke(f"{marker}.1")
    assert swarm.await_end(marker).status is CANCELLED
    assert swarm.get(first).status is RUNNING
    swarm.touch("later")
    assert swarm.await_end(first).status is COMPLETED


BUTTONS: dict[str, dict[str, str | int]] = {
    "worker/pool/grow": {"n": 1},
    "worker/pool/shrink": {"n": 3},
    "worker/pool/restart": {},
    "worker/pool/autoscale": {"min": 0, "max": 1},
    "worker/queue/add-consumer": {"queue": "swarm.executions"},
    "worker/queue/cancel-consumer": {"queue": "swarm.agent.seen"},
}


@pytest.mark.parametrize("button", BUTTONS)
def test_a_button_that_would_harm_is_refused_and_says_what_to_do(swarm: Swarm, flower: Flower, button: str) -> None:
    worker = flower.await_worker("seen")
    refused = flower.press(f"{button}/{worker}", **BUTTONS[button])
    assert refused.status_code == 403
    assert "drain" in refused.text or "max_concurrent" in refused.text, refused.text
    queues = flower.get("/api/workers", refresh=1, workername=worker)[worker]["active_queues"]
    assert [queue["name"] for queue in queues] == ["swarm.agent.seen"]
    ended = swarm.await_end(swarm.start("echo", button, on="seen"))
    assert (ended.status, ended.agent_id) == (COMPLETED, "seen")
    assert "Traceback" not in swarm.named("seen").log


@pytest.mark.parametrize("limit", [{"rate_limit": "1/h"}, {"soft": 0.01, "hard": 0.02}])
def test_limits_of_celery_are_refused(swarm: Swarm, limit: dict[str, object]) -> None:
    """Flower offers them for tasks that it knows by name; anybody on the broker may send them."""
    with create_app(swarm.settings, swarm.broker_url, "operator") as app:
        command = "rate_limit" if "rate_limit" in limit else "time_limit"
        arguments = {"task_name": RUN_TASK, **limit}
        replies = app.control.broadcast(command, arguments, pattern="seen@*", matcher="glob", reply=True, timeout=5)
    assert ["timeout_seconds" in str(reply) for reply in replies] == [True], replies


def test_terminate_is_a_cancel_by_force(swarm: Swarm, flower: Flower) -> None:
    execution_id = swarm.start("wait.deaf", {"file": "deaf too"}, on="seen")
    flower.await_task(f"{execution_id}.1", "STARTED")
    with create_app(swarm.settings, swarm.broker_url, "operator") as app:
        app.control.broadcast("terminate", {"signal": "KILL", "task_id": f"{execution_id}.1"})
    assert swarm.await_end(execution_id).status is CANCELLED
    assert "cancel_requested" not in swarm.event_types(execution_id)
    swarm.touch("deaf too")
    swarm.await_load("seen", 0)


def test_shutdown_is_a_drain(swarm: Swarm, flower: Flower) -> None:
    leaving = swarm.agent("leaving", MINDSWARM_DRAIN_GRACE_SECONDS="20")
    swarm.await_agents("leaving")
    worker = flower.await_worker("leaving")
    execution_id = swarm.start("wait.async", {"file": "last"}, on="leaving")
    assert swarm.await_status(execution_id, RUNNING).agent_id == "leaving"
    flower.get("/api/workers", refresh=1)  # its buttons are for workers that it has asked about themselves
    assert flower.press(f"worker/shutdown/{worker}").status_code == 200
    swarm.await_agents("leaving", state="draining")
    swarm.touch("last")
    assert leaving.exit_code() == 0
    ended = swarm.await_end(execution_id)
    assert (ended.status, ended.agent_id, ended.attempt) == (COMPLETED, "leaving", 1)


def test_its_api_asks_for_the_password(flower: Flower) -> None:
    assert httpx.get(f"{flower.http.base_url}/api/tasks").status_code == 401


def test_without_a_password_it_stays_on_this_machine(swarm: Swarm) -> None:
    exposed = swarm.command("exposed", "flower", "--address", "0.0.0.0", "--port", "0")
    assert exposed.exit_code() == 2
    assert "FLOWER_BASIC_AUTH" in exposed.log
    assert "Traceback" not in exposed.log


def test_it_ends_in_order_on_sigterm(swarm: Swarm, flower: Flower) -> None:
    flower.process.terminate()
    assert flower.process.exit_code() == 0
