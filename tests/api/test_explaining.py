"""Explain and simulate by every client, and what a key of one project is told of the others."""

from __future__ import annotations

from typing import Any

import pytest

from mindswarm_exec.client import ExecutionClient
from mindswarm_exec.direct import DirectClient
from mindswarm_exec.errors import InvalidRequest, MoveRefused, PayloadTooLarge, UnknownAgent, UnknownExecution
from mindswarm_exec.identifiers import new_id
from tests.api.hand_agent import HandAgent
from tests.api.running_api import RunningApi
from tests.api.test_api_keys import KeyHolder

TASK_TYPE = "code.survey"


def fill(api: RunningApi, count: int = 50) -> None:
    """Take every slot of the agent."""
    with DirectClient(api.settings.redis_url or "", api.settings) as direct:
        direct.start_many(TASK_TYPE, [None] * count)


def test_a_waiting_execution_is_explained_by_every_client(door: Any, agent: HandAgent, api: RunningApi) -> None:
    fill(api)
    first, second = (door.start(TASK_TYPE).execution_id for _ in range(2))
    told = door.explain(second)
    assert (told.status, told.waiting.reason, told.waiting.kind) == ("pending", "agents_busy", "not_now")
    assert (told.lane.ahead, told.lane.length, told.lane.just_ahead) == (1, 2, (first,))
    (candidate,) = told.candidates
    assert (candidate.agent_id, candidate.load, candidate.is_suitable) == ("coder", 50, True)
    assert candidate.ruled_out == "is busy: 50 of 50 slots are taken"
    assert set(told.waited_ms) <= {"agent"}


def test_a_placed_execution_is_explained_by_every_client(door: Any, agent: HandAgent) -> None:
    handle = door.start(TASK_TYPE)
    told = door.explain(handle.execution_id)
    assert (told.waiting, told.lane) == (None, None)
    assert (told.placement.agent_id, told.placement.by, told.placement.runners_up) == ("coder", "score", ())
    terms = told.placement.terms
    assert told.placement.score == terms.idle + terms.free_slots + terms.success + terms.affinity == 10 + 100 + 5


def test_a_handle_explains_itself(api: RunningApi, agent: HandAgent) -> None:
    with ExecutionClient(api.url) as client, DirectClient(api.settings.redis_url or "", api.settings) as direct:
        handle = client.start(TASK_TYPE)
        assert handle.explain().execution_id == handle.execution_id
        assert direct.handle(handle.execution_id).explain().placement == handle.explain().placement


def test_a_simulation_says_what_start_then_does(door: Any, agent: HandAgent, api: RunningApi) -> None:
    thought = door.simulate(TASK_TYPE, {"path": "."}, priority="high")
    assert (thought.would, thought.agent_id, thought.by) == ("start", "coder", "score")
    fill(api)
    thought = door.simulate(TASK_TYPE)
    assert (thought.would, thought.waiting.reason, thought.lane.ahead) == ("wait", "agents_busy", 0)
    assert door.simulate(TASK_TYPE, force_start=True).by == "forced"
    assert door.list(status="pending").executions == ()


def test_a_simulation_with_one_more_agent(door: Any, agent: HandAgent, api: RunningApi) -> None:
    fill(api)
    thought = door.simulate(TASK_TYPE, with_agent={"max_concurrent": 2})
    assert (thought.would, thought.agent_id) == ("start", "one-more")
    door.start_many(TASK_TYPE, [None] * 2)
    thought = door.simulate(TASK_TYPE, with_agent={"max_concurrent": 2})
    assert (thought.would, thought.waiting.reason) == ("wait", "agents_busy"), "it would take up what waits first"
    assert thought.lane.length == 0
    with pytest.raises(InvalidRequest, match="registered already"):
        door.simulate(TASK_TYPE, with_agent={"agent_id": "coder"})
    with pytest.raises(InvalidRequest, match="max_concurrent"):
        door.simulate(TASK_TYPE, with_agent={"max_concurrent": 0})


