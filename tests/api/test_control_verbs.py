"""Answers to questions, budgets, parents and new beginnings, by every client and over HTTP."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from mindswarm_exec.client import UNCHANGED, AsyncExecutionClient, ExecutionClient
from mindswarm_exec.direct import DirectClient
from mindswarm_exec.errors import AlreadyAnswered, InvalidRequest, MoveRefused, PauseNotObeyed, UnknownExecution
from mindswarm_exec.settings import Settings
from tests.api.hand_agent import HandAgent
from tests.api.running_api import RunningApi
from tests.api.test_api_keys import KeyHolder

QUESTION = "01a20595-c3f7-7488-b9c0-47236236fb71"
SCHEMA = {"type": "object", "properties": {"merge": {"type": "boolean"}}, "required": ["merge"]}
UNKNOWN = "00000000-0000-7000-8000-000000000000"


def asked(door: Any, agent: HandAgent, schema: dict[str, Any] | None = None) -> str:
    """An execution that waits for an answer."""
    execution_id = str(door.start("code.survey").execution_id)
    agent.ask(agent.begin(execution_id), QUESTION, "merge it?", schema)
    return execution_id


# --- answers ---------------------------------------------------------------------------------------------


def test_an_answer_that_fits_lets_the_execution_go_on(door: Any, agent: HandAgent) -> None:
    execution_id = asked(door, agent, SCHEMA)
    waiting = door.get(execution_id)
    assert (waiting.status, waiting.pause_reason, waiting.question.prompt) == (
        "paused",
        "input_required",
        "merge it?",
    )
    with pytest.raises(InvalidRequest, match="does not fit the question") as misfit:
        door.provide_input(execution_id, {"merge": "perhaps"})
    assert misfit.value.facts["answer_schema"] == SCHEMA
    assert door.get(execution_id).question == waiting.question
    with pytest.raises(MoveRefused, match="it waits for the answer to"):
        door.provide_input(execution_id, {"merge": True}, "another")
    with pytest.raises(MoveRefused, match="waits for an answer"):
        door.resume(execution_id)
    gone_on = door.provide_input(execution_id, {"merge": True}, QUESTION)
    assert (gone_on.status, gone_on.question) == ("queued", None)
    with pytest.raises(AlreadyAnswered, match="the first one counts"):
        door.provide_input(execution_id, {"merge": False}, QUESTION)
    with pytest.raises(MoveRefused, match="waits for no input"):
        door.provide_input(execution_id, {"merge": False})


def test_a_checkpoint_is_edited_once_the_pause_is_obeyed(door: Any, agent: HandAgent) -> None:
    execution_id = door.start("code.survey").execution_id
    attempt = agent.begin(execution_id)
    door.pause(execution_id)
    with pytest.raises(PauseNotObeyed, match="Wait until its status is paused"):
        door.resume(execution_id, checkpoint={"next": 7})
    asked = door.get(execution_id)
    assert (asked.status, asked.intent.kind, asked.checkpoint) == ("running", "pause", None)
    agent.pause(attempt)
    assert door.resume(execution_id, checkpoint={"next": 7}).checkpoint == {"next": 7}
    assert json.loads(agent.begin(execution_id).checkpoint or "") == {"next": 7}


def test_a_checkpoint_that_is_unchanged_stays_as_it_is(door: Any, agent: HandAgent) -> None:
    execution_id = door.start("code.survey").execution_id
    door.pause(execution_id)
    door.resume(execution_id, checkpoint={"next": 7})
    door.pause(execution_id)
    assert door.resume(execution_id, checkpoint=UNCHANGED).checkpoint == {"next": 7}


def test_null_is_an_answer(door: Any, agent: HandAgent) -> None:
    execution_id = asked(door, agent)
    assert door.provide_input(execution_id, None).status == "queued"


def test_an_answer_to_what_does_not_exist_is_told(door: Any) -> None:
    with pytest.raises(UnknownExecution):
        door.provide_input(UNKNOWN, 1)


def test_handles_answer_and_resume(api: RunningApi, settings: Settings, agent: HandAgent) -> None:
    assert settings.redis_url is not None
    with ExecutionClient(api.url) as http, DirectClient(settings.redis_url, settings) as direct:
        for client in (http, direct):
            handle: Any = client.handle(asked(client, agent))
            assert handle.provide_input("yes", QUESTION).status == "queued"
            handle.cancel()
            assert handle.retry(start_from="start").status == "queued"
            handle.pause()
            assert handle.resume(meters={"tokens": 5}).meters["tokens"].limit == 5

    async def answer(execution_id: str) -> None:
        async with AsyncExecutionClient(api.url) as client:
            handle = client.handle(execution_id)
            assert (await handle.provide_input("yes")).status == "queued"
            await handle.cancel()
            assert (await handle.retry(start_from="start")).status == "queued"
            await handle.pause()
            assert (await handle.resume(meters={"tokens": 5})).meters["tokens"].limit == 5

    with ExecutionClient(api.url) as client:
        asyncio.run(answer(asked(client, agent)))


# --- budgets, beginnings, parents ------------------------------------------------------------------------


def test_a_spent_budget_is_raised_with_the_resume(door: Any, agent: HandAgent) -> None:
    limits = {"resource_limits": {"meters": {"tokens": 100}}}
    execution_id = door.start("code.survey", options=limits).execution_id
    attempt = agent.begin(execution_id)
    agent.spend(attempt, "tokens", 120)
    agent.pause(attempt)
    paused = door.get(execution_id)
    assert (paused.pause_reason, paused.meters["tokens"].spent, paused.meters["tokens"].limit) == ("budget", 120, 100)
    for meters in (None, {"tokens": 110}, {"gpu": 5000}):
        with pytest.raises(MoveRefused, match=r"120 of 1[01]0 are spent") as refused:
            door.resume(execution_id, meters=meters)
        assert refused.value.facts["budget_of"] == execution_id
    resumed = door.resume(execution_id, meters={"tokens": 4e4})
    assert (resumed.status, resumed.meters["tokens"].limit) == ("queued", 40_000)


@pytest.mark.parametrize(
    "meters",
    [{"tokens": -1}, {"tokens": float("nan")}, {"tokens": "many"}, {"a b": 1}, {f"m{n}": 1 for n in range(65)}],
)
def test_budgets_that_do_not_fit_are_refused(api: RunningApi, settings: Settings, meters: Any) -> None:
    assert settings.redis_url is not None
    with ExecutionClient(api.url) as http, DirectClient(settings.redis_url, settings) as direct:
        for client in (http, direct):
            execution_id = client.start("code.survey").execution_id
            client.pause(execution_id)
            with pytest.raises(InvalidRequest):
                client.resume(execution_id, meters=meters)
            assert client.get(execution_id).status == "paused"


def test_a_retry_goes_on_from_its_checkpoint_or_starts_anew(door: Any) -> None:
    execution_id = door.start("code.survey").execution_id
    door.pause(execution_id)
    door.resume(execution_id, checkpoint={"next": 5})
    door.cancel(execution_id)
    assert door.retry(execution_id).checkpoint == {"next": 5}
    door.cancel(execution_id)
    assert door.retry(execution_id, start_from="checkpoint").checkpoint == {"next": 5}
    door.cancel(execution_id)
    assert door.retry(execution_id, start_from="start").checkpoint is None
    door.cancel(execution_id)
    with pytest.raises(InvalidRequest, match="must be 'checkpoint' or 'start'"):
        door.retry(execution_id, start_from="middle")


def test_a_child_names_its_parent(door: Any) -> None:
    parent_id = door.start("code.survey").execution_id
    child = door.get(door.start("code.survey", parent_id=parent_id).execution_id)
    assert child.parent_id == parent_id
    assert [each.execution_id for each in door.list(parent_id=parent_id).executions] == [child.execution_id]
    with pytest.raises(UnknownExecution):
        door.start("code.survey", parent_id=UNKNOWN)
    door.cancel(parent_id)
    with pytest.raises(MoveRefused, match="cannot start a child"):
        door.start("code.survey", parent_id=parent_id)


def test_listings_look_at_tags(door: Any) -> None:
    first = door.start("code.survey", tags=["nightly", "a"]).execution_id
    door.start("code.survey", tags=["nightly2"])
    door.start("code.survey", {"tags": ["nightly"]})
    assert [each.execution_id for each in door.list(tag="nightly").executions] == [first]
    door.cancel(first)
    assert [each.execution_id for each in door.get_history(tag="nightly").executions] == [first]
    assert door.get_history(tag="b").executions == ()


# --- agents ----------------------------------------------------------------------------------------------


def test_what_an_agent_holds_though_it_is_over_is_unresponsive(door: Any, agent: HandAgent) -> None:
    deaf, frozen, running = (door.start("code.survey").execution_id for _ in range(3))
    attempts = {each: agent.begin(each) for each in (deaf, frozen, running)}
    door.pause(frozen)
    agent.freeze(attempts[frozen])
    assert door.agent("coder").unresponsive == ()
    assert door.cancel(deaf, force=True).status == "cancelled"
    (record,) = door.agents()
    assert (set(record.held), record.unresponsive) == ({deaf, frozen, running}, (deaf,))
    door.retry(deaf)
    again = agent.begin(deaf)
    assert (door.agent("coder").unresponsive, door.agent("coder").load) == ((deaf,), 4)
    assert not agent.completes(attempts[deaf]), "its code has ended; its result comes too late"
    assert (door.agent("coder").unresponsive, door.agent("coder").load) == ((), 3)
    assert agent.completes(again)


# --- the wire --------------------------------------------------------------------------------------------


def call(url: str, method: str, params: Any) -> Any:
    request = {"jsonrpc": "2.0", "id": 1, "method": f"mindswarm.execution.{method}", "params": params}
    return httpx.post(f"{url}/rpc", json=request).json()


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("provideInput", {}, "execution_id is missing"),
    ("provideInput", {"execution_id": UNKNOWN}, "input is missing; give it"),
    (
        "provideInput",
        {"execution_id": UNKNOWN, "input": 1, "question_id": "a b"},
        "question_id does not have the form",
    ),
    ("provideInput", {"execution_id": UNKNOWN, "input": 1, "answer": 2}, "answer is not a field"),
    ("resume", {"execution_id": UNKNOWN, "meters": {"tokens": -1}}, "meters.tokens must be greater"),
    ("resume", {"execution_id": UNKNOWN, "meters": [1]}, "meters"),
    ("retry", {"execution_id": UNKNOWN, "from": "middle"}, "from must be 'checkpoint' or 'start'"),
    ("start", {"task_type": "a", "parent_id": "7"}, "parent_id does not have the form"),
    (
        "start",
        {"task_type": "a", "options": {"resource_limits": {"meters": {"tokens": -1}}}},
        "meters.tokens must be",
    ),
]


def test_params_that_do_not_fit_are_refused(api: RunningApi) -> None:
    for method, params, words in REFUSED:
        error = call(api.url, method, params)["error"]
        assert (error["code"], words in error["message"]) == (-32602, True), error["message"]


def test_a_misfit_carries_the_schema_and_a_second_answer_its_code(api: RunningApi, agent: HandAgent) -> None:
    with ExecutionClient(api.url) as client:
        execution_id = asked(client, agent, SCHEMA)
    misfit = call(api.url, "provideInput", {"execution_id": execution_id, "input": {}})["error"]
    assert (misfit["data"]["code"], misfit["data"]["answer_schema"]) == ("invalid_request", SCHEMA)
    by_position = call(api.url, "provideInput", [execution_id, {"merge": True}, QUESTION])
    assert by_position["result"]["status"] == "queued"
    params = {"execution_id": execution_id, "input": {"merge": True}, "question_id": QUESTION}
    second = call(api.url, "provideInput", params)["error"]
    assert (second["code"], second["data"]["code"]) == (-32015, "already_answered")


def test_a_retry_from_the_start_goes_by_position_too(api: RunningApi) -> None:
    execution_id = call(api.url, "start", {"task_type": "a"})["result"]["execution_id"]
    call(api.url, "cancel", {"execution_id": execution_id})
    assert call(api.url, "retry", [execution_id, None, "start"])["result"]["status"] == "pending"


def test_executions_of_other_projects_do_not_exist_for_a_key(guarded_api: RunningApi) -> None:
    red, blue = KeyHolder(guarded_api, "red"), KeyHolder(guarded_api, "blue")
    execution_id = red.call("execution.start", task_type="a")["result"]["execution_id"]
    assert blue.code("execution.provideInput", execution_id=execution_id, input=1) == "unknown_execution"
    assert red.code("execution.provideInput", execution_id=execution_id, input=1) == "move_refused"
