"""Hostile names are refused at every door with an error that says what is allowed, and reach no key of the ledger."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from mindswarm_exec.errors import InvalidRequest, UnknownAgent, UnknownExecution
from mindswarm_exec.lifecycle import COMPLETED
from tests.e2e import handlers
from tests.e2e.celery_program import CeleryProgram
from tests.e2e.swarm import HANDLERS, Swarm
from tests.eventually import eventually

HOSTILE = {
    "a priority step of kombu": "x\x06\x163",
    "kombu's bindings": "_kombu.binding.x",
    "10 kB": "x" * 10_000,
    "unicode": "агент-☃",
    "a line break": "agent\n",
    "a null": "agent\x00",
    "a path": "../../etc/passwd",
    "a pattern of keys": "*{?}[a]",
    "spaces": "two words",
    "nothing": "",
    "no text": 7,
    "a list": ["x"],
}
#: Params of a submission that hold a name, by field.
START_FIELDS: dict[str, Any] = {
    "task_type": lambda name: {"task_type": name},
    "project_id": lambda name: {"project_id": name},
    "task_id": lambda name: {"task_id": name},
    "tags": lambda name: {"options": {"tags": [name]}},
    "concurrency_key": lambda name: {"options": {"concurrency_key": name}},
    "meters": lambda name: {"options": {"resource_limits": {"meters": {f"{name} ": 1}}}},
    "agent_id": lambda name: {"options": {"agent": {"agent_id": name}}},
    "preferred_agent_id": lambda name: {"options": {"agent": {"preferred_agent_id": name}}},
    "excluded_agents": lambda name: {"options": {"agent": {"excluded_agents": [name]}}},
    "required_capabilities": lambda name: {"options": {"agent": {"required_capabilities": [name]}}},
    "affinity_key": lambda name: {"options": {"agent": {"affinity_key": name}}},
    "constraint": lambda name: {"options": {"agent": {"constraints": [{"label": name, "op": "exists"}]}}},
    "options": lambda name: {"options": {f"{name} ": 1}},
    "params": lambda name: {f"{name} ": 1},
}
#: Keys of the ledger, of kombu's queues and bindings, and of Celery's results.
_OWNERS = r"(\{swarm\}:|swarm\.|_kombu\.binding[_.]|celery-task-meta-|unacked)"
KNOWN_KEY = re.compile(_OWNERS + r"[\w .:/@+#{}-]*(\x06\x16\d)?", re.ASCII)
BY_EXECUTION = ("get", "pause", "resume", "cancel", "retry", "getMetrics", "getHistory")
BY_AGENT = ("get", "sleep", "wake", "drain")
BY_TASK = ("get", "update", "assign")


class Door:
    """JSON-RPC over HTTP."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=10)

    def call(self, method: str, params: Any) -> dict[str, Any]:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        response = self.http.post("/rpc", json=body)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swarm]:
    with Swarm(tmp_path_factory.mktemp("hostile")) as swarm:
        swarm.dispatcher()
        swarm.agent("tester")
        swarm.await_agents("tester")
        yield swarm


@pytest.fixture(scope="module")
def door(swarm: Swarm) -> Iterator[Door]:
    door = Door(swarm.api())
    yield door
    door.http.close()


@pytest.fixture(autouse=True)
def _nothing_is_stored(swarm: Swarm) -> Iterator[None]:
    """No test here leaves a key whose name holds anything but letters, digits and what the ledger puts there."""
    yield
    assert not [key for key in swarm.redis.scan_iter() if not KNOWN_KEY.fullmatch(key)]


def check_refused(error: dict[str, Any], name: object, *codes: str) -> None:
    """It is a typed error, one sentence, which quotes nothing that a terminal or a log should not get."""
    assert error["data"]["code"] in codes, error
    message = error["message"]
    assert len(message) < 1000
    assert message.isprintable()
    assert message.endswith((".", "more)", "?"))
    assert not (isinstance(name, str) and len(name) > 100 and name in message)


@pytest.mark.parametrize("what", HOSTILE)
def test_a_submission_with_a_hostile_name_is_refused_over_http(swarm: Swarm, door: Door, what: str) -> None:
    name = HOSTILE[what]
    before = swarm.redis.xlen(swarm.key("events"))
    for field, params in START_FIELDS.items():
        answer = door.call("mindswarm.execution.start", {"task_type": "echo"} | params(name))
        assert "error" in answer, (field, answer)
        check_refused(answer["error"], name, "invalid_request")
    assert swarm.redis.xlen(swarm.key("events")) == before


