"""Every control action is recorded with who asked, by which way, from where."""

from __future__ import annotations

import json
import logging
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from mindswarm_exec.client import ExecutionClient
from mindswarm_exec.direct import DirectClient
from mindswarm_exec.errors import Forbidden, MoveRefused, NotFound
from mindswarm_exec.ledger.faces import SyncLedger, connect_sync
from mindswarm_exec.models.addresses import CLI_USER_AGENT
from mindswarm_exec.service.actors import Actor, acting_as, actor_facts
from mindswarm_exec.service.control import cancellation
from mindswarm_exec.service.sweeps import sweep
from tests.api.hand_agent import HandAgent
from tests.api.running_api import RunningApi


def actors(client: Any, execution_id: str) -> list[tuple[str, Any]]:
    """(event, who asked) of each control action in the record."""
    entries = client.get_history(execution_id).entries
    return [(one.event_type.partition(".")[2], one.data["actor"]) for one in entries if "actor" in one.data]


def test_each_way_in_is_told_apart(api: RunningApi) -> None:
    assert api.settings.redis_url is not None
    with (
        ExecutionClient(api.url) as http,
        ExecutionClient(api.url, user_agent=CLI_USER_AGENT) as cli,
        DirectClient(api.settings.redis_url, api.settings) as direct,
    ):
        execution_id = http.start("a").execution_id
        http.pause(execution_id)
        cli.resume(execution_id)
        direct.cancel(execution_id)
        with connect(f"{api.url.replace('http', 'ws', 1)}/ws?events=off") as socket:
            params = {"execution_id": execution_id}
            call = {"jsonrpc": "2.0", "id": 1, "method": "mindswarm.execution.retry", "params": params}
            socket.send(json.dumps(call))
            assert "result" in json.loads(socket.recv(timeout=20))
        local = {"name": "client", "address": "127.0.0.1"}
        assert actors(http, execution_id) == [
            ("created", {**local, "via": "http"}),
            ("paused", {**local, "via": "http"}),
            ("resumed", {**local, "via": "cli"}),
            ("cancelled", {"name": "client", "via": "direct"}),
            ("retry_scheduled", {**local, "via": "websocket"}),
        ]


def test_bulk_verbs_and_children_name_who_asked(api: RunningApi) -> None:
    with ExecutionClient(api.url) as http:
        parent = http.start("a").execution_id
        child = http.start("a", parent_id=parent).execution_id
        http.cancel_many(task_type="a")
        for each in (parent, child):
            assert [actor["via"] for _, actor in actors(http, each)] == ["http", "http"]


def test_an_api_key_is_told_by_its_name_and_never_by_itself(guarded_api: RunningApi) -> None:
    key = guarded_api.run(lambda services: services.keys.create_key(["*"], "night shift"))
    with ExecutionClient(guarded_api.url, api_key=key) as http:
        execution_id = http.start("a").execution_id
        http.cancel(execution_id)
        actor = {"name": "night shift", "via": "http", "address": "127.0.0.1"}
        assert actors(http, execution_id) == [("created", actor), ("cancelled", actor)]
        headers = {"Authorization": f"Bearer {key}"}
        call = {"jsonrpc": "2.0", "id": 1, "method": "mindswarm.events.getHistory", "params": {}}
        assert key not in httpx.post(f"{guarded_api.url}/rpc", json=call, headers=headers).text


def test_a_refused_action_is_logged_with_who_asked(api: RunningApi, caplog: pytest.LogCaptureFixture) -> None:
    assert api.settings.redis_url is not None
    with DirectClient(api.settings.redis_url, api.settings) as direct:
        execution_id = direct.start("a").execution_id
        direct.cancel(execution_id)
        with caplog.at_level(logging.INFO), pytest.raises(MoveRefused):
            direct.pause(execution_id)
    (said,) = [record for record in caplog.records if record.message == "a control action was refused"]
    assert said.__dict__["actor"] == {"name": "client", "via": "direct"}
    assert said.__dict__["execution_id"] == execution_id


def test_what_a_key_does_not_open_is_logged_with_whose_it_is(
    guarded_api: RunningApi, caplog: pytest.LogCaptureFixture
) -> None:
    key = guarded_api.run(lambda services: services.keys.create_key(["ours"], "night shift"))
    every = guarded_api.run(lambda services: services.keys.create_key(["*"], "day shift"))
    with ExecutionClient(guarded_api.url, api_key=every) as http:
        theirs = http.start("a", project_id="theirs").execution_id
    with ExecutionClient(guarded_api.url, api_key=key) as http, caplog.at_level(logging.INFO):
        for refused, error in (
            (lambda: http.cancel(theirs), NotFound),
            (lambda: http.start("a", project_id="theirs"), Forbidden),
            (lambda: http.drain_agent("coder"), Forbidden),
        ):
            with pytest.raises(error):
                refused()
    said = [record.__dict__ for record in caplog.records if record.__dict__.get("action") == "refuse"]
    assert [one["code"] for one in said] == ["unknown_execution", "forbidden", "forbidden"]
    assert said[0]["execution_id"] == theirs
    assert said[1]["project_id"] == "theirs"
    assert said[2]["wanted"] == "draining an agent"
    assert {one["actor"]["name"] for one in said} == {"night shift"}


