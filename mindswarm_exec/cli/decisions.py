"""Why an execution runs where it does, or why it waits, as people read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from mindswarm_exec.cli import cells, tables
from mindswarm_exec.models.records import Execution

#: How the ledger says that it chose, in words.
_WAYS = {
    "score": "it had the highest score of all suitable agents with a free slot",
    "affinity": "it last ran this affinity key, and that tipped the score",
    "preferred": "it was preferred, suitable and free",
    "assigned": "the execution was assigned to it",
    "forced": "it was the least loaded suitable agent; force_start let it exceed its slots",
    "fed": "it had just freed a slot, and this was the first in line that it could do",
}


def explanation(found: Execution) -> RenderableType:
    """The latest decision about an execution, its score term by term; or what it waits for."""
    parts: list[RenderableType] = [Text.assemble((found.execution_id, "bold"), "  ", cells.status(found.status))]
    if found.waiting_for is not None:
        parts.append(Text(f"It waits: {cells.clean(found.waiting_for.detail)}."))
        if found.waiting_for.nearest:
            parts.append(Text(f"Did you mean '{cells.clean(found.waiting_for.nearest)}'?", style="yellow"))
    if found.decision:
        parts += _decision(found.decision)
    elif found.waiting_for is None:
        parts.append(Text("No agent has been chosen for it yet."))
    return Group(*parts)


def _decision(decision: Mapping[str, Any]) -> list[RenderableType]:
    agent, way = cells.clean(decision.get("agent_id", "?")), str(decision.get("by", ""))
    told = Text.assemble("Agent ", (agent, "bold cyan"), f" was chosen: {_WAYS.get(way, cells.clean(way))}.")
    terms = decision.get("terms")
    if not isinstance(terms, dict):
        return [told]
    grid = tables.facts()
    for name, points in terms.items():
        grid.add_row(cells.clean(name.replace("_", " ")), f"{points:+g}" if isinstance(points, int | float) else "")
    grid.add_row("score", Text(f"{decision.get('score', 0):g}", style="bold"))
    taken, slots = decision.get("load"), decision.get("max_concurrent")
    if isinstance(taken, int) and isinstance(slots, int):
        grid.add_row("its load then", tables.load(taken, slots))
    return [told, grid]