@pytest.mark.parametrize("what", HOSTILE)
def test_a_question_about_a_hostile_name_is_refused_over_http(door: Door, what: str) -> None:
    name = HOSTILE[what]
    unknown = ("invalid_request", "unknown_execution", "unknown_agent", "unknown_task")
    for verb in BY_EXECUTION:
        check_refused(door.call(f"mindswarm.execution.{verb}", {"execution_id": name})["error"], name, *unknown)
    for verb in BY_AGENT:
        check_refused(door.call(f"mindswarm.agent.{verb}", {"agent_id": name})["error"], name, *unknown)
    for verb in BY_TASK:
        params = {"task_id": name, "assignee": "me"} if verb == "assign" else {"task_id": name}
        check_refused(door.call(f"mindswarm.task.{verb}", params)["error"], name, *unknown)
    for method in ("mindswarm.execution.list", "mindswarm.events.getHistory", "mindswarm.execution.getQueueStatus"):
        check_refused(door.call(method, {"project_id": name})["error"], name, *unknown)


def test_a_submission_with_a_hostile_name_is_refused_at_the_front_door(swarm: Swarm) -> None:
    with CeleryProgram(swarm) as program:
        asked = [
            (name, program.send({"task_type": "echo"} | params(name)))
            for name in [*HOSTILE.values(), "half a pair \ud800"]
            for params in START_FIELDS.values()
        ]
        for name, sent in asked:
            check_refused(sent.get(timeout=20)["error"], name, "invalid_request")
        for text in ("\ud800", {"a": ["\ud800"]}):
            error = program.start({"task_type": "echo", "payload": text})["error"]
            assert "no Unicode" in error["message"]
    swarm.await_load("tester", 0)


@pytest.mark.parametrize("what", [what for what in HOSTILE if isinstance(HOSTILE[what], str)])
def test_the_services_refuse_hostile_ids_themselves(swarm: Swarm, what: str) -> None:
    name = HOSTILE[what]
    with pytest.raises(UnknownExecution):
        swarm.get(name)
    with pytest.raises(UnknownExecution):
        swarm.run(swarm.executions.cancel(name))
    with pytest.raises(UnknownAgent):
        swarm.run(swarm.agents.drain(name))
    if name:
        with pytest.raises(InvalidRequest, match="agent_id"):
            handlers.agent.profile(name)


def test_an_agent_with_a_hostile_name_does_not_start_and_says_why(swarm: Swarm) -> None:
    names = ["x\x06\x163", "_kombu.binding.x", "агент"]
    refused = [swarm.command(f"refused-{n}", "agent", HANDLERS, "--name", name) for n, name in enumerate(names)]
    for process in refused:
        assert process.exit_code() not in (0, 1)
        assert "that start with a letter or digit" in process.log
        assert "Traceback" not in process.log


def test_free_text_may_hold_anything_and_comes_back_as_it_was(swarm: Swarm, door: Door) -> None:
    odd = "\x06\x163 \x00 ☃ _kombu.binding.x {a} *"
    params = {"task_type": "echo", "payload": {odd: odd}, "idempotency_key": odd}
    first = door.call("mindswarm.execution.start", params)["result"]
    assert door.call("mindswarm.execution.start", params)["result"]["execution_id"] == first["execution_id"]
    ended = swarm.await_end(first["execution_id"])
    assert (ended.status, ended.result) == (COMPLETED, {odd: odd})
    waiting = door.call("mindswarm.execution.start", {"task_type": "nobody.does.this"})["result"]["execution_id"]
    paused = door.call("mindswarm.execution.pause", {"execution_id": waiting, "reason": odd})["result"]
    assert paused["intent"]["reason"] == odd
    # the key of an idempotency key is made of free text
    swarm.redis.delete(swarm.key("idempotency", f"default {odd}"))


def test_nothing_of_all_this_has_stopped_a_process(swarm: Swarm, door: Door) -> None:
    for name in ("dispatcher", "tester", "api"):
        assert swarm.named(name).is_alive
    answer = door.call("mindswarm.execution.start", {"task_type": "echo", "payload": "still here"})
    execution_id = answer["result"]["execution_id"]
    eventually(lambda: _equal(door.call("mindswarm.execution.get", {"execution_id": execution_id}), "still here"))


def _equal(answer: dict[str, Any], wanted: str) -> None:
    assert answer["result"]["result"] == wanted
