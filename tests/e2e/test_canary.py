"""What services send and get is in the ledger's records, and nowhere that operators look: a canary tells."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from mindswarm_exec.api.keys import create_key
from mindswarm_exec.client import ExecutionClient
from mindswarm_exec.lifecycle import COMPLETED, FAILED
from tests.e2e.celery_program import CeleryProgram
from tests.e2e.running_flower import Flower
from tests.e2e.swarm import Swarm
from tests.eventually import eventually

CANARY = "canary-7f3a"
PROCESSES = ("singer", "api", "dispatcher", "beat", "flower")


class Everything:
    """All that is published on the server meanwhile: Celery's events and remote control, and our events."""

    def __init__(self, swarm: Swarm) -> None:
        self.seen: list[dict[str, Any]] = []
        self._listener = swarm.redis.pubsub()
        self._listener.psubscribe(**{"*": self.seen.append})
        self._thread = self._listener.run_in_thread(0.1)

    def stop(self) -> None:
        self._thread.stop()
        self._thread.join(10)
        self._listener.close()

    def texts(self, swarm: Swarm) -> list[str]:
        """What was published, but what goes to those who wait for it: small results, answers of the front door."""
        awaited = (swarm.key("ended"), "celery-task-meta-")
        seen = [one for one in list(self.seen) if not one["channel"].startswith(awaited)]
        return [f"{one['channel']} {opened(str(one['data']))}" for one in seen]


def opened(text: str) -> str:
    """A message of Celery's with its body decoded; any other text as it is."""
    told = json.loads(text)
    is_wrapped = isinstance(told, dict) and told.get("properties", {}).get("body_encoding") == "base64"
    return text + base64.b64decode(told["body"]).decode() if is_wrapped else text


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swarm]:
    settings = {"MINDSWARM_LOG_FORMAT": "json", "MINDSWARM_API_KEYS": "true"}
    with Swarm(tmp_path_factory.mktemp("canary"), **settings) as swarm:
        swarm.agent("singer")
        swarm.dispatcher()
        swarm.beat()
        swarm.await_agents("singer")
        swarm.await_dispatcher()
        yield swarm


def wake_messages(swarm: Swarm) -> list[str]:
    """What lies in the agent's Celery queue."""
    queues = list(swarm.redis.scan_iter("swarm.agent.singer*", _type="list"))
    return [opened(message) for queue in queues for message in swarm.redis.lrange(queue, 0, -1)]


def misuse(url: str, key: str) -> None:
    """Calls that the API refuses, each with the canary in another place."""
    right, wrong = ({"Authorization": f"Bearer {token}"} for token in (key, CANARY))
    call = {"jsonrpc": "2.0", "id": CANARY, "method": "mindswarm.execution.start"}
    with httpx.Client(base_url=url, headers=right) as http:
        refused = [
            http.post("/rpc", content=f'{{"{CANARY}": '),
            http.post("/rpc", json=call | {"method": CANARY}),
            http.post("/rpc", json=call | {"params": {"task_type": "echo", CANARY: CANARY}}),
            http.post("/rpc", json=call | {"params": {"task_type": f"{CANARY} {CANARY}", "payload": CANARY}}),
            http.post("/rpc", json=call | {"params": {"task_type": "echo", "options": {"priority": CANARY}}}),
        ]
        assert all("error" in answer.json() for answer in refused)
        assert http.get(f"/{CANARY}?of={CANARY}").status_code == 404
        assert http.get("/metrics", headers=wrong).status_code == 401


def test_a_canary_is_heard_in_the_ledger_alone(swarm: Swarm) -> None:
    url, flower, published = swarm.api(), Flower(swarm), Everything(swarm)
    settings = swarm.settings.model_copy(update={"redis_url": swarm.server.url})
    key = create_key(settings, ["*"], "canary")
    flower.await_worker("singer")
    with ExecutionClient(url, api_key=key) as client, CeleryProgram(swarm) as program:
        misuse(url, key)
        swarm.named("singer").freeze()
        client.start("echo", {"song": CANARY})  # its message may already be on its way into the frozen process
        sung = client.start("echo", {"song": CANARY}, idempotency_key=CANARY)

        def waking() -> list[str]:
            found = wake_messages(swarm)
            assert any(sung.execution_id in message for message in found)
            return found

        woken = eventually(waking, 10_000)
        swarm.named("singer").thaw()
        invalid = client.start("typed", {"amount": CANARY})
        streamed = client.start("fail", {"until": 1, "message": CANARY})
        answer = program.start({"task_type": "echo", "payload": CANARY, "idempotency_key": f"{CANARY}-2"})
        refused = program.start({"task_type": "echo", "payload": {"of": CANARY}, CANARY: CANARY})
    assert "error" in refused
    ended = swarm.await_end(sung.execution_id, 40_000)
    assert (ended.status, ended.result, ended.payload) == (COMPLETED, {"song": CANARY}, {"song": CANARY})
    assert swarm.await_end(answer["execution_id"]).status is COMPLETED
    assert swarm.await_end(streamed.execution_id).status is COMPLETED
    assert swarm.await_end(invalid.execution_id).status is FAILED
    shown = [flower.await_task(f"{ended.execution_id}.{ended.attempt}", "SUCCESS")]
    pages = [flower.get("/api/workers", refresh=1), flower.get("/api/tasks"), flower.http.get("/metrics").text]
    metrics = httpx.get(f"{url}/metrics", headers={"Authorization": f"Bearer {key}"})
    assert metrics.status_code == 200
    for name in PROCESSES:
        swarm.named(name).terminate()
        swarm.named(name).exit_code()
    published.stop()
    places = {
        "Flower": repr((shown, pages)),
        "/metrics": metrics.text,
        "wake messages": repr(woken),
        "what was published": repr(published.texts(swarm)),
        "events": repr(swarm.redis.xrange(swarm.key("events"))),
        **{f"log of {process.name}": process.log for process in swarm.processes},
    }
    assert ended.execution_id in places["events"]
    assert ended.execution_id in places["what was published"]
    assert '"task-succeeded"' in places["what was published"]
    heard = [text for text in published.texts(swarm) if CANARY in text or key in text]
    assert heard == []
    assert [place for place, text in places.items() if CANARY in text or key in text] == []


def test_every_line_of_a_log_is_a_json_object_that_names_its_process(swarm: Swarm) -> None:
    """Runs after the above, when the processes have ended."""
    for name in PROCESSES:
        for line in swarm.named(name).log.splitlines():
            told = json.loads(line)
            assert told["process"] == {"singer": "agent"}.get(name, name)
            assert {"at", "level", "logger", "message"} <= told.keys()
    lines = [json.loads(line) for line in swarm.named("singer").log.splitlines()]
    said = [(line["agent_id"], line.get("action")) for line in lines]
    assert {("singer", "register"), ("singer", "drain")} <= set(said)
    for name in ("api", "dispatcher"):
        assert '"action": "listen"' in swarm.named(name).log
