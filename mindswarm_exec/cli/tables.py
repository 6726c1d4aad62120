"""Records of the wire as tables for people. Pure: the clock and the width are arguments."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mindswarm_exec.cli import cells
from mindswarm_exec.lifecycle import Status
from mindswarm_exec.models.records import (
    PAUSES,
    AgentRecord,
    Execution,
    ExecutionMetrics,
    MetricGroup,
    MetricWindow,
    QueueStatus,
)

#: Columns of terminal below which the less telling columns of a listing are left out: first those that only a wide
#: terminal has room for, then those that a narrow one has none for.
WIDE, NARROW = 132, 96
#: The same for the metrics of a window.
WIDE_METRICS = 116
BOX = box.SIMPLE_HEAD
#: Cells of a progress bar inside a table.
BAR = 10


def executions(found: Sequence[Execution], now: datetime, width: int = 200) -> RenderableType:
    """A listing, one execution a row. Ids stand in full: people copy them."""
    if not found:
        return Text("no executions", style="dim")
    table = _table("EXECUTION", "STATE", "TASK TYPE", "AGENT", "CREATED", whole=("EXECUTION", "STATE", "CREATED"))
    if width >= NARROW:
        table.add_column("TOOK", no_wrap=True)
    if width >= WIDE:
        for name in ("PRIORITY", "PROGRESS", "TAGS"):
            table.add_column(name)
    for execution in found:
        row: list[RenderableType] = [
            execution.execution_id,
            cells.status(execution.status),
            cells.clean(execution.task_type, 40),
            cells.clean(execution.agent_id, 30) if execution.agent_id else cells.NOTHING,
            cells.relative(execution.created_at, now),
        ]
        if width >= NARROW:
            row.append(cells.duration(running_ms(execution, now)))
        if width >= WIDE:
            row += [cells.priority(execution.priority), progress(execution), ", ".join(execution.tags)]
        table.add_row(*row)
    return table


def agents(found: Sequence[AgentRecord], now: datetime) -> RenderableType:
    if not found:
        return Text("no agents have registered; start one with `mindswarm-exec agent MODULE:ATTR`", style="dim")
    rows = [_agent(agent, now) for agent in found]
    columns = [name for name in rows[0] if any(len(row[name]) for row in rows)]
    table = _table(*columns, whole=("STATE",))
    for row in rows:
        table.add_row(*(row[name] for name in columns))
    return table


def _agent(agent: AgentRecord, now: datetime) -> dict[str, str | Text]:
    """What is told of an agent, by column; a column that is empty for all is left out."""
    return {
        "AGENT": Text(cells.clean(agent.agent_id), style="bold"),
        "STATE": cells.agent_state(agent.state),
        "LOAD": load(agent.load, agent.max_concurrent),
        "TASK TYPES": cells.clean(", ".join(sorted(agent.task_types)), 60),
        "CAPABILITIES": cells.clean(", ".join(sorted(agent.capabilities)), 40),
        "LABELS": cells.clean(" ".join(f"{name}={value}" for name, value in sorted(agent.labels.items())), 40),
        "SINCE": cells.relative(agent.registered_at, now),
        "HOLDS": " ".join(map(cells.short_id, agent.held)),
        "UNRESPONSIVE": Text(str(len(agent.unresponsive) or ""), style="bold red"),
    }


def queue(found: QueueStatus) -> RenderableType:
    """What waits, for whom, and who could take it."""
    grid = facts()
    grid.add_row("waiting", f"{found.waiting}, the oldest for {cells.duration(found.oldest_wait_ms)}")
    grid.add_row("held back", f"{found.delayed} delayed, {found.held_by_concurrency} by a concurrency key")
    grid.add_row("slots", Text.assemble(load(found.slots_taken, found.slots_total)))
    grid.add_row("agents", _counted(found.agents, cells.agent_state))
    grid.add_row("states", _counted(found.by_state, cells.status))
    parts: list[RenderableType] = [grid]
    if any(found.by_priority.values()):
        parts += ["", priorities(found.by_priority)]
    if found.by_class:
        parts += ["", _classes(found)]
    return Group(*parts)


def priorities(depth: dict[str, int], width: int = 24) -> RenderableType:
    """Depth of the queue by priority, the most urgent first."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column()
    table.add_column(justify="right")
    most = max(depth.values(), default=0) or 1
    for name, count in sorted(depth.items(), key=lambda entry: -int(entry[0])):
        table.add_row(cells.priority(int(name)), Text(cells.bar(count / most, width), style="cyan"), str(count))
    return table


def metrics(found: ExecutionMetrics) -> RenderableType:
    grid = facts()
    grid.add_row("execution", found.execution_id)
    grid.add_row("state", cells.status(found.status))
    attempts = f"{found.attempts}, {found.failed_attempts} failed, {found.lost_attempts} lost"
    grid.add_row("attempts", attempts)
    grid.add_row("waited", cells.duration(found.waiting_ms))
    for cause, ms in sorted(found.waited_ms.items(), key=lambda entry: entry[0] in PAUSES):
        indent = "" if cause in PAUSES else "  "  # a pause is no part of the waiting
        grid.add_row(indent + cause.replace("_", " "), cells.duration(ms))
    grid.add_row("running", cells.duration(found.running_ms))
    grid.add_row("in all", cells.duration(found.total_ms))
    grid.add_row("CPU time", cells.duration(found.cpu_ms))
    grid.add_row("memory", "–" if found.peak_rss_mb is None else f"{found.peak_rss_mb:g} MB at most")
    grid.add_row("output", f"{found.output_bytes} bytes")
    for name, meter in found.meters.items():
        limit = "" if meter.limit is None else f" of {meter.limit:g}"
        grid.add_row(cells.clean(name, 40), f"{meter.spent:g}{limit}")
    return grid


