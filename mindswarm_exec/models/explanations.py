"""Why an execution waits, or why it runs where it does: the records of explain and simulate."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mindswarm_exec.identifiers import AgentId, Name
from mindswarm_exec.lifecycle import Status
from mindswarm_exec.models.options import StartRequest, WireModel
from mindswarm_exec.models.records import Instant, WaitingFor


class ScoreTerms(WireModel):
    """The terms of a score; they add up to it."""

    idle: float
    free_slots: float
    success: float
    affinity: float


class CandidateView(WireModel):
    """One registered agent, as it stands to the execution."""

    agent_id: str
    state: str
    load: int
    max_concurrent: int
    is_suitable: bool = Field(description="it could serve it, were it awake and free")
    ruled_out: str | None = Field(None, description="what keeps it from taking the work now; null: nothing does")
    silence: str | None = Field(
        None, description="that it counts as awake though its lease has run out: the next sweep declares it offline"
    )
    score: float | None = Field(None, description="of an agent that nothing rules out")
    terms: ScoreTerms | None = None


class LanePosition(WireModel):
    """Where it stands among those that wait for the same agents."""

    ahead: int = Field(description="executions that go first of those that ask for the same")
    length: int = Field(description="how many wait that ask for the same")
    ahead_elsewhere: int | None = Field(
        0,
        description="executions that ask for something else and go first on an agent that could take either; "
        "null: too many kinds of work wait to count them",
    )
    just_ahead: tuple[str | None, ...] = Field(
        (),
        description="ids of up to five that go first, of both, nearest last; null: of a project that is closed to "
        "the caller",
    )


class RunnerUp(WireModel):
    """An agent that was free when the choice was made.

    In notes of earlier versions `terms`, `load` and `max_concurrent` are null, and affinity is left out of the score.
    """

    agent_id: str
    score: float = Field(description="to a hundredth of a point, as scores are compared")
    terms: ScoreTerms | None = Field(None, description="null also where it had more points than count")
    load: int | None = Field(None, description="of its slots at that moment")
    max_concurrent: int | None = None


class Choice(WireModel):
    """The choice of an agent, as the ledger noted it."""

    agent_id: str
    by: Literal["preferred", "assigned", "score", "affinity", "forced", "fed"]
    score: float
    terms: ScoreTerms
    load: int = Field(description="of its slots when it was chosen, this one not counted")
    max_concurrent: int


class RuledOut(WireModel):
    """A registered agent that the choice passed over, and why."""

    agent_id: str
    because: str


class Placement(Choice):
    """The latest choice of an agent, and what became of the others in it."""

    attempt: int = Field(description="the attempt that it was made for")
    at: Instant
    runners_up: tuple[RunnerUp, ...] = Field(
        (),
        description="of the others that were free the best four and the one that affinity favours, the highest first",
    )
    margin: float | None = Field(
        None, description="its score less the highest of the others; null: nobody else was free"
    )
    ruled_out: tuple[RuledOut, ...] = Field(
        (),
        description="the other agents that are registered now, and what ruled each of them out then; empty where the "
        "demand has changed since",
    )


class Explanation(WireModel):
    """The truth about where an execution stands, at `as_of`."""

    execution_id: str
    status: Status
    task_type: str
    as_of: Instant
    waiting: WaitingFor | None = Field(None, description="the one cause for which it waits; null: it does not")
    then: tuple[WaitingFor, ...] | None = Field(
        (),
        description="what it would wait for next, were that cause gone now, in this order; empty: it would start; "
        "null: of so many agents it is not known who could do work of a kind that nobody has asked for lately",
    )
    gives_up_at: Instant | None = Field(None, description="when its queue timeout ends it, if it still waits")
    waited_ms: dict[str, int] = Field(
        default_factory=dict,
        description="so far, by cause; `agent` is the time in its lane, whatever kept the agents from it",
    )
    lane: LanePosition | None = None
    placement: Placement | None = None
    candidates: tuple[CandidateView, ...] = Field(
        (), description="the registered agents as they are now, in the order of their registration"
    )
    agents_not_shown: int = 0


class AgentSketch(WireModel):
    """An agent that does not exist: what if one more like this had just opened?

    It would first take up what waits already, as far as it suits it.
    """

    agent_id: AgentId = Field("one-more", description="a name that no registered agent has")
    task_types: frozenset[Name] = Field(frozenset(), description="none named: the task type that is asked about")
    capabilities: frozenset[Name] = frozenset()
    labels: dict[Name, str | bool | int | float] = Field(default_factory=dict)
    max_concurrent: int = Field(3, ge=1, le=1000)


class SimulateRequest(StartRequest):
    """The params of `start`, and perhaps one more agent. Nothing is written."""

    with_agent: AgentSketch | None = None


class Simulation(WireModel):
    """What `start` would do now."""

    as_of: Instant
    would: Literal["start", "wait", "answer"] = Field(
        description="answer: its idempotency key is that of an earlier execution, which it would be answered with"
    )
    execution_id: str | None = Field(None, description="that earlier execution")
    agent_id: str | None = Field(None, description="who would take it; of equals by `force_start`, one of them")
    by: Literal["preferred", "assigned", "score", "affinity", "forced"] | None = None
    waiting: WaitingFor | None = None
    then: tuple[WaitingFor, ...] = Field((), description="what it would wait for next, as in an explanation")
    lane: LanePosition | None = None
    candidates: tuple[CandidateView, ...] = ()
    agents_not_shown: int = 0
