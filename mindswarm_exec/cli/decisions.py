"""Why an execution runs where it does, why it waits, and what would become of one, as people read it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mindswarm_exec.cli import cells, tables
from mindswarm_exec.models.explanations import (
    CandidateView,
    Explanation,
    LanePosition,
    Placement,
    ScoreTerms,
    Simulation,
)
from mindswarm_exec.models.records import WaitingFor

#: How the ledger says that it chose, in words.
_WAYS = {
    "score": "it had the highest score of all suitable agents with a free slot",
    "affinity": "it last ran this affinity key, and that tipped the score",
    "preferred": "it was preferred, suitable and free",
    "assigned": "the execution was assigned to it",
    "forced": "no suitable agent was free; force_start let the execution exceed this one's slots",
    "fed": "it had just freed a slot, and this was the first in line that it could do",
}
#: The same of a choice that is only thought of.
_WOULD = {
    "score": "it has the highest score of all suitable agents with a free slot",
    "affinity": "it last ran this affinity key, and that tips the score",
    "preferred": "it is preferred, suitable and free",
    "assigned": "the execution is assigned to it",
    "forced": "no suitable agent is free; force_start lets the execution exceed this one's slots",
}
#: Kinds of waiting, in words and with their style.
_KINDS = {
    "never": ("never as things are", "bold red"),
    "not_now": ("not now", "yellow"),
    "on_purpose": ("held on purpose", "cyan"),
}
_CAUSES = {"agent": "for an agent", "delivery": "on its way to the agent"}


def explanation(found: Explanation) -> RenderableType:
    """Where it stands: the cause for which it waits, the choice that was made, and every agent."""
    return Group(*_parts(found))


def simulation(found: Simulation) -> RenderableType:
    """What `start` would do now."""
    if found.would == "answer":
        return Text(f"It would be answered with execution {found.execution_id}, which has this idempotency key.")
    if found.would == "start":
        agent = (cells.clean(found.agent_id), "bold cyan")
        told = _WOULD[found.by or "score"]
        first: list[RenderableType] = [Text.assemble("It would start at once on agent ", agent, f": {told}.")]
    else:
        first = [Text.assemble(("It would wait", "bold"), "."), *_waiting(found.waiting)]
        if found.lane is not None:
            first.append(_position(found.lane, thought_of=True))
    return Group(*first, *_candidates(found.candidates, found.agents_not_shown))


# --- parts -----------------------------------------------------------------------------------------------


def _parts(found: Explanation) -> Iterator[RenderableType]:
    task_type = cells.clean(found.task_type)
    yield Text.assemble((found.execution_id, "bold"), "  ", cells.status(found.status), f"  {task_type}")
    yield from _waiting(found.waiting)
    if found.lane is not None:
        yield _position(found.lane)
    if found.waited_ms:
        spans = (f"{cells.duration(ms)} {_cause(cause)}" for cause, ms in found.waited_ms.items())
        yield Text.assemble(("waited  ", "dim"), ", ".join(spans))
    if found.placement is not None:
        yield from _placement(found.placement)
    elif found.waiting is None:
        yield Text("No agent has been chosen for it.")
    yield from _candidates(found.candidates, found.agents_not_shown)


def _waiting(waiting: WaitingFor | None) -> Iterator[Text]:
    if waiting is None:
        return
    told, style = _KINDS[waiting.kind]
    yield Text.assemble((told, style), f"  {waiting.reason.replace('_', ' ')}: {cells.clean(waiting.detail)}.")
    if waiting.nearest:
        yield Text(f"Did you mean '{cells.clean(waiting.nearest)}'?", style="yellow")


def _position(lane: LanePosition, *, thought_of: bool = False) -> Text:
    if not lane.ahead:
        be = "would be" if thought_of else "is"
        return Text.assemble(("lane    ", "dim"), f"it {be} the next of those that wait for the same agents")
    go = "would go" if thought_of else "goes" if lane.ahead == 1 else "go"
    named = [cells.short_id(one) for one in lane.just_ahead if one is not None]
    hidden = len(lane.just_ahead) - len(named)
    also = [f"{hidden} of other projects"] if hidden else []
    far = ["…"] if lane.ahead > len(lane.just_ahead) else []
    return Text.assemble(
        ("lane    ", "dim"),
        f"{lane.ahead} {go} before it, of {lane.length} that wait: {', '.join([*far, *named, *also])}",
    )


def _cause(cause: str) -> str:
    return _CAUSES.get(cause, f"for {cause.replace('_', ' ')}" if cause != "paused" else cause)


def _placement(found: Placement) -> Iterator[RenderableType]:
    agent = cells.clean(found.agent_id)
    yield Text.assemble("Agent ", (agent, "bold cyan"), f" was chosen: {_WAYS[found.by]}.")
    grid = tables.facts()
    for name in ScoreTerms.model_fields:
        grid.add_row(name.replace("_", " "), f"{getattr(found.terms, name):+g}")
    grid.add_row("score", Text(f"{found.score:g}", style="bold"))
    grid.add_row("its load then", tables.load(found.load, found.max_concurrent))
    for place, other in enumerate(found.runners_up):
        grid.add_row("" if place else "the others", f"{other.score:g}  {cells.clean(other.agent_id)}")
    if found.margin is not None:
        grid.add_row("margin", f"{found.margin:+g}")
    yield grid


def _candidates(found: Sequence[CandidateView], not_shown: int) -> Iterator[RenderableType]:
    yield ""
    if not found:
        yield Text("no agents have registered; start one with `mindswarm-exec agent MODULE:ATTR`", style="dim")
        return
    table = Table(box=tables.BOX, show_edge=False, pad_edge=False, header_style="bold dim")
    for name in ("AGENT", "STATE", "LOAD", "SCORE", "NOW"):
        table.add_column(name, justify="right" if name == "SCORE" else "left")
    for one in found:
        table.add_row(
            Text(cells.clean(one.agent_id), style="bold"),
            cells.agent_state(one.state),
            tables.load(one.load, one.max_concurrent),
            "–" if one.score is None else f"{one.score:g}",
            _verdict(one),
        )
    yield table
    if not_shown:
        yield Text(f"and {not_shown} more agents", style="dim")


def _verdict(one: CandidateView) -> Text:
    if one.ruled_out is None:
        return Text("can take it", style="green")
    return Text(cells.clean(one.ruled_out), style="yellow" if one.is_suitable else "dim")