def test_a_simulation_raises_what_start_would(door: Any, agent: HandAgent, api: RunningApi) -> None:
    with pytest.raises(UnknownAgent, match="Did you mean 'coder'"):
        door.simulate(TASK_TYPE, options={"agent": {"agent_id": "code"}})
    with pytest.raises(UnknownExecution):
        door.simulate(TASK_TYPE, parent_id=new_id())
    parent = door.start(TASK_TYPE).execution_id
    assert door.simulate(TASK_TYPE, parent_id=parent).would == "start"
    door.cancel(parent, "over")
    with pytest.raises(MoveRefused):
        door.simulate(TASK_TYPE, parent_id=parent)
    with pytest.raises(PayloadTooLarge):
        door.simulate(TASK_TYPE, "x" * (api.settings.max_payload_bytes + 1))


def test_a_key_that_was_used_is_answered_with_its_execution(door: Any, agent: HandAgent) -> None:
    earlier = door.start(TASK_TYPE, idempotency_key="once").execution_id
    thought = door.simulate(TASK_TYPE, idempotency_key="once")
    assert (thought.would, thought.execution_id) == ("answer", earlier)


def test_an_unknown_execution_is_not_explained(door: Any) -> None:
    with pytest.raises(UnknownExecution):
        door.explain(new_id())


# --- keys ------------------------------------------------------------------------------------------------


def test_a_key_explains_executions_of_its_projects_only(guarded_api: RunningApi) -> None:
    red, blue = KeyHolder(guarded_api, "red"), KeyHolder(guarded_api, "blue")
    execution_id = red.call("execution.start", task_type="a")["result"]["execution_id"]
    assert blue.code("execution.explain", execution_id=execution_id) == "unknown_execution"
    assert red.call("execution.explain", execution_id=execution_id)["result"]["execution_id"] == execution_id


def test_a_key_simulates_in_its_projects_only(guarded_api: RunningApi) -> None:
    red = KeyHolder(guarded_api, "red")
    task = red.call("task.create", title="t", task_type="a")["result"]
    parent = red.call("execution.start", task_type="a")["result"]["execution_id"]
    blue = KeyHolder(guarded_api, "blue")
    assert blue.code("execution.simulate", task_type="a", project_id="red") == "forbidden"
    assert blue.code("execution.simulate", task_id=task["task_id"]) == "unknown_task"
    assert blue.code("execution.simulate", task_type="a", parent_id=parent) == "unknown_execution"
    assert blue.call("execution.simulate", task_type="a")["result"]["would"] == "wait"


def test_a_lane_shared_with_other_projects_does_not_name_their_executions(guarded_api: RunningApi) -> None:
    red, blue, admin = (KeyHolder(guarded_api, name) for name in ("red", "blue", "*"))
    theirs, own, last = (
        who.call("execution.start", task_type="a")["result"]["execution_id"] for who in (red, blue, blue)
    )
    for told in (
        blue.call("execution.explain", execution_id=last),
        blue.call("execution.simulate", task_type="a"),
    ):
        assert theirs not in str(told)
        assert told["result"]["lane"]["just_ahead"][:2] == [None, own]
    lane = admin.call("execution.explain", execution_id=last)["result"]["lane"]
    assert lane["just_ahead"] == [theirs, own]


def test_a_concurrency_key_of_the_same_name_in_another_project_is_another(guarded_api: RunningApi) -> None:
    red, blue = KeyHolder(guarded_api, "red"), KeyHolder(guarded_api, "blue")
    options = {"concurrency_key": "k"}
    theirs, own, held = (
        who.call("execution.start", task_type="a", options=options)["result"]["execution_id"]
        for who in (red, blue, blue)
    )
    told = blue.call("execution.explain", execution_id=held)["result"]["waiting"]
    assert (told["reason"], own in told["detail"], theirs in told["detail"]) == ("concurrency_key", True, False)
    thought = blue.call("execution.simulate", task_type="a", options=options)["result"]["waiting"]
    assert own in thought["detail"]
    assert "1 more goes first" in thought["detail"]
    assert theirs not in thought["detail"]
