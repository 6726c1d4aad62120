"""Why a choice fell on none of the others, as far as it can still be told when it is asked. Pure.

The ledger notes the chosen agent and the best of the others that were free; the rest follows from that note and from
what cannot have changed since. An agent's profile changes only when it registers, and that instant is known. Whether
it was awake and how much it held at that moment is not, but only that it was not free.
"""

from __future__ import annotations

from collections.abc import Sequence

from mindswarm_exec.ledger.reads import Record
from mindswarm_exec.lifecycle import QUEUE
from mindswarm_exec.models.explanations import RuledOut
from mindswarm_exec.models.options import DemandClass
from mindswarm_exec.service.standing import Standing
from mindswarm_exec.service.waited import moves_of

#: Agents that the note of a choice names at most, the chosen one among them if it was of the best.
MOST_NOTED = 5


def passed_over(
    stored: str, chosen_at_ms: int, demand: DemandClass, found: Sequence[Standing]
) -> tuple[RuledOut, ...]:
    """Each registered agent that the choice `stored` does not name, and why it was none of those."""
    agent_id, way, *rest = stored.split(" ")
    noted = {one.partition("=")[0]: int(one.partition("=")[2]) / 100 for one in rest[7:]}
    unnamed = [one for one in found if one.agent.agent_id != agent_id and one.agent.agent_id not in noted]
    not_free = _not_free(way, demand, list(noted.values()))
    return tuple(
        RuledOut(agent_id=one.agent.agent_id, because=_because(one, chosen_at_ms) or not_free) for one in unnamed
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


def _because(one: Standing, chosen_at_ms: int) -> str | None:
    if one.seen.registered_at_ms >= chosen_at_ms:
        return "its process has registered since"
    return " and ".join(one.misses) or None


def _not_free(way: str, demand: DemandClass, noted: Sequence[float]) -> str:
    """What is true of every suitable agent that the note leaves out."""
    told = "had no free slot or was not open for work"
    if demand.min_success_rate is not None:
        told += ", or its success rate was too low"
    if way in ("fed", "forced") or len(noted) < MOST_NOTED - 1:
        return told
    return f"{told}, or its score was no more than {noted[-1]:g}"
