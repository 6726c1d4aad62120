"""The agent that writes with a language model, against a local endpoint."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mindswarm_exec.lifecycle import CANCELLED, COMPLETED, FAILED, PAUSED
from tests.e2e.swarm import Swarm
from tests.eventually import eventually
from tests.examples.chat_endpoint import TOKENS_A_CALL, ChatEndpoint
from tests.examples.conftest import Typed

TEXT = "Ants walk far."
WORK = {"topic": "ants", "headings": ["Roads", "Wars", "Food"]}


@pytest.fixture(scope="module")
def endpoint(swarm: Swarm) -> Iterator[ChatEndpoint]:
    with ChatEndpoint() as endpoint:
        swarm.agent("writer", "examples.llm_agent:writer", OPENAI_BASE_URL=endpoint.url, OPENAI_API_KEY="a-key")
        swarm.await_agents("writer")
        yield endpoint


@pytest.fixture(autouse=True)
def _forget(endpoint: ChatEndpoint) -> None:
    endpoint.asked.clear()


def test_an_article_is_written_and_streamed_section_by_section(swarm: Swarm, endpoint: ChatEndpoint) -> None:
    execution_id = swarm.start("article.write", WORK)
    ended = swarm.await_end(execution_id)
    assert (ended.status, ended.result) == (COMPLETED, {"sections": dict.fromkeys(WORK["headings"], TEXT)})
    pieces = [one["data"]["text"] for one in swarm.events(execution_id) if one["type"] == "execution.output"]
    assert "".join(pieces) == TEXT * 3
    assert endpoint.keys == {"Bearer a-key"}


def test_a_spent_budget_stops_it_and_a_higher_one_lets_it_go_on(
    swarm: Swarm, endpoint: ChatEndpoint, typed: Typed
) -> None:
    limits = {"meters": {"tokens": 2 * TOKENS_A_CALL}}
    execution_id = swarm.start("article.write", WORK, resource_limits=limits)
    swarm.await_status(execution_id, PAUSED)
    assert len(endpoint.asked) == 2
    typed("resume", execution_id, "--meter", f"tokens={10 * TOKENS_A_CALL}")
    ended = swarm.await_end(execution_id)
    assert (ended.status, len(ended.result["sections"])) == (COMPLETED, 3)
    assert len(endpoint.asked) == 3, "what was written before the pause is not written again"


def test_an_endpoint_that_asks_for_a_pause_gets_it(swarm: Swarm, endpoint: ChatEndpoint) -> None:
    endpoint.faults = ["429"]
    ended = swarm.await_end(swarm.start("article.write", WORK))
    assert (ended.status, ended.attempt) == (COMPLETED, 2)


@pytest.mark.parametrize(("fault", "kind"), [("500", "HTTPStatusError"), ("break", "BrokenStream")])
def test_an_endpoint_that_fails_costs_that_attempt_and_no_section(
    swarm: Swarm, endpoint: ChatEndpoint, fault: str, kind: str
) -> None:
    endpoint.faults = ["", fault]
    policy = {"max_attempts": 2, "initial_delay_seconds": 0, "jitter": 0}
    execution_id = swarm.start("article.write", WORK, retry_policy=policy)
    ended = swarm.await_end(execution_id)
    assert (ended.status, ended.attempt) == (COMPLETED, 2)
    assert ended.result == {"sections": dict.fromkeys(WORK["headings"], TEXT)}
    [again] = [one for one in swarm.events(execution_id) if one["type"] == "execution.retry_scheduled"]
    assert kind in str(again["data"])


def test_half_an_answer_is_no_section(swarm: Swarm, endpoint: ChatEndpoint) -> None:
    endpoint.faults = ["break"]
    ended = swarm.await_end(swarm.start("article.write", WORK))
    assert ended.error is not None
    assert (ended.status, ended.error.type) == (FAILED, "BrokenStream")


def test_a_cancel_closes_the_stream(swarm: Swarm, endpoint: ChatEndpoint, typed: Typed) -> None:
    endpoint.faults = ["hang"]
    execution_id = swarm.start("article.write", WORK)
    eventually(lambda: _contains(swarm.events(execution_id), "execution.output"), within_ms=10_000)
    typed("cancel", execution_id)
    assert swarm.await_end(execution_id).status == CANCELLED
    assert endpoint.left.wait(10)


def _contains(events: list[dict[str, Any]], wanted: str) -> None:
    assert wanted in {one["type"] for one in events}
