"""Explanations: from one look at the ledger to why an execution waits, or why it runs where it does. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from mindswarm_exec.ledger.looks import Look
from mindswarm_exec.lifecycle import PAUSED, PENDING, TERMINAL, Status
from mindswarm_exec.models.explanations import (
    CandidateView,
    Explanation,
    LanePosition,
    Placement,
    ScoreTerms,
)
from mindswarm_exec.models.options import DemandClass
from mindswarm_exec.models.records import Instant, instant
from mindswarm_exec.selection import reaches, score
from mindswarm_exec.service.entering import what_follows
from mindswarm_exec.service.noted import read_note
from mindswarm_exec.service.passed_over import demand_changed_since_choice, passed_over
from mindswarm_exec.service.standing import Standing, silence, standings
from mindswarm_exec.service.waiting import demand_of, waiting_for
from mindswarm_exec.settings import Settings

#: Whether a project is open to whoever asks.
Opens = Callable[[str], bool]


def every_project(_: str) -> bool:
    return True


def explanation(
    look: Look, settings: Settings, waited_ms: dict[str, int], opens: Opens = every_project
) -> Explanation:
    """Where the execution stands. Of projects that `opens` denies no execution is named.

    The holders of a concurrency key are all of the execution's own project.
    """
    fields, demand = look.fields, demand_of(look.fields)
    found = standings(look, demand)
    status = Status(fields["status"])
    last, shown = _affinity(fields, look), [] if status in TERMINAL else found
    return Explanation(
        execution_id=look.execution_id,
        status=status,
        task_type=fields["task_type"],
        as_of=moment_of(look),
        waiting=waiting_for(look, found),
        then=what_follows(look, demand, found),
        gives_up_at=instant(fields.get("queue_timeout_at_ms")) if status == PENDING else None,
        waited_ms=waited_ms,
        lane=lane_position(look, opens) if status == PENDING and fields.get("place") == "lane" else None,
        placement=placement(look, demand, found),
        candidates=tuple(view(one, look, demand, last, settings) for one in shown),
        agents_not_shown=look.agents_registered - len(shown) if shown else 0,
    )


def placement(look: Look, demand: DemandClass, found: Sequence[Standing]) -> Placement | None:
    """The latest choice, with what is known of the agents that it passed over."""
    fields = look.fields
    stored, at = fields.get("decision"), instant(fields.get("queued_at_ms"))
    if stored is None or at is None:
        return None
    note = read_note(stored)
    is_known = not demand_changed_since_choice(fields)
    ruled_out = passed_over(note, int(fields["queued_at_ms"]), demand, found) if is_known else ()
    ranked = tuple(sorted(note.others, key=lambda one: one.score, reverse=True))
    return Placement(
        **dict(note.choice),
        attempt=int(fields["attempt"]),
        at=at,
        runners_up=ranked,
        margin=round(note.choice.score - ranked[0].score, 2) if ranked else None,
        ruled_out=ruled_out,
    )


def view(
    one: Standing, look: Look, demand: DemandClass, last_agent_id: str | None, settings: Settings
) -> CandidateView:
    """One agent as it stands to the demand now."""
    seen, ruled_out, terms = one.seen, " and ".join(one.misses) or _obstacle(one, demand), None
    if ruled_out is None:
        is_last = seen.agent_id == last_agent_id
        found = score(one.agent, demand.task_type, has_affinity=is_last, settings=settings)
        terms = ScoreTerms(
            idle=found.idle, free_slots=found.free_slots, success=found.success, affinity=found.affinity
        )
    return CandidateView(
        agent_id=seen.agent_id,
        state=seen.state,
        load=seen.load,
        max_concurrent=seen.max_concurrent,
        is_suitable=one.suits,
        ruled_out=ruled_out,
        silence=silence(seen, look.now_ms),
        score=None if terms is None else terms.idle + terms.free_slots + terms.success + terms.affinity,
        terms=terms,
    )


def lane_position(look: Look, opens: Opens) -> LanePosition:
    """Where it stands, or would stand, in its lane: a lane is shared by projects."""
    near = tuple(one.execution_id if opens(one.project_id) else None for one in look.near)
    return LanePosition(
        ahead=look.lane_ahead, length=look.lane_length, ahead_elsewhere=look.ahead_elsewhere, just_ahead=near
    )


def moment_of(look: Look) -> Instant:
    """When it was looked."""
    found = instant(look.now_ms)
    assert found is not None
    return found


# --- steps -----------------------------------------------------------------------------------------------


def _obstacle(one: Standing, demand: DemandClass) -> str | None:
    """What keeps a suitable agent from taking work now: the first that is true."""
    seen = one.seen
    if seen.state != "awake":
        return f"is {seen.state}"
    if not seen.accepts_work:
        return "has not opened for work yet"
    if not reaches(demand, one.agent):
        rate = one.agent.success_rate(demand.task_type)
        return f"its success rate is {rate:.3g}, below {demand.min_success_rate}"
    if seen.load >= seen.max_concurrent:
        return f"is busy: {seen.load} of {seen.max_concurrent} slots are taken"
    return None


def _affinity(fields: Mapping[str, str], look: Look) -> str | None:
    """The agent that a choice now would favour: for what is paused, the one that it was paused on."""
    if fields["status"] == PAUSED and fields.get("agent_id"):
        return fields["agent_id"]
    return look.last_agent_id if fields.get("affinity_key") else None
