"""What if: where a submission that is only thought of would go, by the same choice as the ledger's. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from mindswarm_exec.ledger import operations
from mindswarm_exec.ledger.looks import Look, SeenAgent
from mindswarm_exec.ledger.operations import MOST_AGENTS_SEEN, Operation
from mindswarm_exec.models.explanations import AgentSketch, Simulation
from mindswarm_exec.models.options import AgentSelectionCriteria, DemandClass, ExecutionOptions
from mindswarm_exec.selection import Candidate, choose, is_free, reaches
from mindswarm_exec.service.entering import Entrant
from mindswarm_exec.service.explaining import Opens, lane_position, moment_of, view
from mindswarm_exec.service.standing import Standing, standings
from mindswarm_exec.service.submission import option_fields
from mindswarm_exec.settings import Settings

Way = Literal["preferred", "assigned", "score", "affinity", "forced"]


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

    def look(self, *, pinned: bool) -> Operation[Look | None]:
        """What has to be seen of the ledger for it."""
        demand, sketch = self.demand(pinned=pinned), self.sketch
        return operations.look_for(
            demand.class_id,
            demand.stored,
            self.project_id,
            concurrency_key=self.concurrency_key,
            affinity_key=self.options.agent.affinity_key or "",
            priority=self.options.priority,
            one_more=(0, "", "{}") if sketch is None else self._drawn(sketch),
        )

    def suits_named(self, look: Look) -> bool:
        """Whether the pre-assigned agent, as registered or sketched, could ever serve it."""
        named = self.options.agent.agent_id
        found = standings(self._with_sketch(look), self.demand(pinned=False))
        return any(one.agent.agent_id == named and one.suits for one in found)

    def simulation(self, look: Look, settings: Settings, opens: Opens, *, pinned: bool) -> Simulation:
        """What would become of it."""
        demand, look = self.demand(pinned=pinned), self._with_sketch(look)
        found = standings(look, demand)
        shown = _shown(found)
        common: dict[str, Any] = {
            "as_of": moment_of(look),
            "candidates": tuple(view(one, look, demand, look.last_agent_id, settings) for one in shown),
            "agents_not_shown": look.agents_registered - len(shown),
        }
        entrant = self._entrant(demand)
        held = tuple(entrant.at_the_door(look))
        causes = (*held, *entrant.in_its_lane(look, found))
        if causes:
            lane = None if held else lane_position(look, opens)
            return Simulation(would="wait", waiting=causes[0], then=causes[1:], lane=lane, **common)
        suitable = [one.agent for one in found if one.suits]
        chosen = self._chosen(look, demand, suitable, settings)
        by = self._way(chosen, demand, look, suitable, settings)
        return Simulation(would="start", agent_id=chosen.agent_id, by=by, **common)

    # --- steps -------------------------------------------------------------------------------------------

    def _drawn(self, sketch: AgentSketch) -> tuple[int, str, str]:
        """Slots, name and profile of the agent that does not exist."""
        profile = {
            "task_types": sorted(sketch.task_types or {self.task_type}),
            "capabilities": sorted(sketch.capabilities),
            "labels": sketch.labels,
        }
        return sketch.max_concurrent, sketch.agent_id, json.dumps(profile)

    def _with_sketch(self, look: Look) -> Look:
        """What would be seen if the agent had opened, after it took up what waits: it is awake, of no record."""
        if self.sketch is None:
            return look
        slots, name, profile = self._drawn(self.sketch)
        newest = max((seen.last_used for seen in look.agents), default=0) + 1
        drawn = SeenAgent(
            agent_id=name,
            profile=profile,
            state="awake",
            accepts_work=True,
            max_concurrent=slots,
            last_used=newest if look.taken_up else 0,
            passed_over=False,
            registered_at_ms=look.now_ms,
            lease_expires_at_ms=look.now_ms + 1,
            success_rate=None,
            load=look.taken_up,
        )
        return replace(
            look,
            agents=(*look.agents, drawn),
            agents_registered=look.agents_registered + 1,
            last_agent_id=name if look.took_affinity else look.last_agent_id,
        )

    def _entrant(self, demand: DemandClass) -> Entrant:
        options = self.options
        start = None if options.start_at_ms is None else (options.start_at_ms, False)
        return Entrant(demand, start, self.concurrency_key, self.concurrency_limit, options.force_start)

    def _chosen(
        self, look: Look, demand: DemandClass, suitable: Sequence[Candidate], settings: Settings
    ) -> Candidate:
        free = choose(demand, self.options.agent, suitable, last_agent_id=look.last_agent_id, settings=settings)
        if free is not None:
            return free
        awake = [one for one in suitable if one.accepts_work and reaches(demand, one)]
        return min(awake, key=lambda one: one.load)

    def _way(
        self, chosen: Candidate, demand: DemandClass, look: Look, suitable: Sequence[Candidate], settings: Settings
    ) -> Way:
        if not is_free(demand, chosen):
            return "forced"
        if chosen.agent_id == self.options.agent.preferred_agent_id:
            return "preferred"
        if choose(demand, AgentSelectionCriteria(), suitable, last_agent_id=None, settings=settings) != chosen:
            return "affinity"
        return "assigned" if demand.agent_id else "score"


def _shown(found: Sequence[Standing]) -> Sequence[Standing]:
    """Of too many agents those that suit it; in the order of their registration."""
    if len(found) <= MOST_AGENTS_SEEN + 1:
        return found
    return [one for one in found if one.suits][:MOST_AGENTS_SEEN]
