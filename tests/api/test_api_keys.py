"""API keys: who gets in, and which projects a key opens."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import redis
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from mindswarm_exec.api.keys import create_key, list_keys, revoke_key
from mindswarm_exec.errors import InvalidRequest
from mindswarm_exec.settings import Settings
from tests.api.running_api import RunningApi


class KeyHolder:
    """Calls with one key."""

    def __init__(self, api: RunningApi, *project_ids: str, name: str = "test") -> None:
        self.key = api.run(lambda services: services.keys.create_key(project_ids, name))
        self.http = httpx.Client(base_url=api.url, headers={"Authorization": f"Bearer {self.key}"})

    def call(self, method: str, **params: Any) -> Any:
        return self.http.post(
            "/rpc", json={"jsonrpc": "2.0", "id": 1, "method": f"mindswarm.{method}", "params": params}
        ).json()

    def code(self, method: str, **params: Any) -> str:
        return str(self.call(method, **params)["error"]["data"]["code"])


@pytest.fixture
def red(guarded_api: RunningApi) -> KeyHolder:
    return KeyHolder(guarded_api, "red")


@pytest.fixture
def blue(guarded_api: RunningApi) -> KeyHolder:
    return KeyHolder(guarded_api, "blue")


@pytest.fixture
def admin(guarded_api: RunningApi) -> KeyHolder:
    return KeyHolder(guarded_api, "*")


@pytest.mark.parametrize("header", [None, "Bearer", "Bearer msk_wrong", "Basic abc", "msk_wrong"])
def test_a_call_without_a_valid_key_is_refused(guarded_api: RunningApi, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    reply = httpx.post(f"{guarded_api.url}/rpc", json={}, headers=headers)
    assert (reply.status_code, reply.headers["www-authenticate"]) == (401, "Bearer")
    assert reply.json()["error"]["data"]["code"] == "unauthenticated"


def test_a_key_in_the_url_of_a_call_opens_nothing(guarded_api: RunningApi, admin: KeyHolder) -> None:
    assert httpx.post(f"{guarded_api.url}/rpc?api_key={admin.key}", json={}).status_code == 401


def test_health_and_the_description_need_no_key_and_metrics_an_admins(
    guarded_api: RunningApi, red: KeyHolder, admin: KeyHolder
) -> None:
    for path in ("/healthz", "/readyz", "/openrpc.json"):
        assert httpx.get(guarded_api.url + path).status_code == 200
    assert httpx.get(f"{guarded_api.url}/metrics").status_code == 401
    assert red.http.get("/metrics").status_code == 403
    assert admin.http.get("/metrics").status_code == 200


def test_a_key_is_not_kept_anywhere(guarded_api: RunningApi, red: KeyHolder) -> None:
    assert guarded_api.settings.redis_url is not None
    with redis.Redis.from_url(guarded_api.settings.redis_url, decode_responses=True) as client:
        stored = list(client.scan_iter(f"{{{guarded_api.settings.namespace}}}:api_key:*"))
        assert len(stored) == 1
        assert red.key not in stored[0] + str(client.hgetall(stored[0]))


def test_a_revoked_key_opens_nothing_from_that_moment(guarded_api: RunningApi, red: KeyHolder) -> None:
    assert "result" in red.call("execution.list")
    with connect(f"{guarded_api.url.replace('http', 'ws')}/ws?api_key={red.key}") as socket:
        (known,) = guarded_api.run(lambda services: services.keys.list())
        assert guarded_api.run(lambda services: services.keys.revoke(known.key_id))
        assert not guarded_api.run(lambda services: services.keys.revoke(known.key_id))
        assert red.code("execution.list") == "unauthenticated"
        socket.send('{"jsonrpc":"2.0","id":1,"method":"rpc.discover"}')
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=20)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008


def test_a_key_starts_work_in_its_own_project_only(red: KeyHolder) -> None:
    assert red.call("execution.start", task_type="a")["result"]["project_id"] == "red"
    assert red.call("execution.start", task_type="a", project_id="red")["result"]["project_id"] == "red"
    assert red.code("execution.start", task_type="a", project_id="blue") == "forbidden"


def test_executions_of_other_projects_do_not_exist_for_a_key(
    red: KeyHolder, blue: KeyHolder, admin: KeyHolder
) -> None:
    execution_id = red.call("execution.start", task_type="a")["result"]["execution_id"]
    for verb in ("get", "pause", "resume", "cancel", "retry", "getMetrics", "getHistory"):
        assert blue.code(f"execution.{verb}", execution_id=execution_id) == "unknown_execution"
    assert admin.call("execution.get", execution_id=execution_id)["result"]["status"] == "pending"
    assert red.call("execution.cancel", execution_id=execution_id)["result"]["status"] == "cancelled"


def test_listings_are_bounded_to_the_keys_projects(red: KeyHolder, blue: KeyHolder, admin: KeyHolder) -> None:
    red.call("execution.start", task_type="a")
    for method in ("execution.list", "execution.getHistory", "execution.getQueueStatus", "task.list"):
        assert blue.code(method, project_id="red") == "forbidden"
        assert "result" in blue.call(method)
    assert blue.call("execution.list")["result"]["executions"] == []
    assert len(red.call("execution.list")["result"]["executions"]) == 1
    assert len(admin.call("execution.list")["result"]["executions"]) == 1
    assert red.code("execution.getMetrics", window="1h") == "forbidden"


def test_a_key_of_several_projects_names_the_one_it_means(guarded_api: RunningApi) -> None:
    both = KeyHolder(guarded_api, "red", "blue")
    error = both.call("execution.start", task_type="a")["error"]
    assert (error["data"]["field"], error["data"]["allowed"]) == ("project_id", ["blue", "red"])
    assert both.call("execution.start", task_type="a", project_id="blue")["result"]["project_id"] == "blue"


def test_tasks_of_other_projects_do_not_exist_for_a_key(red: KeyHolder, blue: KeyHolder) -> None:
    task = red.call("task.create", title="t", task_type="a")["result"]
    assert task["project_id"] == "red"
    for verb, params in (("get", {}), ("update", {"title": "x"}), ("assign", {"assignee": "x"})):
        assert blue.code(f"task.{verb}", task_id=task["task_id"], **params) == "unknown_task"
    assert blue.code("execution.start", task_id=task["task_id"]) == "unknown_task"
    assert red.call("execution.start", task_id=task["task_id"])["result"]["project_id"] == "red"


def test_only_admins_steer_agents(red: KeyHolder, admin: KeyHolder) -> None:
    for verb in ("sleep", "wake", "drain"):
        assert red.code(f"agent.{verb}", agent_id="coder") == "forbidden"
        assert admin.code(f"agent.{verb}", agent_id="coder") == "unknown_agent"
    assert red.call("agent.list")["result"] == {"agents": []}


def test_events_of_other_projects_are_neither_delivered_nor_recorded_for_a_key(
    guarded_api: RunningApi, red: KeyHolder, blue: KeyHolder
) -> None:
    assert blue.code("events.getHistory", project_ids=["red"]) == "forbidden"
    with connect(f"{guarded_api.url.replace('http', 'ws')}/ws?api_key={blue.key}") as socket:
        red.call("execution.start", task_type="a")
        own = blue.call("execution.start", task_type="a")["result"]["execution_id"]
        assert own in str(socket.recv(timeout=20))
    assert [event["context"]["execution_id"] for event in blue.call("events.getHistory")["result"]["events"]] == [own]


def test_a_websocket_without_a_key_is_refused_with_the_reason(guarded_api: RunningApi) -> None:
    with pytest.raises(InvalidStatus) as refused, connect(f"{guarded_api.url.replace('http', 'ws')}/ws"):
        pass
    assert refused.value.response.status_code == 401
    assert b"unauthenticated" in bytes(refused.value.response.body or b"")


def test_keys_are_made_and_revoked_beside_the_ledger(guarded_api: RunningApi) -> None:
    settings = guarded_api.settings
    key = create_key(settings, ["*"], "first")
    headers = {"Authorization": f"Bearer {key}"}
    assert httpx.get(f"{guarded_api.url}/metrics", headers=headers).status_code == 200
    (known,) = list_keys(settings)
    assert (known.name, known.opens_every_project) == ("first", True)
    assert key not in str(known)
    assert revoke_key(settings, known.key_id)
    assert httpx.get(f"{guarded_api.url}/metrics", headers=headers).status_code == 401


@pytest.mark.parametrize(("projects", "words"), [([], "at least one project"), (["a b"], "'a b' is no project")])
def test_a_key_names_real_projects(settings: Settings, projects: list[str], words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        create_key(settings, projects, "odd")
