"""Why an execution runs where it does, why it waits, and what would become of one, as people read it.

The first line is the answer, the second says how it goes on; the facts behind them follow.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mindswarm_exec.cli import cells, tables
from mindswarm_exec.lifecycle import PENDING, QUEUED, RUNNING
from mindswarm_exec.models.explanations import (
    CandidateView,
    Explanation,
    LanePosition,
    Placement,
    RunnerUp,
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
    "fed": "a slot of it became free, and this was the first in line that it could do",
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
    "never": ("Never as things are", "bold red"),
    "not_now": ("Not now", "bold yellow"),
    "on_purpose": ("Held on purpose", "bold cyan"),
}
#: What was waited for, in the record of an execution.
_SPANS = {
    "agent": "for an agent",
    "delivery": "on its way to the agent",
    "start_at": "for its start time",
    "retry_delay": "for the next attempt",
    "concurrency_key": "for its concurrency key",
    "paused": "paused",
    "input_required": "for an answer",
    "budget": "for a larger budget",
}


def explanation(found: Explanation) -> RenderableType:
    """Where it stands: the cause for which it waits, or the choice that was made."""
    if found.waiting is not None:
        return Group(*_told(found.waiting), _facts(found), *_candidates(found.candidates, found.agents_not_shown))
    return Group(_standing(found), *_goes_on(found), _facts(found), *_choice(found.placement))


def simulation(found: Simulation) -> RenderableType:
    """What `start` would do now."""
    if found.would == "answer":
        return Text(f"It would be answered with execution {found.execution_id}, which has this idempotency key.")
    if found.waiting is None:
        agent = (cells.clean(found.agent_id), "bold cyan")
        told = _WOULD[found.by or "score"]
        first = [Text.assemble(("It would start at once", "bold green"), " on agent ", agent, f": {told}.")]
    else:
        first = [Text.assemble(("It would wait.", "bold"), " ", _cause(found.waiting)), *_next(found.waiting)]
    grid = tables.facts()
    for one in found.then:
        grid.add_row("and then", _cause(one))
    if found.lane is not None and found.waiting is not None and found.waiting.kind != "never":
        grid.add_row("ahead", _position(found.lane))
    return Group(*first, *([grid] if grid.row_count else []), *_candidates(found.candidates, found.agents_not_shown))


# --- the answer ------------------------------------------------------------------------------------------


def _told(waiting: WaitingFor) -> Iterator[Text]:
    yield _cause(waiting)
    yield from _next(waiting)


def _cause(waiting: WaitingFor) -> Text:
    kind, style = _KINDS[waiting.kind]
    return Text.assemble((f"{kind}: ", style), f"{cells.clean(waiting.detail)}.")


def _next(waiting: WaitingFor) -> Iterator[Text]:
    if waiting.next_step:
        yield Text.assemble(("→ ", "bold"), cells.clean(waiting.next_step))


def _standing(found: Explanation) -> Text:
    """Where it is, if it does not wait."""
    placed = found.placement
    if placed is None:
        return Text.assemble("It is ", cells.status(found.status), "; no agent was ever chosen for it.")
    agent, way = (cells.clean(placed.agent_id), "bold cyan"), _WAYS[placed.by]
    match found.status:
        case status if status == QUEUED:
            since = cells.relative(placed.at, found.as_of)
            return Text.assemble(("On its way", "bold"), " to agent ", agent, f", chosen {since}: {way}.")
        case status if status == RUNNING:
            return Text.assemble(("Runs", "bold green"), " on agent ", agent, f": {way}.")
        case _:
            return Text.assemble("It is ", cells.status(found.status), "; it ran last on agent ", agent, f": {way}.")


def _goes_on(found: Explanation) -> Iterator[Text]:
    """What becomes next of what is on its way, or is with an agent that is not heard of."""
    held_by = found.placement.agent_id if found.placement else ""
    if found.status == QUEUED:
        yield Text(
            "→ it begins in a moment; if nobody takes it up its message is sent again, then another agent has it"
        )
    for one in found.candidates:
        if one.agent_id == held_by and (one.silence or one.state == "offline"):
            told = one.silence or "it is offline"
            yield Text(
                f"→ {cells.clean(held_by)} is not heard of: {told}; the next sweep moves what it holds", "yellow"
            )


# --- the facts -------------------------------------------------------------------------------------------


def _facts(found: Explanation) -> RenderableType:
    grid = tables.facts()
    for name, value in _rows(found):
        grid.add_row(name, value)
    return grid


def _rows(found: Explanation) -> Iterator[tuple[str, RenderableType]]:
    for one in found.then or ():
        yield "and then", _cause(one)
    if found.lane is not None and found.waiting is not None and found.waiting.kind != "never":
        yield "ahead", _position(found.lane)
    if found.waited_ms:
        yield (
            "waited",
            ", ".join(f"{cells.duration(ms)} {_SPANS.get(cause, cause)}" for cause, ms in found.waited_ms.items()),
        )
    if found.gives_up_at is not None:
        yield "gives up", f"{_in(found.gives_up_at, found.as_of)}, by its queue timeout"
    if found.status == PENDING and found.placement is not None:
        before = found.placement
        yield "before", f"attempt {before.attempt} went to {cells.clean(before.agent_id)}"
    what = f"{found.execution_id}  {cells.clean(found.task_type)}  "
    yield "execution", Text.assemble(what, cells.status(found.status))


def _position(lane: LanePosition) -> Text:
    if not lane.ahead and lane.ahead_elsewhere == 0:
        return Text("nobody: the next free slot is its own")
    told = f"{lane.ahead or 'none'} of the {lane.length} that ask for the same"
    if lane.ahead_elsewhere is None:
        told += "; other work for the same agents is of too many kinds to be counted"
    elif lane.ahead_elsewhere:
        told += f", and {lane.ahead_elsewhere} more that the same agents could do"
    named = [cells.short_id(one) for one in lane.just_ahead if one is not None]
    hidden = len(lane.just_ahead) - len(named)
    also = [f"{hidden} of other projects"] if hidden else []
    far = ["…"] if lane.ahead + (lane.ahead_elsewhere or 0) > len(lane.just_ahead) else []
    return Text(f"{told}: {', '.join([*far, *named, *also])}" if named or also else told)


def _in(instant: datetime, now: datetime) -> str:
    left = (instant - now).total_seconds() * 1000
    return f"in {cells.duration(left)}" if left > 0 else "with the next sweep"


# --- the choice, and the agents --------------------------------------------------------------------------


def _choice(found: Placement | None) -> Iterator[RenderableType]:
    """Every agent as it stood in the choice: the one that was chosen, those that were free, the others."""
    if found is None:
        return
    yield ""
    table = _table("AGENT", "SCORE", f"WHEN IT WAS CHOSEN, FOR ATTEMPT {found.attempt}")
    chosen = f"{_stood('chosen', found)}{_lead(found.margin)}"
    table.add_row(Text(cells.clean(found.agent_id), style="bold cyan"), f"{found.score:g}", Text(chosen))
    for other in found.runners_up:
        table.add_row(cells.clean(other.agent_id), f"{other.score:g}", Text(_stood("free too", other), style="green"))
    for one in found.ruled_out:
        table.add_row(cells.clean(one.agent_id), "–", Text(cells.clean(one.because), style="dim"))
    yield table


def _stood(verdict: str, found: Placement | RunnerUp) -> str:
    """How an agent stood in a choice, with its load and the terms of its score as far as they were noted."""
    told = verdict
    if found.load is not None:
        told += f", with {found.load} of {found.max_concurrent} slots taken"
    if found.terms is not None:
        terms = ((name.replace("_", " "), getattr(found.terms, name)) for name in ScoreTerms.model_fields)
        told += ": " + " + ".join(f"{name} {points:g}" for name, points in terms)
    return told


def _lead(margin: float | None) -> str:
    """By how much it was ahead; it may be behind where it was preferred."""
    if margin is None:
        return ""
    if margin == 0:
        return "; level with the next"
    return f"; ahead of the next by {margin:g}" if margin > 0 else f"; behind the best by {-margin:g}"


def _candidates(found: Sequence[CandidateView], not_shown: int) -> Iterator[RenderableType]:
    yield ""
    if not found:
        yield Text("no agents have registered; start one with `mindswarm-exec agent MODULE:ATTR`", style="dim")
        return
    table = _table("AGENT", "SCORE", "NOW", "STATE", "LOAD")
    for one in found:
        table.add_row(
            Text(cells.clean(one.agent_id), style="bold"),
            "–" if one.score is None else f"{one.score:g}",
            _verdict(one),
            cells.agent_state(one.state),
            tables.load(one.load, one.max_concurrent),
        )
    yield table
    if not_shown:
        yield Text(f"and {not_shown} more agents", style="dim")


def _table(*names: str) -> Table:
    table = Table(box=tables.BOX, show_edge=False, pad_edge=False, header_style="bold dim")
    for name in names:
        table.add_column(name, justify="right" if name == "SCORE" else "left", no_wrap=name in ("STATE", "LOAD"))
    return table


def _verdict(one: CandidateView) -> Text:
    silence = f"; {cells.clean(one.silence)}" if one.silence else ""
    if one.ruled_out is None:
        return Text(f"can take it{silence}", style="yellow" if silence else "green")
    return Text(cells.clean(one.ruled_out) + silence, style="yellow" if one.is_suitable else "dim")
