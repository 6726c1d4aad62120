"""The queue at one moment: what waits, how fast it moves, and who could take it."""

from __future__ import annotations

from collections import Counter

from mindswarm_exec.ledger import operations
from mindswarm_exec.ledger.faces import AsyncLedger
from mindswarm_exec.ledger.queue_facts import ClassFacts, QueueFacts
from mindswarm_exec.models.options import DemandClass
from mindswarm_exec.models.records import DepthOfClass, QueueStatus

MOST_CLASSES = 200
#: Of all that wait the longest are looked at, to find the longest wait of each class.
MOST_OLDEST = 200
MINUTE_MS = 60_000
#: Rates are over this many minutes, the present one among them.
RATE_MINUTES = 5


async def queue_status(ledger: AsyncLedger, project_id: str | None) -> QueueStatus:
    """The status of the whole queue; with `project_id`, its depth and counts of what waits are that project's.

    One look of the server, whose cost grows with agents and demand classes, not with the backlog.
    """
    facts = await ledger.run(operations.look_at_queue(MOST_CLASSES, MOST_OLDEST, RATE_MINUTES))
    by_priority = _by_priority(facts, project_id)
    longest_since_ms = facts.longest_since_ms
    return QueueStatus(
        project_id=project_id,
        by_state={status.value: count for status, count in facts.by_status.items()},
        by_priority=by_priority,
        by_class=tuple(depth_of(one, facts.now_ms) for one in facts.classes),
        waiting=sum(by_priority.values()),
        delayed=_elsewhere(facts, project_id, "delay"),
        held_by_concurrency=_elsewhere(facts, project_id, "concurrency"),
        oldest_wait_ms=None if longest_since_ms is None else max(0, facts.now_ms - longest_since_ms),
        slots_total=facts.slots,
        slots_taken=facts.slots_taken,
        agents=facts.agents,
    )


def depth_of(one: ClassFacts, now_ms: int) -> DepthOfClass:
    """What waits in a class, and for how long still."""
    demand = DemandClass.model_validate_json(one.demand)
    served = _per_minute(one.went, now_ms)
    waits = one.waiting and one.since_ms is not None
    return DepthOfClass(
        task_type=demand.task_type,
        required_capabilities=demand.required_capabilities,
        needs=demand.needs,
        waiting=one.waiting,
        suitable_agents=one.suitable,
        free_agents=one.available,
        oldest_wait_ms=max(0, now_ms - (one.since_ms or 0)) if waits else None,
        arrivals_per_minute=_per_minute(one.came, now_ms),
        services_per_minute=served,
        predicted_start_seconds=round(60 / served, 1) if served and one.waiting and one.suitable else None,
    )


# --- steps -----------------------------------------------------------------------------------------------


def _by_priority(facts: QueueFacts, project_id: str | None) -> dict[str, int]:
    """Executions in lanes by priority, most urgent first."""
    depth: Counter[int] = Counter()
    for (project, priority), count in facts.depth.items():
        if project_id in (None, project):
            depth[priority] += count
    return {str(priority): depth[priority] for priority in sorted(depth, reverse=True)}


def _elsewhere(facts: QueueFacts, project_id: str | None, wanted: str) -> int:
    """Pending executions that wait in a place other than a lane."""
    counted = facts.elsewhere.items()
    return sum(count for (project, place), count in counted if place == wanted and project_id in (None, project))


def _per_minute(number: int, now_ms: int) -> float:
    minutes = RATE_MINUTES - 1 + now_ms % MINUTE_MS / MINUTE_MS
    return round(number / minutes, 2)