def test_who_asks_ends_with_the_block() -> None:
    with acting_as(Actor("a", "http", "::1")):
        assert actor_facts() == {"name": "a", "via": "http", "address": "::1"}
    assert actor_facts() is None


#: Methods that change nothing that lasts: what a connection listens to ends with it.
LOOKS = {
    *(f"mindswarm.execution.{verb}" for verb in ("get", "list", "explain", "simulate")),
    *(f"mindswarm.execution.get{what}" for what in ("Metrics", "History", "QueueStatus")),
    *("mindswarm.agent.list", "mindswarm.agent.get", "mindswarm.task.list", "mindswarm.task.get"),
    *(f"mindswarm.events.{verb}" for verb in ("subscribe", "unsubscribe", "listSubscriptions", "getHistory")),
    "rpc.discover",
}


def test_every_method_that_changes_something_says_who_asked(api: RunningApi) -> None:
    agent = HandAgent(api.settings)
    with ExecutionClient(api.url) as http:
        parked = http.start("code.survey").execution_id
        agent.ask(agent.begin(parked), "q1", "may I?")
        one = {"execution_id": http.start("nobody.does", tags=["one"]).execution_id}
        task = {"task_id": http.create_task("first").task_id}
        calls: list[tuple[str, dict[str, Any]]] = [
            ("execution.start", {"task_type": "nobody.does"}),
            ("execution.pause", one),
            ("execution.resume", one),
            ("execution.cancel", one),
            ("execution.retry", one),
            ("execution.cancelMany", {"tag": "one"}),
            ("execution.retryMany", {"tag": "one"}),
            ("execution.provideInput", {"execution_id": parked, "input": "yes"}),
            ("agent.drain", {"agent_id": "coder"}),
            ("agent.sleep", {"agent_id": "coder"}),
            ("agent.wake", {"agent_id": "coder"}),
            ("task.create", {"title": "second"}),
            ("task.update", {**task, "title": "third"}),
            ("task.assign", {**task, "assignee": "ann"}),
        ]
        for method, params in calls:
            before = http.event_history(limit=1, newest_first=True).events[0].event_id
            call = {"jsonrpc": "2.0", "id": 1, "method": f"mindswarm.{method}", "params": params}
            answer = httpx.post(f"{api.url}/rpc", json=call).json()
            assert "result" in answer, (method, answer)
            told = [event.data.get("actor") for event in http.event_history(cursor=before).events]
            assert {"name": "client", "via": "http", "address": "127.0.0.1"} in told, method
        described = httpx.get(f"{api.url}/openrpc.json").json()["methods"]
    agent.close()
    assert {method["name"] for method in described} - LOOKS == {f"mindswarm.{method}" for method, _ in calls}


def test_children_cancelled_by_a_sweep_name_who_cancelled_the_parent(api: RunningApi) -> None:
    assert api.settings.redis_url is not None
    ledger = SyncLedger(connect_sync(api.settings.redis_url, api.settings), api.settings)
    with ExecutionClient(api.url) as http:
        parent = http.start("nobody.does").execution_id
        child = http.start("nobody.does", parent_id=parent).execution_id
        with acting_as(Actor("ann", "http", "::1")):
            ledger.run(cancellation(parent, "enough"))  # and the process ends before it comes to the children
        sweep(ledger)
        ledger.close()
        assert actors(http, child)[-1] == ("cancelled", {"name": "ann", "via": "http", "address": "::1"})


def test_a_refused_action_on_an_agent_or_a_task_is_logged_too(
    api: RunningApi, caplog: pytest.LogCaptureFixture
) -> None:
    with ExecutionClient(api.url) as http, caplog.at_level(logging.INFO):
        for refused in (lambda: http.drain_agent("nobody"), lambda: http.assign_task("nothing", "ann")):
            with pytest.raises(NotFound):
                refused()
    said = [record.__dict__ for record in caplog.records if record.message == "a control action was refused"]
    assert [(one["action"], one["code"]) for one in said] == [("drain", "unknown_agent"), ("assign", "unknown_task")]
    assert {one["actor"]["via"] for one in said} == {"http"}
