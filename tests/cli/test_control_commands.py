"""Answers, budgets, receipts and bulk verbs on the command line; the agent is moved by hand."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mindswarm_exec.ledger import operations
from mindswarm_exec.ledger.faces import SyncLedger, connect_sync
from mindswarm_exec.ledger.replies import Attempt
from mindswarm_exec.settings import Settings
from tests.api.hand_agent import HandAgent
from tests.cli.conftest import Said
from tests.eventually import eventually

Ask = Callable[..., Said]
QUESTION = "01a20595-c3f7-7488-b9c0-47236236fb71"
SCHEMA = {"type": "object", "properties": {"merge": {"type": "boolean"}}, "required": ["merge"]}


def started(ask: Ask, *options: str) -> str:
    said = ask("start", "code.survey", "{}", "--json", *options)
    assert said.code == 0, said.err
    return str(said.document["execution_id"])


def running(ask: Ask, agent: HandAgent, *options: str) -> Attempt:
    return agent.begin(started(ask, *options))


def status(ask: Ask, execution_id: str) -> str:
    return str(ask("get", execution_id, "--json").document["status"])


# --- answers ---------------------------------------------------------------------------------------------


def test_a_question_is_shown_and_answered(ask: Ask, by_hand: HandAgent, tmp_path: Path) -> None:
    attempt = running(ask, by_hand)
    by_hand.ask(attempt, QUESTION, "merge \x1b[31m it?", SCHEMA)
    shown = ask("get", attempt.execution_id).out
    for words in ("merge \\x1b[31m it?", '"boolean"', "asked now", QUESTION):
        assert words in shown
    refused = ask("resume", attempt.execution_id)
    assert (refused.code, "waits for an answer" in refused.err) == (4, True)
    misfit = ask("provide-input", attempt.execution_id, '{"merge": 3}', "--json")
    assert misfit.code == 2
    assert json.loads(misfit.err)["error"]["data"]["answer_schema"] == SCHEMA
    (tmp_path / "answer.json").write_text('{"merge": true}')
    said = ask("provide-input", attempt.execution_id, f"@{tmp_path / 'answer.json'}", "--question", QUESTION)
    assert (said.code, "is on its way to agent 'coder'" in said.out) == (0, True)
    again = ask("provide-input", attempt.execution_id, "-", "--question", QUESTION, stdin='{"merge": true}')
    assert (again.code, "the first one counts" in again.err) == (4, True)


def test_null_is_an_answer(ask: Ask, by_hand: HandAgent) -> None:
    attempt = running(ask, by_hand)
    by_hand.ask(attempt, QUESTION, "anything?")
    assert ask("provide-input", attempt.execution_id, "null").code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("provide-input", "{id}"),
        ("provide-input", "{id}", "text"),
        ("provide-input", "{id}", "1", "--question", "a b"),
        ("resume", "{id}", "--meter", "tokens"),
        ("resume", "{id}", "--meter", "tokens=-1"),
        ("resume", "{id}", "--meter", "tokens=nan"),
        ("resume", "{id}", "--meter", "tokens=1", "--meter", "tokens=2"),
        ("retry", "{id}", "--from", "middle"),
        ("pause", "{id}", "--wait", "a while"),
        ("cancel", "{id}", "--wait", "-1"),
        ("start", "code.survey", "--parent", "7"),
        ("cancel-many",),
        ("retry-many", "--dry-run"),
        ("cancel-many", "--status", "completed"),
        ("retry-many", "--status", "pending"),
        ("cancel-many", "--since", "yesterday"),
        ("cancel-many", "--tag", "a b"),
        ("list", "--parent", "7"),
    ],
)
def test_nonsense_is_exit_code_2_and_changes_nothing(ask: Ask, arguments: tuple[str, ...]) -> None:
    execution_id = started(ask)
    said = ask(*(argument.format(id=execution_id) for argument in arguments))
    assert (said.code, said.out) == (2, ""), said.err
    assert said.err.startswith("mindswarm-exec: ")
    assert status(ask, execution_id) == "pending"


# --- budgets, beginnings, parents ------------------------------------------------------------------------


def test_a_spent_budget_is_shown_and_raised(ask: Ask, by_hand: HandAgent) -> None:
    limits = '{"resource_limits": {"meters": {"tokens": 100}}}'
    attempt = running(ask, by_hand, "--options", limits)
    by_hand.spend(attempt, "tokens", 90)
    by_hand.spend(attempt, "tokens", 30)
    by_hand.spend(attempt, "calls", 2)
    by_hand.pause(attempt)
    shown = ask("get", attempt.execution_id).out
    for words in ("tokens: 120 of 100 spent", "calls: 2 spent, no limit", "its budget of tokens is spent"):
        assert words in shown
    record = ask("history", attempt.execution_id).out
    assert "90 of 100 tokens are spent" in record
    assert f"the budget is spent: 120 of 100 tokens, of execution {attempt.execution_id}" in record
    refused = ask("resume", attempt.execution_id, "--meter", "tokens=110")
    assert (refused.code, "120 of 110 are spent" in refused.err) == (4, True)
    assert ask("resume", attempt.execution_id, "--meter", "tokens=4e4", "--meter", "calls=9").code == 0
    meters = ask("get", attempt.execution_id, "--json").document["meters"]
    assert (meters["tokens"]["limit"], meters["calls"]["limit"]) == (40_000, 9)


def test_a_retry_starts_anew_if_asked_to(ask: Ask) -> None:
    execution_id = started(ask)
    ask("pause", execution_id)
    ask("resume", execution_id, "--checkpoint", '{"next": 5}')
    ask("cancel", execution_id)
    assert ask("retry", execution_id, "--json").document["checkpoint"] == {"next": 5}
    ask("cancel", execution_id)
    assert ask("retry", execution_id, "--from", "start", "--json").document["checkpoint"] is None


def test_a_child_is_shown_with_its_parent_and_listed_under_it(ask: Ask) -> None:
    parent_id = started(ask)
    child_id = started(ask, "--parent", parent_id)
    assert parent_id in ask("get", child_id).out
    assert child_id in ask("list", "--parent", parent_id).out
    assert parent_id not in ask("list", "--parent", parent_id).out


# --- receipts --------------------------------------------------------------------------------------------


def test_a_frozen_execution_says_so_and_goes_on_in_place(ask: Ask, by_hand: HandAgent) -> None:
    attempt = running(ask, by_hand)
    assert "acts on it at its next safe point" in ask("pause", attempt.execution_id).out
    by_hand.freeze(attempt)
    shown = ask("get", attempt.execution_id).out
    assert "its process is stopped and keeps its slot" in shown
    assert "requested now" in shown
    assert "acknowledged now" in shown
    assert "slot released" not in shown
    again = ask("cancel", attempt.execution_id).out
    assert "its frozen process on agent 'coder' is being ended" in again


def test_a_wait_ends_when_the_wish_is_obeyed(ask: Ask, by_hand: HandAgent) -> None:
    attempt = running(ask, by_hand)
    said: list[Said] = []
    waiting = threading.Thread(target=lambda: said.append(ask("pause", attempt.execution_id, "--wait", "20s")))
    waiting.start()
    eventually(lambda: _is(ask, attempt.execution_id, "intent"))
    by_hand.freeze(attempt)
    waiting.join(20)
    assert said[0].code == 0, said[0].err
    assert "is paused, frozen in place on agent 'coder', whose slot it keeps." in said[0].out


def test_a_wait_ends_with_the_execution(ask: Ask, by_hand: HandAgent) -> None:
    attempt = running(ask, by_hand)
    said: list[Said] = []
    waiting = threading.Thread(target=lambda: said.append(ask("cancel", attempt.execution_id, "--wait", "20")))
    waiting.start()
    eventually(lambda: _is(ask, attempt.execution_id, "intent"))
    by_hand.complete(attempt, "just in time")
    waiting.join(20)
    assert (said[0].code, "is completed" in said[0].out) == (0, True), said[0].err


def test_a_wait_that_ends_too_soon_is_exit_code_1_and_the_wish_stands(ask: Ask, by_hand: HandAgent) -> None:
    attempt = running(ask, by_hand)
    for verb in ("pause", "cancel"):
        said = ask(verb, attempt.execution_id, "--wait", "0.2")
        assert (said.code, said.out) == (1, "")
        assert f"Waited 0.2 s; the {verb} stands." in said.err


def test_what_waits_is_paused_at_once_so_a_wait_is_none(ask: Ask) -> None:
    assert "is paused." in ask("pause", started(ask), "--wait", "20").out


def _is(ask: Ask, execution_id: str, fact: str) -> None:
    assert ask("get", execution_id, "--json").document[fact]


class Sweeper:
    """What a sweep does when a grace is over, at once."""

    def __init__(self, settings: Settings) -> None:
        assert settings.redis_url is not None
        self.ledger = SyncLedger(connect_sync(settings.redis_url, settings), settings)

    def overdue(self, attempt: Attempt) -> None:
        key = self.ledger.keys.of("execution", attempt.execution_id)
        deadline = int(self.ledger.client.hget(key, "pause_ack_at_ms") or 0)
        data = json.dumps({"agent_id": attempt.agent_id, "unacknowledged": True})
        self.ledger.run(operations.overdue(attempt.execution_id, deadline, data))


def test_an_overdue_pause_says_so_everywhere(ask: Ask, by_hand: HandAgent, settings: Settings) -> None:
    attempt = running(ask, by_hand)
    ask("pause", attempt.execution_id)
    sweeper = Sweeper(settings)
    sweeper.overdue(attempt)
    sweeper.ledger.close()
    assert "no safe point was reached within 0 s; the pause stands." in ask("pause", attempt.execution_id).out
    shown = ask("get", attempt.execution_id).out
    assert "overdue since now: no safe point was reached in time" in shown
    assert "not yet acknowledged" in shown
    assert "overdue: no safe point was reached in time" in ask("history", attempt.execution_id).out
    assert "runs on agent 'coder'" in ask("resume", attempt.execution_id).out
    assert "withdrawn" in ask("history", attempt.execution_id).out


def test_what_an_agent_holds_though_it_is_over_is_counted(ask: Ask, by_hand: HandAgent) -> None:
    attempt = running(ask, by_hand)
    assert "UNRESPONSIVE" not in ask("agents").out
    assert ask("cancel", attempt.execution_id, "--force").code == 0
    assert "UNRESPONSIVE" in ask("agents").out
    (record,) = ask("agents", "--json").document["agents"]
    assert record["unresponsive"] == [attempt.execution_id]


# --- many ------------------------------------------------------------------------------------------------


def test_many_are_cancelled_and_brought_back_with_the_counts_said(ask: Ask) -> None:
    chosen = [started(ask, "--tag", "nightly") for _ in range(3)]
    other = started(ask)
    assert (
        "3 executions would be cancelled; nothing was done."
        in ask("cancel-many", "--tag", "nightly", "--dry-run").out
    )
    assert {status(ask, each) for each in [*chosen, other]} == {"pending"}
    said = ask("cancel-many", "--tag", "nightly", "--since", "2h", "--reason", "enough")
    assert (said.code, said.out) == (0, "3 of 3 executions were cancelled, or asked to stop.\n")
    assert {status(ask, each) for each in chosen} == {"cancelled"}
    assert "no execution matches" in ask("cancel-many", "--tag", "nightly").out
    outcome: dict[str, Any] = ask(
        "retry-many", "--tag", "nightly", "--from", "start", "--priority", "high", "--json"
    ).document
    assert (outcome["verb"], outcome["matched"], outcome["done"], outcome["refused"]) == ("retry", 3, 3, 0)
    assert ask("get", chosen[0], "--json").document["priority"] == 7
    assert {status(ask, each) for each in [*chosen, other]} == {"pending"}
    said = ask("cancel-many", "--status", "paused", "--status", "pending", "--force")
    assert said.out == "4 of 4 executions were cancelled, or asked to stop.\n"


def test_listings_take_tags_and_several_states(ask: Ask) -> None:
    tagged, other = started(ask, "--tag", "a"), started(ask, "--tag", "b")
    ask("pause", other)
    assert other not in ask("list", "--tag", "a").out
    listed = ask("list", "--status", "pending", "--status", "paused").out
    assert (tagged in listed, other in listed) == (True, True)
    ask("cancel", tagged)
    assert tagged in ask("history", "--tag", "a").out
