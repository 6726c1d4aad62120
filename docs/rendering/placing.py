"""The ledger, and how it places work: keys, scores, causes of waiting."""

from __future__ import annotations

import inspect

from docs.rendering.cells import escaped, table
from mindswarm_exec.ledger import keys
from mindswarm_exec.models.records import WAITING_KINDS
from mindswarm_exec.selection import Score
from mindswarm_exec.settings import PREFIX, Settings


def ledger_keys() -> str:
    """The table in the docstring of keys.py, its columns cut where the heading's words begin."""
    lines = inspect.getdoc(keys) or ""
    head, *body = [line for line in lines.partition("    family ")[2].splitlines() if line.strip()]
    starts = [0, *(("    family " + head).index(word) for word in ("type", "members", "lifetime"))]
    rows = []
    for line in body:
        cells = [line[a:b].strip() for a, b in zip(starts, [*starts[1:], None], strict=True)]
        rows.append([f"`{cells[0]}`", *map(escaped, cells[1:])])
    return table(("family", "type", "members or fields → score or value", "lifetime"), rows)


def score_terms() -> str:
    """The terms of a score, each with its setting."""
    told = {
        "idle": ("it holds nothing", "idle_bonus", "{} points"),
        "free_slots": ("(`max_concurrent` − load) ×", "free_slot_weight", "{} points"),
        "success": ("its smoothed success rate on the task type ×", "success_weight", "{} points"),
        "affinity": ("it was the last to run this `affinity_key`", "affinity_bonus", "{} points"),
    }
    rows = []
    for term in Score.__dataclass_fields__:
        what, setting, points = told[term]
        default = Settings.model_fields[setting].default
        rows.append((f"`{term}`", f"{what} {points.format(f'{default:g}')}", f"`{PREFIX}{setting.upper()}`"))
    return table(("term", "worth", "setting"), rows)


#: By cause: what it means, and what ends it.
_CAUSES = {
    "no_such_task_type": ("no registered agent implements the task type", "an agent that does registers"),
    "no_suitable_agent": (
        "those that implement it lack a capability, miss a constraint, are excluded or are not the one asked for",
        "an agent that meets all of it registers",
    ),
    "agents_offline": (
        "all suitable agents are offline, draining, or have registered and not opened yet",
        "one of them registers again, or opens",
    ),
    "agents_asleep": ("suitable agents sleep, and none is awake", "the one that was woken opens; or `agent-wake`"),
    "agents_busy": ("every slot of the suitable agents that are awake is taken", "one of them settles an attempt"),
    "success_rate": ("no suitable agent reaches `min_success_rate`", "the rate of one of them rises"),
    "concurrency_key": ("others hold all permits of its key, or go first", "one of the holders ends or pauses"),
    "start_at": ("it was asked not to start yet", "the time comes"),
    "retry_delay": ("an attempt failed, or its handler asked for later", "the delay is over"),
    "paused": ("somebody paused it", "`resume`"),
    "input_required": ("its handler asked a question", "`provideInput` with an answer"),
    "budget": ("a budget of its own or of a parent is spent", "`resume` with a larger one"),
}


def waiting_kinds() -> str:
    """Every cause for which an execution may wait."""
    words = {"never": "never as things are", "not_now": "not now", "on_purpose": "held on purpose"}
    rows = [(f"`{cause}`", words[kind], *_CAUSES[cause]) for cause, kind in WAITING_KINDS.items()]
    return table(("cause", "kind", "means", "is ended by"), rows)