def window(found: MetricWindow, width: int = 200) -> RenderableType:
    """Ended executions of a window, one group a row."""
    if not found.groups:
        return Text(f"no execution ended within the last {found.window}", style="dim")
    rows = [_group(group, found.group_by, width >= WIDE_METRICS) for group in found.groups]
    table = _table(found.group_by.replace("_", " ").upper())
    for name in rows[0]:
        table.add_column(name, justify="left" if name == "OUTCOMES" else "right")
    for group, row in zip(found.groups, rows, strict=True):
        table.add_row(cells.clean(group.key, 50), *row.values())
    if found.behind or found.lost:
        table.caption = f"{found.behind} events are still to be counted; {found.lost} were lost"
    return table


def _group(group: MetricGroup, by: str, is_wide: bool) -> dict[str, str | Text]:
    """What is told of a group, by column."""
    row: dict[str, str | Text] = {
        "ENDED": str(group.count),
        "PER\nMIN": f"{group.throughput_per_minute:.3g}",
        "SUCCESS": _part(group.success_rate),
    }
    for word, spans in (("WAITED", group.waiting_ms), ("RAN", group.running_ms)):
        for name in ("p50", "p90", "p99") if is_wide else ("p50", "p99"):
            row[f"{word}\n{name.upper()}"] = cells.duration(getattr(spans, name))
    if by == "agent":
        row["BUSY"] = _part(group.utilisation)
    if is_wide and by != "status":
        counts = {status.value: getattr(group, status) for status in Status if status.is_terminal}
        row["OUTCOMES"] = _counted(counts, cells.status)
    return row


def _part(part: float | None) -> str:
    """A share to a tenth of a per cent, cut and not rounded: what is not all is not shown as 100 %."""
    return "–" if part is None else f"{int(part * 1000) / 10:g}%"


def load(taken: int, slots: int) -> Text:
    """Slots as dots: taken ones filled. Many slots are a number."""
    if slots > 12:
        return Text(f"{taken} of {slots}")
    free = "○" * max(0, slots - taken)
    return Text("●" * taken, style="bold blue").append(free, style="dim").append(f" {taken}/{slots}", style="dim")


def running_ms(execution: Execution, now: datetime) -> float | None:
    """How long its latest attempt runs, or ran until the end; None if it does neither."""
    if execution.started_at is None or not (execution.status.is_terminal or execution.status is Status.RUNNING):
        return None
    return ((execution.finished_at or now) - execution.started_at).total_seconds() * 1000


def json_text(value: Any) -> Text:
    """A JSON value, indented, safe for a terminal."""
    lines = json.dumps(value, indent=2, ensure_ascii=False).splitlines()
    return Text("\n".join(map(cells.clean, lines)))


def failure(found: Execution) -> Text:
    """Why it ended: the kind, the class, the message, and what was measured."""
    error = found.error
    if error is None:
        return Text("–")
    kind = error.kind if not error.type else f"{error.kind} ({error.type})"
    measured = "".join(f"; {name} {value}" for name, value in error.measured.items())
    return Text(cells.clean(f"{kind}: {error.message}{measured}" if error.message else kind + measured), style="red")


def progress(found: Execution) -> Text:
    """A bar, the share and the handler's message."""
    fraction = 1.0 if found.status == "completed" else found.progress.fraction
    text = cells.track(fraction, BAR, "green" if fraction >= 1 else "blue")
    text.append(f" {fraction:4.0%}", style="default")
    if found.progress.message and found.status != "completed":
        text.append(" " + cells.clean(found.progress.message, 40), style="dim")
    return text


def _classes(found: QueueStatus) -> Table:
    table = _table("TASK TYPE", "NEEDS")
    for name in ("WAITING", "OLDEST", "IN/MIN", "OUT/MIN", "NEXT IN", "AGENTS", "FREE"):
        table.add_column(name, justify="right", no_wrap=True)
    for depth in found.by_class:
        needs = cells.clean(", ".join(depth.needs)) or "–"
        free = Text(str(depth.free_agents), style="red" if depth.waiting and not depth.suitable_agents else "")
        next_in = None if depth.predicted_start_seconds is None else depth.predicted_start_seconds * 1000
        pace = [f"{rate:.3g}" for rate in (depth.arrivals_per_minute, depth.services_per_minute)]
        row = [str(depth.waiting), cells.duration(depth.oldest_wait_ms), *pace, cells.duration(next_in)]
        table.add_row(cells.clean(depth.task_type), needs, *row, str(depth.suitable_agents), free)
    return table


def _counted(counts: dict[str, int], styled: Any) -> Text:
    shown = [Text.assemble(styled(name), f" {count}") for name, count in counts.items() if count]
    return Text("   ").join(shown) if shown else Text("–", style="dim")


def _table(*names: str, whole: Sequence[str] = ()) -> Table:
    """An empty table. Where it does not fit, words are broken in all columns but the `whole` ones."""
    table = Table(box=BOX, show_edge=False, pad_edge=False, collapse_padding=True, header_style="bold dim")
    for name in names:
        table.add_column(name, overflow="fold", no_wrap=name in whole)
    return table


def facts() -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    return grid
