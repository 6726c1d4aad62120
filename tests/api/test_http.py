"""The API over HTTP: calls, limits, and what operators ask."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from mindswarm_exec.api.server import main
from mindswarm_exec.errors import InvalidRequest
from mindswarm_exec.settings import Settings
from tests.api.running_api import RunningApi


@pytest.fixture
def http(api: RunningApi) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=api.url) as client:
        yield client


def call(http: httpx.Client, method: str, **params: Any) -> Any:
    reply = http.post("/rpc", json={"jsonrpc": "2.0", "id": 1, "method": f"mindswarm.{method}", "params": params})
    return reply.json()


def test_an_execution_is_started_controlled_and_looked_at(http: httpx.Client) -> None:
    started = call(
        http, "execution.start", task_type="code.survey", payload={"files": []}, options={"priority": "high"}
    )
    execution_id = started["result"]["execution_id"]
    assert (started["result"]["status"], started["result"]["priority"]) == ("pending", 7)
    assert call(http, "execution.pause", execution_id=execution_id)["result"]["status"] == "paused"
    assert call(http, "execution.resume", execution_id=execution_id, checkpoint={"n": 1})["result"]["checkpoint"] == {
        "n": 1
    }
    assert call(http, "execution.cancel", execution_id=execution_id)["result"]["status"] == "cancelled"
    assert call(http, "execution.retry", execution_id=execution_id)["result"]["status"] == "pending"
    assert call(http, "execution.get", execution_id=execution_id)["result"]["execution_id"] == execution_id
    assert [each["execution_id"] for each in call(http, "execution.list")["result"]["executions"]] == [execution_id]
    assert call(http, "execution.getMetrics", execution_id=execution_id)["result"]["attempts"] == 0
    assert call(http, "execution.getQueueStatus")["result"]["waiting"] == 1
    moves = [
        entry["event_type"]
        for entry in call(http, "execution.getHistory", execution_id=execution_id)["result"]["entries"]
    ]
    assert moves[0] == "execution.created"
    assert {"execution.paused", "execution.resumed", "execution.cancelled", "execution.retry_scheduled"} <= set(moves)


@pytest.mark.parametrize(("path", "status"), [("/", 404), ("/rpcs", 404), ("/rpc", 405)])
def test_whoever_looks_in_the_wrong_place_is_told_what_is_where(http: httpx.Client, path: str, status: int) -> None:
    reply = http.get(path)
    assert reply.status_code == status
    assert "POST /rpc " in reply.text
    named = [one for line in reply.text.splitlines() for one in re.findall(r"/[a-z]+[a-z.]*", line)]
    for one in set(named) - {"/rpc", "/ws"}:
        assert http.get(one).status_code == 200, one


def test_tasks_are_created_changed_and_started(http: httpx.Client) -> None:
    task = call(http, "task.create", title="survey it", task_type="code.survey", payload={"a": 1})["result"]
    changed = call(http, "task.update", task_id=task["task_id"], title="survey all")["result"]
    assert (changed["title"], changed["task_type"]) == ("survey all", "code.survey")
    assert call(http, "task.assign", task_id=task["task_id"], assignee="anna")["result"]["assignee"] == "anna"
    started = call(http, "execution.start", task_id=task["task_id"])["result"]
    assert (started["task_type"], started["payload"]) == ("code.survey", {"a": 1})
    assert call(http, "task.get", task_id=task["task_id"])["result"]["execution_id"] == started["execution_id"]
    assert len(call(http, "task.list")["result"]["tasks"]) == 1


def test_the_record_of_events_is_open_to_http_and_subscriptions_are_not(http: httpx.Client) -> None:
    call(http, "execution.start", task_type="code.survey")
    page = call(http, "events.getHistory", event_types=["execution.*"])["result"]
    assert [event["event_type"] for event in page["events"]] == ["execution.created"]
    refused = call(http, "events.subscribe")["error"]
    assert refused["data"]["code"] == "invalid_request"
    assert "over WebSocket only" in refused["message"]


@pytest.mark.parametrize(
    ("method", "params", "words"),
    [
        ("execution.start", {}, "name the work"),
        ("execution.start", {"task_type": "a b"}, "task_type does not have the form"),
        ("execution.start", {"task_type": "a", "options": {"prioritty": 1}}, "did you mean 'priority'?"),
        ("execution.start", {"task_type": "a", "options": {"priority": 17}}, "options.priority must be less than"),
        ("execution.get", {"execution_id": "7"}, "a UUID in lower case"),
        ("execution.getHistory", {"limit": 0}, "limit must be greater than or equal to 1"),
        ("execution.getMetrics", {}, "give either execution_id, or window"),
        ("events.getHistory", {"cursor": "99999999999999999999-0"}, "a cursor is the event_id of an event"),
        ("events.getHistory", {"event_types": ["execution.?"]}, "event_types[0] does not have the form"),
    ],
)
def test_params_that_do_not_fit_are_refused_in_a_sentence(
    http: httpx.Client, method: str, params: dict[str, Any], words: str
) -> None:
    error = call(http, method, **params)["error"]
    assert error["code"] == -32602
    assert error["message"].startswith(f"mindswarm.{method}: ")
    assert words in error["message"]
    assert "\n" not in error["message"]


def test_errors_of_the_engine_keep_their_type(http: httpx.Client) -> None:
    unknown = "00000000-0000-7000-8000-000000000000"
    assert call(http, "execution.get", execution_id=unknown)["error"]["data"]["code"] == "unknown_execution"
    assert call(http, "agent.wake", agent_id="nobody")["error"]["data"]["code"] == "unknown_agent"
    started = call(http, "execution.start", task_type="code.survey")["result"]
    refused = call(http, "execution.resume", execution_id=started["execution_id"])["error"]
    assert (refused["code"], refused["data"]["allowed"]) == (-32005, ["paused"])


def test_a_notification_is_answered_with_204_and_carried_out(http: httpx.Client) -> None:
    for message in (
        {"jsonrpc": "2.0", "method": "mindswarm.task.create", "params": {"title": "one"}},
        [{"jsonrpc": "2.0", "method": "mindswarm.task.create", "params": {"title": "two"}}],
    ):
        reply = http.post("/rpc", json=message)
        assert (reply.status_code, reply.content) == (204, b"")
    assert len(call(http, "task.list")["result"]["tasks"]) == 2


def test_a_body_over_the_limit_is_refused_though_it_does_not_say_its_length(
    api: RunningApi, http: httpx.Client
) -> None:
    limit = api.settings.max_request_bytes
    declared = http.post("/rpc", content=b"x" * (limit + 1))
    chunked = http.post("/rpc", content=(b"x" * 1000 for _ in range(limit // 1000 + 1)))
    for reply in (declared, chunked):
        assert reply.status_code == 413
        assert reply.json()["error"]["data"] == {"code": "payload_too_large", "limit_bytes": limit}
    assert http.post("/rpc", content=b" " * (limit - 100) + b'{"jsonrpc":"2.0"}').json()["error"]["code"] == -32600


def test_a_batch_over_the_limit_is_refused_whole(http: httpx.Client) -> None:
    request = {"jsonrpc": "2.0", "id": 1, "method": "mindswarm.task.create", "params": {"title": "one"}}
    assert http.post("/rpc", json=[request] * 11).json()["error"]["data"]["limit"] == 10
    assert call(http, "task.list")["result"]["tasks"] == []


def test_operators_learn_health_readiness_and_gauges(http: httpx.Client) -> None:
    assert http.get("/healthz").text == "ok\n"
    assert http.get("/readyz").status_code == 200
    call(http, "execution.start", task_type="code.survey")
    assert 'mindswarm_executions{state="pending"} 1\n' in http.get("/metrics").text


def test_openrpc_describes_every_method_with_schemas_that_resolve(http: httpx.Client) -> None:
    document = http.get("/openrpc.json").json()
    request = {"jsonrpc": "2.0", "id": 1, "method": "rpc.discover"}
    assert http.post("/rpc", json=request).json()["result"]["methods"] == document["methods"]
    names = [method["name"] for method in document["methods"]]
    assert len(names) == len(set(names)) == 30
    assert {"mindswarm.execution.start", "mindswarm.events.subscribe", "rpc.discover"} <= set(names)
    for reference in re.findall(r'"\$ref": ?"#/([^"]+)"', json.dumps(document)):
        found = document
        for part in reference.split("/"):
            found = found[part]
    start = next(method for method in document["methods"] if method["name"] == "mindswarm.execution.start")
    assert [param["name"] for param in start["params"]][:2] == ["task_type", "payload"]
    assert {"$ref": "#/components/errors/unknown_agent"} in start["errors"]
    assert document["components"]["errors"]["unknown_agent"]["code"] == -32003


def test_params_go_by_position_too(http: httpx.Client) -> None:
    message = {"jsonrpc": "2.0", "id": 1, "method": "mindswarm.execution.start", "params": ["code.survey", {"a": 1}]}
    assert http.post("/rpc", json=message).json()["result"]["payload"] == {"a": 1}


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example:80"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Host": "[::1"},
        {"Origin": "http://[::1"},
    ],
)
def test_without_keys_a_page_from_elsewhere_is_refused(http: httpx.Client, headers: dict[str, str]) -> None:
    reply = http.post("/rpc", json={"jsonrpc": "2.0", "id": 1, "method": "rpc.discover"}, headers=headers)
    assert reply.status_code == 403
    assert reply.json()["error"]["data"]["code"] == "forbidden"


@pytest.mark.parametrize(
    "headers", [{"Host": "localhost:99"}, {"Origin": "http://localhost:3000"}, {"Host": "[::1]"}]
)
def test_without_keys_this_machine_is_served_under_any_of_its_names(
    http: httpx.Client, headers: dict[str, str]
) -> None:
    assert http.get("/healthz", headers=headers).status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.7", "::", "example.org"])
def test_without_keys_the_api_refuses_to_start_beyond_loopback(host: str) -> None:
    with pytest.raises(InvalidRequest, match=r"does not start on .* without API keys.*MINDSWARM_API_KEYS"):
        main(Settings(api_host=host))


def test_an_address_in_use_is_a_sentence(api: RunningApi) -> None:
    second = RunningApi(api.settings)
    with pytest.raises(InvalidRequest, match=r"cannot listen on 127.0.0.1 port .* in use"):
        second.start()


def test_a_ledger_that_is_away_is_told_as_such(namespace: str) -> None:
    api = RunningApi(
        Settings(redis_url="redis://127.0.0.1:1", namespace=namespace, api_port=0, ledger_timeout_seconds=0.3)
    )
    api.start()
    with httpx.Client(base_url=api.url) as http:
        assert http.get("/healthz").status_code == 200
        assert http.get("/readyz").status_code == 503
        assert call(http, "execution.list")["error"]["data"]["code"] == "ledger_unavailable"
    api.stop()
