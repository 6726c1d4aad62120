"""What if: where a submission that is only thought of would go, by the same choice as the ledger's. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from mindswarm_exec.ledger import operations
from mindswarm_exec.ledger.looks import Look, SeenAgent
from mindswarm_exec.ledger.operations import Operation
from mindswarm_exec.models.explanations import AgentSketch, CandidateView, Simulation
from mindswarm_exec.models.options import DemandClass, ExecutionOptions
from mindswarm_exec.models.records import WaitingFor
from mindswarm_exec.selection import Candidate, choose, reaches, suits
from mindswarm_exec.service.explaining import lane_position, moment_of, view
from mindswarm_exec.service.submission import option_fields
from mindswarm_exec.service.waiting import candidate, delayed_until, held_back, no_agent
from mindswarm_exec.settings import Settings

Way = Literal["preferred", "assigned", "score", "affinity", "forced"]


@dataclass(frozen=True)
class Thought:
    """A submission that is only thought of, and perhaps an agent that does not exist."""

    task_type: str
    options: ExecutionOptions
    concurrency_key: str
    concurrency_limit: int
    sketch: AgentSketch | None

    @classmethod
    def of(
        cls, task_type: str, options: ExecutionOptions, task_id: str | None, sketch: AgentSketch | None
    ) -> Thought:
        fields = option_fields(task_type, options, task_id)
        key, limit = fields.get("concurrency_key", ""), fields.get("concurrency_limit", 1)
        return cls(task_type, options, str(key), int(limit), sketch)

    def demand(self, *, pinned: bool) -> DemandClass:
        return DemandClass.of(self.task_type, self.options.agent, pinned=pinned)

    def look(self, project_id: str, settings: Settings, *, pinned: bool) -> Operation[Look | None]:
        """What has to be seen of the ledger for it."""
        return operations.look_for(
            self.demand(pinned=pinned).class_id,
            project_id,
            concurrency_key=self.concurrency_key,
            affinity_key=self.options.agent.affinity_key or "",
            head_start_ms=round(self.options.priority * settings.head_start_seconds * 1000),
        )

    def suits(self, look: Look, agent_id: str) -> bool:
        """Whether an agent, as registered or sketched, could ever serve it."""
        demand = self.demand(pinned=False)
        return any(seen.agent_id == agent_id and suits(demand, self._candidate(seen)) for seen in self._agents(look))

    def simulation(self, look: Look, settings: Settings, *, pinned: bool) -> Simulation:
        """What would become of it."""
        demand = self.demand(pinned=pinned)
        shown = tuple(view(seen, demand, look.last_agent_id, settings) for seen in self._agents(look))
        common: dict[str, Any] = {
            "as_of": moment_of(look),
            "candidates": shown,
            "agents_not_shown": look.agents_registered - len(look.agents),
        }
        held = self._held(look)
        chosen = None if held else self._chosen(look, demand, settings)
        if chosen is not None:
            by = self._way(chosen, demand, look, shown)
            return Simulation(would="start", agent_id=chosen.agent_id, by=by, **common)
        waiting = held or no_agent(look, demand)
        return Simulation(would="wait", waiting=waiting, lane=None if held else lane_position(look), **common)

    # --- steps -------------------------------------------------------------------------------------------

    def _agents(self, look: Look) -> tuple[SeenAgent, ...]:
        return look.agents if self.sketch is None else (*look.agents, _drawn(self.sketch, self.task_type))

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
        agents = [self._candidate(seen) for seen in self._agents(look)]
        last = look.last_agent_id
        free = choose(demand, self.options.agent, agents, last_agent_id=last, settings=settings)
        if free is not None or not self.options.force_start:
            return free
        awake = [one for one in agents if suits(demand, one) and one.accepts_work and reaches(demand, one)]
        return min(awake, key=lambda one: one.load, default=None)

    def _way(self, chosen: Candidate, demand: DemandClass, look: Look, shown: tuple[CandidateView, ...]) -> Way:
        free = [
            (one.score - one.terms.affinity, one.agent_id) for one in shown if one.score is not None and one.terms
        ]
        if chosen.agent_id not in {agent_id for _, agent_id in free}:
            return "forced"
        if chosen.agent_id == self.options.agent.preferred_agent_id:
            return "preferred"
        if chosen.agent_id == look.last_agent_id and max(free)[1] != chosen.agent_id:
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
