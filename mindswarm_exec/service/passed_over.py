"""Why a choice fell on none of the others: what ruled each of them out at that moment. Pure.

Three records tell it. The ledger's note of the choice names the others that were free. An agent's profile changes
only when it registers, and that instant is known, so what it lacks now it lacked then. Its own record keeps its
latest changes of state. A suitable agent that took work and was not free had no free slot: that needs no note.
"""

from __future__ import annotations

from collections.abc import Sequence

from mindswarm_exec.ledger.looks import PastState, SeenAgent
from mindswarm_exec.ledger.reads import Record
from mindswarm_exec.lifecycle import QUEUE
from mindswarm_exec.models.explanations import RuledOut
from mindswarm_exec.models.options import DemandClass
from mindswarm_exec.service.causes import span
from mindswarm_exec.service.noted import Noted
from mindswarm_exec.service.standing import Standing
from mindswarm_exec.service.waited import moves_of


def passed_over(
    note: Noted, chosen_at_ms: int, demand: DemandClass, found: Sequence[Standing]
) -> tuple[RuledOut, ...]:
    """Each registered agent that the note does not name, and why it was none of those."""
    named = {note.choice.agent_id, *(other.agent_id for other in note.others)}
    return tuple(
        RuledOut(agent_id=one.agent.agent_id, because=_because(one, note, chosen_at_ms, demand))
        for one in found
        if one.agent.agent_id not in named
    )


def demand_changed_since_choice(fields: Record) -> bool:
    """Whether a retry by hand has given it other options since its latest choice."""
    for move in reversed(moves_of(fields)):
        if move.event_type == QUEUE.event:
            return False
        if move.data.get("options_changed"):
            return True
    return True  # the events do not tell


# --- steps -----------------------------------------------------------------------------------------------


def _because(one: Standing, note: Noted, chosen_at_ms: int, demand: DemandClass) -> str:
    has_registered_since = one.seen.registered_at_ms >= chosen_at_ms
    if one.misses and not has_registered_since:
        return " and ".join(one.misses)
    past = None if note.number is None else one.seen.state_at(chosen_at_ms, note.number)
    if past is not None and not past.accepts_work:
        return _closed(past, chosen_at_ms)
    if has_registered_since:
        return "its process has registered since"
    return _not_free(one.seen, is_open=past is not None) + "".join(_unless(note, demand))


def _closed(past: PastState, chosen_at_ms: int) -> str:
    lasted = span(chosen_at_ms - past.since_ms)
    match past.state:
        case "awake":
            return f"had registered {lasted} before, and not opened for work yet"
        case "sleeping":
            return f"was asleep (for {lasted})"
        case state:
            return f"was {state} (for {lasted})"


def _not_free(seen: SeenAgent, *, is_open: bool) -> str:
    """What is true of a suitable agent that could not take the work; its slots are those that it registered with."""
    if not is_open:
        return "had no free slot or was not open for work"
    slots = "its one slot was" if seen.max_concurrent == 1 else f"all {seen.max_concurrent} slots were"
    return f"was busy: {slots} taken"


def _unless(note: Noted, demand: DemandClass) -> Sequence[str]:
    """What may have been true of it instead."""
    found = []
    if demand.min_success_rate is not None:
        found.append(", or its success rate was too low")
    if note.is_full:
        found.append(f", or its score was no more than {note.bound:g}")
    return found
