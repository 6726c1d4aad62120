"""What people are told of a record and of events is true of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mindswarm_exec.cli.event_lines import control_news
from mindswarm_exec.cli.execution_sheet import sheet
from mindswarm_exec.cli.many import what_was_done
from mindswarm_exec.cli.screen import console
from mindswarm_exec.cli.sentences import what_became_of
from mindswarm_exec.models.events import describe, severity_of
from mindswarm_exec.models.records import BulkOutcome, Execution

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
ID = "00000000-0000-7000-8000-000000000001"
PARENT = "00000000-0000-7000-8000-000000000002"


def execution(**fields: Any) -> Execution:
    plain = {"execution_id": ID, "task_type": "a", "project_id": "p", "priority": 5, "agent_id": "coder"}
    return Execution.model_validate({**plain, "created_at": NOW, **fields})


def receipt(kind: str, **fields: Any) -> dict[str, Any]:
    return {"kind": kind, "requested_at": NOW - timedelta(seconds=30), **fields}


def ago(seconds: int) -> datetime:
    return NOW - timedelta(seconds=seconds)


QUESTION = {"question_id": "q", "prompt": "merge it?", "asked_at": NOW}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"status": "running", "intent": receipt("pause")}, "acts on it at its next safe point"),
        (
            {"status": "running", "intent": receipt("pause", overdue_at=ago(19))},
            "no safe point was reached within 11 s; the pause stands.",
        ),
        (
            {"status": "paused", "is_frozen": True},
            "is paused, frozen in place on agent 'coder', whose slot it keeps.",
        ),
        (
            {"status": "paused", "is_frozen": True, "intent": receipt("cancel")},
            "its frozen process on agent 'coder' is being ended.",
        ),
        (
            {"status": "paused", "question": QUESTION},
            f"waits for input: merge it? Answer it with `mindswarm-exec provide-input {ID} JSON`.",
        ),
        (
            {"status": "paused", "pause_reason": "budget", "meters": {"tokens": {"spent": 120, "limit": 100}}},
            "its budget of tokens is spent, 120 of 100",
        ),
        (
            {"status": "paused", "pause_reason": "budget", "parent_id": PARENT, "meters": {"tokens": {"spent": 9}}},
            f"a budget of its parent {PARENT}, or further up, is spent",
        ),
        ({"status": "cancelled", "intent": receipt("cancel", acknowledged_at=NOW)}, "is cancelled."),
        (
            {"status": "cancelled", "intent": receipt("cancel", acknowledged_at=NOW, unresponsive=True)},
            "did not stop when it was told to: agent 'coder' has fenced it, and its slot stays taken",
        ),
        (
            {
                "status": "cancelled",
                "intent": receipt("cancel", acknowledged_at=NOW, unresponsive=True, slot_released_at=NOW),
            },
            "its code has ended by now",
        ),
    ],
)
def test_a_sentence_says_what_has_become_of_it(fields: dict[str, Any], words: str) -> None:
    told = what_became_of(execution(**fields))
    assert words in told


def shown(found: Execution) -> str:
    screen = console()
    with screen.capture() as captured:
        screen.print(sheet(found, NOW))
    return captured.get()


def test_a_receipt_is_told_step_by_step() -> None:
    steps = {"overdue_at": ago(20), "acknowledged_at": ago(5), "checkpoint_id": "c1", "slot_released_at": ago(4)}
    told = shown(
        execution(status="paused", pause_reason="requested", intent=receipt("pause", reason="lunch", **steps))
    )
    for words in (
        "requested 30s ago (lunch)",
        "overdue since 20s ago",
        "acknowledged 5s ago",
        "checkpoint c1",
        "slot released 4s ago",
        "on request",
    ):
        assert words in told
    fenced = receipt("cancel", acknowledged_at=ago(5), unresponsive=True)
    assert "fenced 5s ago: unresponsive" in shown(execution(status="cancelled", intent=fenced))


BUDGET = {"meter": "tokens", "spent": 120, "limit": 100}


@pytest.mark.parametrize(
    ("event_type", "data", "line", "description"),
    [
        ("budget", {**BUDGET, "spent": 80}, "80 of 100 tokens are spent", "has spent most of its budget (80 of 100"),
        ("pause_requested", {}, "", "was asked to pause."),
        ("pause_requested", {"withdrawn": True}, "withdrawn", "is no longer asked to pause."),
        ("pause_requested", {"unacknowledged": True}, "overdue: no safe point", "reached no safe point in time"),
        (
            "pause_requested",
            {"reason": "budget", **BUDGET, "budget_of": PARENT},
            f"the budget is spent: 120 of 100 tokens, of execution {PARENT}",
            "was asked to pause: a budget is spent (120 of 100 tokens).",
        ),
        ("resumed", {}, "", "was resumed."),
        ("resumed", {"in_place": True, "reason": "go"}, "in place  reason=go", "goes on in place, on agent coder."),
        ("cancelled", {}, "", "was cancelled."),
        (
            "cancelled",
            {"unresponsive": True},
            "unresponsive: the handler did not stop",
            "did not stop and is fenced.",
        ),
    ],
)
def test_an_event_is_told_for_what_it_is(event_type: str, data: dict[str, Any], line: str, description: str) -> None:
    told = control_news(f"execution.{event_type}", data)
    assert told.startswith(line)
    assert bool(told) == bool(line)
    context = {"execution_id": ID, "agent_id": "coder"}
    assert description in describe(f"execution.{event_type}", context, data)


def test_a_budget_that_runs_out_is_a_warning() -> None:
    assert severity_of("execution.budget") == "warning"


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ({"matched": 3, "done": 3, "refused": 0}, "3 of 3 executions were brought back."),
        ({"matched": 3, "done": 1, "refused": 2}, "1 of 3 executions was brought back; 2 had moved on meanwhile."),
        (
            {"matched": 1, "done": 0, "refused": 0, "dry_run": True},
            "1 execution would be brought back; nothing was done.",
        ),
        ({"matched": 0, "done": 0, "refused": 0}, "no execution matches, so nothing is to be brought back."),
    ],
)
def test_an_outcome_is_a_sentence(counts: dict[str, Any], told: str) -> None:
    assert what_was_done(BulkOutcome(verb="retry", **counts)) == told
