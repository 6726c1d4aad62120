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
from mindswarm_exec.models.records import (
    AgentRecord,
    Execution,
    ExecutionMetrics,
    MetricWindow,
    QueueStatus,
)

#: Columns of terminal below which the less telling columns of a listing are left out.
WIDE = 132
BOX = box.SIMPLE_HEAD
#: Cells of a progress bar inside a table.
BAR = 10


def executions(found: Sequence[Execution], now: datetime, width: int = 200) -> RenderableType:
    """A listing, one execution a row. Ids stand in full: people copy them."""
    if not found:
        return Text("no executions", style="dim")
    table = _table("EXECUTION", "STATE", "TASK TYPE", "AGENT", "CREATED", "TOOK")
    table.columns[0].no_wrap = True
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
            cells.duration(running_ms(execution, now)),
        ]
        if width >= WIDE:
            row += [cells.priority(execution.priority), progress(execution), ", ".join(execution.tags)]
        table.add_row(*row)
    return table


def agents(found: Sequence[AgentRecord], now: datetime) -> RenderableType:
    if not found:
        return Text("no agents have registered; start one with `mindswarm-exec agent MODULE:ATTR`", style="dim")
    table = _table("AGENT", "STATE", "LOAD", "TASK TYPES", "CAPABILITIES", "LABELS", "SINCE", "HOLDS")
    has_unresponsive = any(agent.unresponsive for agent in found)
    if has_unresponsive:
        table.add_column("UNRESPONSIVE", justify="right")
    for agent in found:
        stuck = Text(str(len(agent.unresponsive)), style="bold red" if agent.unresponsive else "dim")
        table.add_row(
            Text(cells.clean(agent.agent_id), style="bold"),
            cells.agent_state(agent.state),
            load(agent.load, agent.max_concurrent),
            cells.clean(", ".join(sorted(agent.task_types)), 60),
            cells.clean(", ".join(sorted(agent.capabilities)), 40),
            cells.clean(" ".join(f"{name}={value}" for name, value in sorted(agent.labels.items())), 40),
            cells.relative(agent.registered_at, now),
            " ".join(map(cells.short_id, agent.held)),
            *([stuck] if has_unresponsive else []),
        )
    return table


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
    grid.add_row("waiting", cells.duration(found.waiting_ms))
    for cause, ms in found.waited_ms.items():
        grid.add_row(f"  {cause.replace('_', ' ')}", cells.duration(ms))
    grid.add_row("running", cells.duration(found.running_ms))
    grid.add_row("in all", cells.duration(found.total_ms))
    grid.add_row("CPU time", cells.duration(found.cpu_ms))
    grid.add_row("memory", "–" if found.peak_rss_mb is None else f"{found.peak_rss_mb:g} MB at most")
    grid.add_row("output", f"{found.output_bytes} bytes")
    for name, meter in found.meters.items():
        limit = "" if meter.limit is None else f" of {meter.limit:g}"
        grid.add_row(cells.clean(name, 40), f"{meter.spent:g}{limit}")
    return grid


def window(found: MetricWindow) -> RenderableType:
    """Ended executions of a window, one group a row."""
    if not found.groups:
        return Text(f"no execution ended within the last {found.window}", style="dim")
    table = _table(found.group_by.upper())
    by_agent = found.group_by == "agent"
    names = ["ENDED", "PER MIN", "COMPLETED", "FAILED", "CANCELLED", "TIMED OUT", "SUCCESS"]
    names += ["WAITING P50", "P90", "P99", "RUNNING P50", "P90", "P99", *(["BUSY"] if by_agent else [])]
    for name in names:
        table.add_column(name, justify="right")
    for group in found.groups:
        counts = (group.completed, group.failed, group.cancelled, group.timed_out)
        spans = [getattr(of, name) for of in (group.waiting_ms, group.running_ms) for name in ("p50", "p90", "p99")]
        row = [cells.clean(group.key, 50), str(group.count), f"{group.throughput_per_minute:.3g}", *map(str, counts)]
        row += [_part(group.success_rate), *([_part(group.utilisation)] if by_agent else [])]
        table.add_row(*row[:8], *map(cells.duration, spans), *row[8:])
    if found.behind or found.lost:
        table.caption = f"{found.behind} events are still to be counted; {found.lost} were lost"
    return table


def _part(part: float | None) -> str:
    return "–" if part is None else f"{part:.0%}"


def load(taken: int, slots: int) -> Text:
    """Slots as dots: taken ones filled. Many slots are a number."""
    if slots > 12:
        return Text(f"{taken} of {slots}")
    free = "○" * max(0, slots - taken)
    return Text("●" * taken, style="bold blue").append(free, style="dim").append(f" {taken}/{slots}", style="dim")


def running_ms(execution: Execution, now: datetime) -> float | None:
    """How long it has run since its latest start; None before the first."""
    if execution.started_at is None:
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
    for name in ("WAITING", "OLDEST", "IN/MIN", "OUT/MIN", "NEXT IN", "SUITABLE AGENTS", "FREE"):
        table.add_column(name, justify="right")
    for depth in found.by_class:
        needs = cells.clean(", ".join(depth.required_capabilities)) or "–"
        free = Text(str(depth.free_agents), style="red" if depth.waiting and not depth.suitable_agents else "")
        next_in = None if depth.predicted_start_seconds is None else depth.predicted_start_seconds * 1000
        pace = [f"{rate:.3g}" for rate in (depth.arrivals_per_minute, depth.services_per_minute)]
        row = [str(depth.waiting), cells.duration(depth.oldest_wait_ms), *pace, cells.duration(next_in)]
        table.add_row(cells.clean(depth.task_type), needs, *row, str(depth.suitable_agents), free)
    return table


def _counted(counts: dict[str, int], styled: Any) -> Text:
    shown = [Text.assemble(styled(name), f" {count}") for name, count in counts.items() if count]
    return Text("   ").join(shown) if shown else Text("–", style="dim")


def _table(*names: str) -> Table:
    table = Table(box=BOX, show_edge=False, pad_edge=False, header_style="bold dim")
    for name in names:
        table.add_column(name)
    return table


def facts() -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    return grid
