"""Explanations: from one look at the ledger to why an execution waits, or why it runs where it does. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mindswarm_exec.ledger.looks import Look, SeenAgent
from mindswarm_exec.lifecycle import PENDING, Status
from mindswarm_exec.models.explanations import (
    CandidateView,
    Explanation,
    LanePosition,
    Placement,
    RunnerUp,
    ScoreTerms,
)
from mindswarm_exec.models.options import DemandClass
from mindswarm_exec.models.records import Instant, instant
from mindswarm_exec.selection import Candidate, is_free, reaches, score, unmet
from mindswarm_exec.service.waiting import candidate, demand_of, waiting_for
from mindswarm_exec.settings import Settings

#: Whether a project is open to whoever asks.
Opens = Callable[[str], bool]


def every_project(_: str) -> bool:
    return True


def explanation(
    execution_id: str, look: Look, settings: Settings, waited_ms: dict[str, int], opens: Opens = every_project
) -> Explanation:
    """Where the execution stands. Of projects that `opens` denies no execution is named.

    The holders of a concurrency key are all of the execution's own project.
    """
    fields = look.fields
    demand, last = demand_of(fields), _affinity(fields, look)
    is_in_lane = fields["status"] == PENDING and fields.get("place") == "lane"
    return Explanation(
        execution_id=execution_id,
        status=Status(fields["status"]),
        task_type=fields["task_type"],
        as_of=moment_of(look),
        waiting=waiting_for(look),
        waited_ms=waited_ms,
        lane=lane_position(look, opens) if is_in_lane else None,
        placement=placement(fields.get("decision")),
        candidates=tuple(view(seen, demand, last, settings) for seen in look.agents),
        agents_not_shown=look.agents_registered - len(look.agents),
    )


def placement(stored: str | None) -> Placement | None:
    """The latest choice, as the ledger noted it: agent, way, score and its terms, load, slots, the others free."""
    if stored is None:
        return None
    agent_id, way, *rest = stored.split(" ")
    total, idle, free_slots, success, affinity = map(float, rest[:5])
    others = tuple(
        RunnerUp(agent_id=name, score=int(hundredths) / 100)
        for name, _, hundredths in (one.partition("=") for one in rest[7:])
    )
    by: Any = way
    return Placement(
        agent_id=agent_id,
        by=by,
        score=total,
        terms=ScoreTerms(idle=idle, free_slots=free_slots, success=success, affinity=affinity),
        load=int(rest[5]),
        max_concurrent=int(rest[6]),
        runners_up=others[:4],
        margin=round(total - others[0].score, 2) if others else None,
    )


def view(seen: SeenAgent, demand: DemandClass, last_agent_id: str | None, settings: Settings) -> CandidateView:
    """One agent as it stands to the demand now."""
    agent = candidate(seen, demand.task_type)
    missing = unmet(demand, agent)
    ruled_out = missing or next((told for says, told in _obstacles(seen, agent, demand) if says()), None)
    terms = None
    if ruled_out is None:
        assert is_free(demand, agent)
        found = score(agent, demand.task_type, has_affinity=agent.agent_id == last_agent_id, settings=settings)
        terms = ScoreTerms(
            idle=found.idle, free_slots=found.free_slots, success=found.success, affinity=found.affinity
        )
    return CandidateView(
        agent_id=seen.agent_id,
        state=seen.state,
        load=seen.load,
        max_concurrent=seen.max_concurrent,
        is_suitable=missing is None,
        ruled_out=ruled_out,
        score=None if terms is None else terms.idle + terms.free_slots + terms.success + terms.affinity,
        terms=terms,
    )


def lane_position(look: Look, opens: Opens) -> LanePosition:
    """Where it stands, or would stand, in its lane: a lane is shared by projects."""
    near = tuple(one.execution_id if opens(one.project_id) else None for one in look.lane_near)
    return LanePosition(ahead=look.lane_ahead, length=look.lane_length, just_ahead=near)


def moment_of(look: Look) -> Instant:
    """When it was looked."""
    found = instant(look.now_ms)
    assert found is not None
    return found


# --- steps -----------------------------------------------------------------------------------------------


def _obstacles(seen: SeenAgent, agent: Candidate, demand: DemandClass) -> list[tuple[Callable[[], bool], str]]:
    """What may keep a suitable agent from taking work now, in the order in which it is told."""
    rate = agent.success_rate(demand.task_type)
    return [
        (lambda: seen.state != "awake", f"is {seen.state}"),
        (lambda: not seen.accepts_work, "has not opened for work yet"),
        (lambda: not reaches(demand, agent), f"its success rate is {rate:.3g}, below {demand.min_success_rate}"),
        (lambda: seen.load >= seen.max_concurrent, f"is busy: {seen.load} of {seen.max_concurrent} slots are taken"),
    ]


def _affinity(fields: Mapping[str, str], look: Look) -> str | None:
    return look.last_agent_id if fields.get("affinity_key") else None
