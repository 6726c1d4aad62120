"""One execution with all that is known of it, one fact a line. Pure: the clock is an argument."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from rich.console import Group, RenderableType
from rich.text import Text

from mindswarm_exec.cli import cells, tables
from mindswarm_exec.cli.sentences import budget_told
from mindswarm_exec.models.records import Execution, Meter, Question, Receipt


def sheet(found: Execution, now: datetime) -> RenderableType:
    """All facts of an execution."""
    grid = tables.facts()
    for name, value in _facts_of(found, now):
        grid.add_row(name, value)
    return grid


def _facts_of(found: Execution, now: datetime) -> Iterable[tuple[str, RenderableType]]:
    yield "execution", Text(found.execution_id, style="bold")
    yield "state", cells.status(found.status)
    yield "task type", cells.clean(found.task_type)
    yield "project", cells.clean(found.project_id)
    if found.task_id:
        yield "task", cells.clean(found.task_id)
    if found.parent_id:
        yield "parent", cells.clean(found.parent_id)
    yield "agent", cells.clean(found.agent_id) if found.agent_id else cells.NOTHING
    yield "priority", cells.priority(found.priority)
    if found.tags:
        yield "tags", cells.clean(", ".join(found.tags))
    lost = f", {found.lost_attempts} lost" if found.lost_attempts else ""
    failed = f", {found.failed_attempts} failed" if found.failed_attempts else ""
    yield "attempt", f"{found.attempt}{failed}{lost}"
    yield "progress", tables.progress(found)
    yield from _instants_of(found, now)
    yield from _pause_of(found, now)
    if found.meters:
        yield "meters", "\n".join(_meter(name, meter) for name, meter in found.meters.items())
    if found.intent is not None:
        yield found.intent.kind, "\n".join(_receipt(found.intent, now))
    if found.waiting_for is not None:
        yield "waits for", cells.clean(found.waiting_for.detail)
    if found.error is not None:
        yield "error", tables.failure(found)
    if found.payload is not None:
        yield "payload", tables.json_text(found.payload)
    if found.result is not None:
        yield "result", tables.json_text(found.result)


def _instants_of(found: Execution, now: datetime) -> Iterable[tuple[str, str]]:
    took = tables.running_ms(found, now)
    for name, at in (
        ("created", found.created_at),
        ("queued", found.queued_at),
        ("started", found.started_at),
        ("finished", found.finished_at),
    ):
        if at is not None:
            after = f", after {cells.duration(took)}" if name == "finished" and took is not None else ""
            yield name, f"{cells.day_and_clock(at)} ({cells.relative(at, now)}{after})"


def _pause_of(found: Execution, now: datetime) -> Iterable[tuple[str, RenderableType]]:
    """Why it is paused, where, and what lets it go on."""
    if found.pause_reason == "requested":
        yield "paused", "on request"
    elif found.pause_reason == "budget":
        yield "paused", cells.clean(budget_told(found))
    if found.is_frozen:
        yield "frozen", "in place: its process is stopped and keeps its slot"
    if found.question is not None:
        yield "question", _question(found.question, now)


def _question(question: Question, now: datetime) -> RenderableType:
    asked = f"{cells.clean(question.prompt)} (asked {cells.relative(question.asked_at, now)}, {question.question_id})"
    if question.answer_schema is None:
        return asked
    return Group(asked, "the answer has to fit", tables.json_text(question.answer_schema))


def _meter(name: str, meter: Meter) -> str:
    if meter.limit is None:
        return f"{cells.clean(name)}: {meter.spent:g} spent, no limit"
    return f"{cells.clean(name)}: {meter.spent:g} of {meter.limit:g} spent"


def _receipt(receipt: Receipt, now: datetime) -> Iterator[str]:
    """How far a wish has got, step by step."""
    reason = f" ({cells.clean(receipt.reason, 80)})" if receipt.reason else ""
    yield f"requested {cells.relative(receipt.requested_at, now)}{reason}"
    if receipt.overdue_at is not None:
        yield f"overdue since {cells.relative(receipt.overdue_at, now)}: no safe point was reached in time"
    if receipt.acknowledged_at is None:
        yield "not yet acknowledged"
    elif receipt.unresponsive:
        yield f"fenced {cells.relative(receipt.acknowledged_at, now)}: unresponsive, the handler did not stop"
    else:
        yield f"acknowledged {cells.relative(receipt.acknowledged_at, now)}"
    if receipt.checkpoint_id is not None:
        yield f"checkpoint {cells.clean(receipt.checkpoint_id)}"
    if receipt.slot_released_at is not None:
        yield f"slot released {cells.relative(receipt.slot_released_at, now)}"
