"""The state machine: its moves, what is watched, and what each verb does."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable

from docs.control_table import KINDS
from docs.control_table import ROWS as CONTROL
from docs.rendering.cells import table
from mindswarm_exec import lifecycle
from mindswarm_exec.lifecycle import MOVES, NEWS_EVENTS, TASK_STATUS, WATCHED, Move
from mindswarm_exec.settings import PREFIX, Settings


def moves(machine: Iterable[Move] = MOVES) -> str:
    """The table of moves."""
    movers = _movers()
    rows = [
        (
            f"`{move.name}`",
            ", ".join(f"`{source}`" for source in move.sources) or "nothing",
            f"`{move.target}`",
            f"`{move.event}`",
            "yes" if move.fenced else "",
            movers.get(move.name, ""),
        )
        for move in machine
    ]
    return table(("move", "from", "to", "event", "needs the nonce", "moved by"), rows)


def _movers() -> dict[str, str]:
    """Who makes each move: the comment at the end of its row."""
    row = re.compile(r'= Move\("(\w+)".*#\s*(.+?)\s*$', re.MULTILINE)
    return dict(row.findall(inspect.getsource(lifecycle)))


def deadlines() -> str:
    """The deadlines that are watched in each state."""
    rows = [(f"`{status}`", ", ".join(f"`{name}`" for name in names)) for status, names in WATCHED.items()]
    return table(("state", "watched"), rows)


def task_statuses() -> str:
    """The status that a task takes from its latest execution."""
    return table(("latest execution", "task"), [(f"`{status}`", f"`{task}`") for status, task in TASK_STATUS.items()])


def news_events() -> str:
    """The events of an execution that are no moves."""
    return "\n".join(f"- `{event}`" for event in NEWS_EVENTS)


def control() -> str:
    """What each verb does to each kind of work, a table for each verb."""
    verbs = dict.fromkeys(row.verb for row in CONTROL)
    return "\n\n".join(f"### `{verb}`\n\n{_control_of(verb)}" for verb in verbs)


def _control_of(verb: str) -> str:
    rows = [
        (
            KINDS[row.kind],
            row.does,
            _within(row.within),
            f"`{row.status}`" + (" (frozen)" if row.is_frozen else ""),
            ", ".join([f"`{row.receipt[0]}`", *row.receipt[1:]]) if row.receipt else "none",
        )
        for row in CONTROL
        if row.verb == verb
    ]
    return table(("of", "what happens", "within", "then it is", "receipt"), rows)


def _within(bound: str) -> str:
    match bound:
        case "":
            return "at once"
        case "safe point":
            return "its next `checkpoint`"
        case setting:
            default = Settings.model_fields[setting].default
            return f"`{PREFIX}{setting.upper()}` ({default:g})"
