"""Which agent may serve an execution, and which of those it should be. Pure.

The ledger's scripts decide; these functions say the same in Python, for explanations, for dry runs and as the
reference that a property test holds the scripts to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from mindswarm_exec.models.options import AgentSelectionCriteria, Constraint, DemandClass
from mindswarm_exec.settings import Settings

LabelValue = str | bool | int | float

#: Points beyond this count no further: score and time of last use share one number of 53 bits in the ledger.
MOST_POINTS = 2600


@dataclass(frozen=True, slots=True)
class Candidate:
    """An agent at the moment of a decision."""

    agent_id: str
    task_types: frozenset[str]
    capabilities: frozenset[str] = frozenset()
    labels: Mapping[str, LabelValue] = field(default_factory=dict)
    max_concurrent: int = 3
    load: int = 0
    accepts_work: bool = True
    #: value of the ledger's counter of matches when it was last chosen; 0 if never
    last_used: int = 0
    success_rates: Mapping[str, float] = field(default_factory=dict)

    def success_rate(self, task_type: str) -> float:
        """Its smoothed success rate on the task type; 1.0 before the first outcome."""
        return self.success_rates.get(task_type, 1.0)


@dataclass(frozen=True, slots=True)
class Score:
    """The terms of one candidate's score; `total` decides."""

    idle: float
    free_slots: float
    success: float
    affinity: float

    @property
    def total(self) -> float:
        return self.idle + self.free_slots + self.success + self.affinity

    @property
    def hundredths(self) -> int:
        """The total as it is compared: in whole hundredths of a point."""
        return int(min(self.total, MOST_POINTS) * 100 + 0.5)


def misses(demand: DemandClass, agent: Candidate) -> tuple[str, ...]:
    """All that keeps `agent`, as registered, from ever serving `demand`; empty if it suits."""
    return tuple(_misses(demand, agent))


def unmet(demand: DemandClass, agent: Candidate) -> str | None:
    """The first thing that keeps `agent`, as registered, from ever serving `demand`; None if nothing does."""
    return next(_misses(demand, agent), None)


def _misses(demand: DemandClass, agent: Candidate) -> Iterator[str]:
    if demand.agent_id is not None and demand.agent_id != agent.agent_id:
        yield f"is not '{demand.agent_id}', to which it is assigned"
    if demand.task_type not in agent.task_types:
        yield f"does not implement '{demand.task_type}'"
    if agent.agent_id in demand.excluded_agents:
        yield "is excluded"
    missing = [name for name in demand.required_capabilities if name not in agent.capabilities]
    if missing:
        yield f"lacks the capability {', '.join(missing)}"
    for constraint in demand.constraints:
        if not meets(constraint, agent.labels.get(constraint.label)):
            found = agent.labels.get(constraint.label, "nothing")
            yield f"does not meet {constraint.told}: it has {found}"


def suits(demand: DemandClass, agent: Candidate) -> bool:
    """Whether `agent`, as registered, meets `demand`."""
    return unmet(demand, agent) is None


def meets(constraint: Constraint, value: LabelValue | None) -> bool:
    """Whether a label's value (None: the agent lacks the label) meets the constraint.

    Values of different kinds are never equal (`true` is not 1), and only numbers are ordered.
    """
    wanted = constraint.value
    match constraint.op:
        case "exists":
            return (value is not None) == (wanted is not False)
        case "!=":
            return not _same(value, wanted)
        case "=":
            return _same(value, wanted)
        case "in":
            return isinstance(wanted, tuple) and any(_same(value, one) for one in wanted)
    if not (_is_number(value) and _is_number(wanted)):
        return False
    assert isinstance(value, int | float)
    assert isinstance(wanted, int | float)
    match constraint.op:
        case ">":
            return value > wanted
        case ">=":
            return value >= wanted
        case "<":
            return value < wanted
        case _:
            return value <= wanted


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _same(left: object, right: object) -> bool:
    if _is_number(left) and _is_number(right):
        return left == right
    return type(left) is type(right) and left == right


def score(agent: Candidate, task_type: str, *, has_affinity: bool, settings: Settings) -> Score:
    """The score of a suitable, free agent: idle, free slots, success on this task type, affinity."""
    return Score(
        idle=settings.idle_bonus if agent.load == 0 else 0.0,
        free_slots=(agent.max_concurrent - agent.load) * settings.free_slot_weight,
        success=settings.success_weight * agent.success_rate(task_type),
        affinity=settings.affinity_bonus if has_affinity else 0.0,
    )


def is_free(demand: DemandClass, agent: Candidate) -> bool:
    """Whether a suitable agent may take the work now."""
    if not agent.accepts_work or agent.load >= agent.max_concurrent:
        return False
    return reaches(demand, agent)


def reaches(demand: DemandClass, agent: Candidate) -> bool:
    """Whether the agent's success rate is what the demand asks for, in the digits that the ledger compares."""
    least = demand.min_success_rate
    return least is None or agent.success_rate(demand.task_type) >= float(f"{least:.6g}")


def choose(
    demand: DemandClass,
    criteria: AgentSelectionCriteria,
    agents: Sequence[Candidate],
    *,
    last_agent_id: str | None,
    settings: Settings,
) -> Candidate | None:
    """The agent that takes the work now, or None if no suitable one is free.

    The preferred agent if it is suitable and free; else the highest score, to a hundredth of a point; ties go
    to the agent longest unused, and among those never used to the last by name. A pre-assigned agent is part of
    the demand: then no other one is suitable.
    `last_agent_id` is the agent that last ran this affinity key.
    """
    free = [agent for agent in agents if suits(demand, agent) and is_free(demand, agent)]
    for agent in free:
        if agent.agent_id == criteria.preferred_agent_id:
            return agent

    def rank(agent: Candidate) -> tuple[int, int, bool, str]:
        points = score(agent, demand.task_type, has_affinity=False, settings=settings).hundredths
        is_last = agent.agent_id == last_agent_id
        bonus = round(settings.affinity_bonus * 100) if is_last else 0
        return points + bonus, -agent.last_used, not is_last, agent.agent_id

    return max(free, key=rank, default=None)


def choose_sleeper(demand: DemandClass, sleepers: Sequence[Candidate]) -> Candidate | None:
    """The sleeping agent that work of this demand wakes: the highest success rate, then the one longest unused."""
    fit = [agent for agent in sleepers if suits(demand, agent) and reaches(demand, agent)]
    return max(fit, key=lambda agent: (agent.success_rate(demand.task_type), -agent.last_used), default=None)
