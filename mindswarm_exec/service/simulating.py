"""What if: where a submission that is only thought of would go, by the same choice as the ledger's. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any, Literal

from mindswarm_exec.ledger import operations
from mindswarm_exec.ledger.looks import Look, SeenAgent
from mindswarm_exec.ledger.operations import MOST_AGENTS_SEEN, Operation
from mindswarm_exec.models.explanations import AgentSketch, Simulation
from mindswarm_exec.models.options import AgentSelectionCriteria, DemandClass, ExecutionOptions
from mindswarm_exec.models.records import WaitingFor
from mindswarm_exec.selection import Candidate, choose, is_free, reaches, suits
from mindswarm_exec.service.explaining import Opens, lane_position, moment_of, view
from mindswarm_exec.service.submission import option_fields
from mindswarm_exec.service.waiting import candidate, delayed_until, held_back, no_agent
from mindswarm_exec.settings import Settings

Way = Literal["preferred", "assigned", "score", "affinity", "forced"]

#: A class that is new meets every agent, in a simulation as in a submission.
EVERY_AGENT = 1_000_000


@dataclass(frozen=True)
class Thought:
    """A submission that is only thought of, and perhaps an agent that does not exist."""

    task_type: str
    options: ExecutionOptions
    project_id: str
    concurrency_key: str
    concurrency_limit: int
    sketch: AgentSketch | None

    @classmethod
    def of(
        cls,
        task_type: str,
        options: ExecutionOptions,
        project_id: str,
        task_id: str | None,
        sketch: AgentSketch | None,
    ) -> Thought:
        fields = option_fields(task_type, options, task_id)
        key, limit = fields.get("concurrency_key", ""), fields.get("concurrency_limit", 1)
        return cls(task_type, options, project_id, str(key), int(limit), sketch)

    def demand(self, *, pinned: bool) -> DemandClass:
        return DemandClass.of(self.task_type, self.options.agent, pinned=pinned)

    def look(self, settings: Settings, *, pinned: bool) -> Operation[Look | None]:
        """What has to be seen of the ledger for it."""
        return operations.look_for(
            self.demand(pinned=pinned).class_id,
            self.project_id,
            concurrency_key=self.concurrency_key,
            affinity_key=self.options.agent.affinity_key or "",
            head_start_ms=round(self.options.priority * settings.head_start_seconds * 1000),
            most_agents=EVERY_AGENT,
            most_waiting=self.sketch.max_concurrent if self.sketch else 0,
        )

    def suits_named(self, look: Look) -> bool:
        """Whether the pre-assigned agent, as registered or sketched, could ever serve it."""
        named, demand = self.options.agent.agent_id, self.demand(pinned=False)
        agents = self._with_sketch(look, demand).agents
        return any(seen.agent_id == named and suits(demand, self._candidate(seen)) for seen in agents)

    def simulation(self, look: Look, settings: Settings, opens: Opens, *, pinned: bool) -> Simulation:
        """What would become of it."""
        demand = self.demand(pinned=pinned)
        look = self._with_sketch(look, demand)
        shown = self._shown(look, demand)
        common: dict[str, Any] = {
            "as_of": moment_of(look),
            "candidates": tuple(view(seen, demand, look.last_agent_id, settings) for seen in shown),
            "agents_not_shown": look.agents_registered - len(shown),
        }
        held = self._held(look)
        chosen = None if held else self._chosen(look, demand, settings)
        if chosen is not None:
            by = self._way(chosen, demand, look, settings)
            return Simulation(would="start", agent_id=chosen.agent_id, by=by, **common)
        lane = None if held else lane_position(look, opens)
        return Simulation(would="wait", waiting=held or no_agent(look, demand), lane=lane, **common)

    # --- steps -------------------------------------------------------------------------------------------

    def _with_sketch(self, look: Look, demand: DemandClass) -> Look:
        """What would be seen if the agent had opened: it takes up first what waits, the first in rank."""
        if self.sketch is None:
            return look
        agent = candidate(_drawn(self.sketch, self.task_type), self.task_type)
        fit = [one for one in look.waiting if suits(DemandClass.model_validate_json(one.demand), agent)]
        taken = sorted(fit, key=lambda one: one.rank)[: self.sketch.max_concurrent]
        key = self.options.agent.affinity_key
        is_last = any((one.project_id, one.affinity_key) == (self.project_id, key) for one in taken)
        from_lane = sum(one.class_id == demand.class_id for one in taken)
        newest = max((seen.last_used for seen in look.agents), default=0) + 1
        drawn = replace(_drawn(self.sketch, self.task_type), load=len(taken), last_used=newest if taken else 0)
        ahead = max(0, look.lane_ahead - from_lane)
        return replace(
            look,
            agents=(*look.agents, drawn),
            agents_registered=look.agents_registered + 1,
            lane_ahead=ahead,
            lane_length=look.lane_length - from_lane,
            lane_near=look.lane_near[-ahead:] if ahead else (),
            last_agent_id=self.sketch.agent_id if is_last else look.last_agent_id,
        )

    def _shown(self, look: Look, demand: DemandClass) -> tuple[SeenAgent, ...]:
        """Of too many agents those that suit it; in the order of their registration."""
        if len(look.agents) <= MOST_AGENTS_SEEN:
            return look.agents
        fit = [seen for seen in look.agents if suits(demand, self._candidate(seen))]
        return tuple(fit[:MOST_AGENTS_SEEN])

    def _candidate(self, seen: SeenAgent) -> Candidate:
        return candidate(seen, self.task_type)

    def _held(self, look: Look) -> WaitingFor | None:
        """What would hold it back before any agent is looked for."""
        start_at = self.options.start_at
        if start_at is not None and (at_ms := round(start_at.timestamp() * 1000)) > look.now_ms:
            return delayed_until(at_ms, is_retry=False)
        if self.concurrency_key and look.permits_held >= self.concurrency_limit:
            return held_back(look, self.concurrency_key, self.concurrency_limit)
        return None

    def _chosen(self, look: Look, demand: DemandClass, settings: Settings) -> Candidate | None:
        agents = [self._candidate(seen) for seen in look.agents]
        last = look.last_agent_id
        free = choose(demand, self.options.agent, agents, last_agent_id=last, settings=settings)
        if free is not None or not self.options.force_start:
            return free
        awake = [one for one in agents if suits(demand, one) and one.accepts_work and reaches(demand, one)]
        return min(awake, key=lambda one: one.load, default=None)

    def _way(self, chosen: Candidate, demand: DemandClass, look: Look, settings: Settings) -> Way:
        if not is_free(demand, chosen):
            return "forced"
        if chosen.agent_id == self.options.agent.preferred_agent_id:
            return "preferred"
        agents = [self._candidate(seen) for seen in look.agents]
        if choose(demand, AgentSelectionCriteria(), agents, last_agent_id=None, settings=settings) != chosen:
            return "affinity"
        return "assigned" if demand.agent_id else "score"


def _drawn(sketch: AgentSketch, task_type: str) -> SeenAgent:
    """An agent that does not exist, as the ledger would see it: awake, idle, never used."""
    profile = {
        "task_types": sorted(sketch.task_types or {task_type}),
        "capabilities": sorted(sketch.capabilities),
        "labels": sketch.labels,
    }
    return SeenAgent(
        agent_id=sketch.agent_id,
        profile=json.dumps(profile),
        state="awake",
        accepts_work=True,
        max_concurrent=sketch.max_concurrent,
        last_used=0,
        passed_over=False,
        registered_at_ms=0,
        success_rate=None,
        load=0,
    )
