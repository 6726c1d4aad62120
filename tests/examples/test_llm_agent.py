"""The agent that writes with a language model, against a local endpoint."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mindswarm_exec.lifecycle import COMPLETED, PAUSED
from tests.e2e.swarm import Swarm
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
    endpoint.refuse_next = 1
    ended = swarm.await_end(swarm.start("article.write", WORK))
    assert (ended.status, ended.attempt) == (COMPLETED, 2)
