"""The queue at one moment: what waits, and who could take it."""

from __future__ import annotations

from collections import Counter

from mindswarm_exec.ledger import reads
from mindswarm_exec.ledger.faces import AsyncLedger
from mindswarm_exec.ledger.reads import QueueFacts
from mindswarm_exec.lifecycle import PENDING, Status
from mindswarm_exec.models.options import DemandClass
from mindswarm_exec.models.records import DepthOfClass, QueueStatus

#: Pending executions read to count those of one project that wait elsewhere than in a lane.
MOST_READ = 1000
MOST_CLASSES = 200


async def queue_status(ledger: AsyncLedger, project_id: str | None) -> QueueStatus:
    """The status of the whole queue; with `project_id`, its depth and counts of what waits are that project's."""
    facts = await ledger.run(reads.queue())
    now_ms = await ledger.run(reads.server_time_ms())
    found = await ledger.run_many([reads.agent(name) for name in await ledger.run(reads.agent_ids())])
    agents = [agent for agent in found if agent is not None]
    classes = await ledger.run_many([reads.demand_class(class_id) for class_id in facts.backlog[:MOST_CLASSES]])
    by_priority = _by_priority(facts, project_id)
    in_lanes = sum(by_priority.values())
    places = await _places(ledger, project_id)
    serving = [agent for agent in agents if agent.record["state"] != "offline"]
    return QueueStatus(
        project_id=project_id,
        by_state={status.value: count for status, count in facts.by_status.items()},
        by_priority=by_priority,
        by_class=tuple(
            DepthOfClass(
                task_type=demand.task_type,
                required_capabilities=demand.required_capabilities,
                waiting=one.waiting,
                suitable_agents=one.suitable,
                free_agents=one.available,
            )
            for one in classes
            for demand in [DemandClass.model_validate_json(one.demand)]
        ),
        waiting=in_lanes,
        delayed=places["delay"],
        held_by_concurrency=places["concurrency"],
        oldest_wait_ms=None if facts.oldest_pending_at_ms is None else max(0, now_ms - facts.oldest_pending_at_ms),
        slots_total=sum(int(agent.record["max_concurrent"]) for agent in serving),
        slots_taken=sum(len(agent.held) for agent in serving),
        agents=dict(Counter(agent.record["state"] for agent in agents)),
    )


def _by_priority(facts: QueueFacts, project_id: str | None) -> dict[str, int]:
    """Executions in lanes by priority, most urgent first."""
    depth: Counter[int] = Counter()
    for (project, priority), count in facts.depth.items():
        if project_id in (None, project):
            depth[priority] += count
    return {str(priority): depth[priority] for priority in sorted(depth, reverse=True)}


async def _places(ledger: AsyncLedger, project_id: str | None) -> Counter[str]:
    """Where pending executions wait, over the newest `MOST_READ` of them."""
    newest = await ledger.run(reads.newest(Status(PENDING), None, None, MOST_READ))
    wanted = ("place", "project_id")
    found = await ledger.run_many([reads.fields(place.execution_id, wanted) for place in newest])
    return Counter(one.get("place", "") for one in found if project_id in (None, one.get("project_id")))
