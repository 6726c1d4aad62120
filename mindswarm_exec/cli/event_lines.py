"""An event as one line for people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from mindswarm_exec.cli import cells
from mindswarm_exec.models.events import budget_of
from mindswarm_exec.models.records import Event, HistoryEntry

#: Style of an event type's last word.
_STYLES = {
    "created": "yellow",
    "queued": "cyan",
    "started": "bold blue",
    "progress": "blue",
    "output": "default",
    "checkpoint": "blue",
    "completed": "bold green",
    "failed": "bold red",
    "timed_out": "bold red",
    "cancelled": "magenta",
    "released": "bold yellow",
    "retry_scheduled": "yellow",
    "budget": "bold yellow",
    "pause_requested": "magenta",
    "offline": "bold red",
    "registered": "green",
}


def event_line(event: Event, *, full_id: bool = False) -> Text:
    """The clock, the type, whom it concerns, and what it says.

    `full_id` shows the execution's id so that it can be copied.
    """
    kind = event.event_type.rpartition(".")[2]
    line = Text(cells.clock(event.timestamp), style="dim", end="")
    line.append("  ").append(f"{cells.clean(event.event_type):<26}", style=_STYLES.get(kind, ""))
    concerned = event.context.execution_id
    if concerned:
        line.append(cells.clean(concerned) if full_id else cells.short_id(concerned), style="dim")
    if event.context.agent_id:
        line.append(" @" + cells.clean(event.context.agent_id), style="cyan")
    said = what_it_says(event)
    if said:
        line.append("  " + said)
    return line


def history_table(entries: Sequence[HistoryEntry]) -> RenderableType:
    """The record of one execution: each entry with the time since the one before it."""
    table = Table(
        box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True, header_style="bold dim"
    )
    for name in ("#", "AT", "AFTER"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("EVENT", no_wrap=True)
    table.add_column("WHAT")
    former = None
    for entry in entries:
        after = None if former is None else (entry.timestamp - former).total_seconds() * 1000
        former = entry.timestamp
        kind = entry.event_type.rpartition(".")[2]  # all are execution.…
        row = (str(entry.seq), cells.clock(entry.timestamp), cells.duration(after))
        told = control_news(entry.event_type, entry.data) or facts(entry.data)
        table.add_row(*row, Text(kind, style=_STYLES.get(kind, "")), cells.clean(told, 160))
    return table


def facts(data: Mapping[str, object], limit: int = 160) -> str:
    """The data of an event: `name=value` pairs, an error as a sentence."""
    return cells.clean("  ".join(_fact(name, value) for name, value in data.items()), limit)


def what_it_says(event: Event, limit: int = 160) -> str:
    """The event's own words: its message or output if it has one, else its facts."""
    data = event.data
    match event.event_type:
        case "execution.progress":
            fraction = data.get("fraction")
            share = f"{fraction:.0%} " if isinstance(fraction, int | float) else ""
            return cells.clean(f"{share}{data.get('message') or ''}".strip(), limit)
        case "execution.output":
            return cells.clean(data.get("text") or "", limit)
    if told := control_news(event.event_type, data):
        return cells.clean(told, limit)
    # the type and the ids, which make up the description, stand before it
    return facts({name: value for name, value in data.items() if name != "agent_id"}, limit)


def control_news(event_type: str, data: Mapping[str, object]) -> str:
    """What happened to a wish or a budget, where the bare facts would not say it; else nothing."""
    budget = budget_of(data).strip(" ()")
    match event_type:
        case "execution.budget":
            return f"{budget} are spent"
        case "execution.pause_requested" if data.get("withdrawn"):
            return "withdrawn"
        case "execution.pause_requested" if data.get("unacknowledged"):
            return "overdue: no safe point was reached in time; the pause stands"
        case "execution.pause_requested" if budget:
            return f"the budget is spent: {budget}, of execution {data.get('budget_of')}"
        case "execution.resumed" if data.get("in_place"):
            rest = facts({name: value for name, value in data.items() if name != "in_place"})
            return f"in place  {rest}".rstrip()
        case "execution.cancelled" if data.get("unresponsive"):
            return "unresponsive: the handler did not stop; it is fenced, its slot taken until its code ends"
    return ""


def _fact(name: str, value: object) -> str:
    if name == "error" and isinstance(value, Mapping):
        kind = str(value.get("kind", "error"))
        named = f"{kind} ({value['type']})" if value.get("type") else kind
        return f"{named}: {value['message']}" if value.get("message") else named
    if name == "actor" and isinstance(value, Mapping):
        return _asker(value)
    return f"{name}={value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"


def _asker(actor: Mapping[str, object]) -> str:
    """Who asked, and from where: `by client (cli from 127.0.0.1)`."""
    place = f" from {actor['address']}" if actor.get("address") else ""
    return f"by {actor.get('name', 'client')} ({actor.get('via', 'direct')}{place})"
