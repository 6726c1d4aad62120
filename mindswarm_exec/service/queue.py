"""The queue at one moment: what waits, how fast it moves, and who could take it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from mindswarm_exec.ledger import reads
from mindswarm_exec.ledger.faces import AsyncLedger
from mindswarm_exec.ledger.reads import ClassFacts, QueueFacts, Record
from mindswarm_exec.lifecycle import PENDING, Status
from mindswarm_exec.models.options import DemandClass
from mindswarm_exec.models.records import DepthOfClass, QueueStatus

MOST_CLASSES = 200
#: Of all that wait the longest are looked at, to find the longest wait of each class.
MOST_OLDEST = 200
MINUTE_MS = 60_000
#: Rates are over this many minutes, the present one among them.
RATE_MINUTES = 5


@dataclass(frozen=True, slots=True)
class Pace:
    """What is known of the classes that wait: since when, and how many came and went."""

    now_ms: int
    since_ms: Mapping[str, int]
    flow: Mapping[str, int]

    def per_minute(self, class_id: str, way: str) -> float:
        minutes = RATE_MINUTES - 1 + self.now_ms % MINUTE_MS / MINUTE_MS
        return round(self.flow.get(f"{class_id} {way}", 0) / minutes, 2)

    def waited_ms(self, class_id: str) -> int | None:
        since_ms = self.since_ms.get(class_id)
        return None if since_ms is None else max(0, self.now_ms - since_ms)


async def queue_status(ledger: AsyncLedger, project_id: str | None) -> QueueStatus:
    """The status of the whole queue; with `project_id`, its depth and counts of what waits are that project's.

    What it costs grows with agents and demand classes, not with the backlog.
    """
    facts = await ledger.run(reads.queue())
    found = await ledger.run_many([reads.agent(name) for name in await ledger.run(reads.agent_ids())])
    agents = [agent for agent in found if agent is not None]
    classes = await ledger.run_many([reads.demand_class(class_id) for class_id in facts.backlog[:MOST_CLASSES]])
    pace = await _pace(ledger, classes)
    by_priority = _by_priority(facts, project_id)
    serving = [agent for agent in agents if agent.record["state"] != "offline"]
    oldest_at_ms = facts.oldest_pending_at_ms
    return QueueStatus(
        project_id=project_id,
        by_state={status.value: count for status, count in facts.by_status.items()},
        by_priority=by_priority,
        by_class=tuple(depth_of(one, pace) for one in classes),
        waiting=sum(by_priority.values()),
        delayed=_elsewhere(facts, project_id, "delay"),
        held_by_concurrency=_elsewhere(facts, project_id, "concurrency"),
        oldest_wait_ms=None if oldest_at_ms is None else max(0, pace.now_ms - oldest_at_ms),
        slots_total=sum(int(agent.record["max_concurrent"]) for agent in serving),
        slots_taken=sum(len(agent.held) for agent in serving),
        agents=dict(Counter(agent.record["state"] for agent in agents)),
    )


def depth_of(one: ClassFacts, pace: Pace) -> DepthOfClass:
    """What waits in a class, and for how long still."""
    demand = DemandClass.model_validate_json(one.demand)
    served = pace.per_minute(one.class_id, "out")
    return DepthOfClass(
        task_type=demand.task_type,
        required_capabilities=demand.required_capabilities,
        waiting=one.waiting,
        suitable_agents=one.suitable,
        free_agents=one.available,
        oldest_wait_ms=pace.waited_ms(one.class_id) if one.waiting else None,
        arrivals_per_minute=pace.per_minute(one.class_id, "in"),
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


async def _pace(ledger: AsyncLedger, classes: list[ClassFacts]) -> Pace:
    now_ms = await ledger.run(reads.server_time_ms())
    minute_ms = now_ms - now_ms % MINUTE_MS
    flow = await ledger.run(reads.flow([minute_ms - n * MINUTE_MS for n in range(RATE_MINUTES)]))
    return Pace(now_ms, await _waiting_since(ledger, classes), flow)


async def _waiting_since(ledger: AsyncLedger, classes: list[ClassFacts]) -> dict[str, int]:
    """By class: since when the one in its lane waits that is among the longest of all; else the first in line."""
    longest = await ledger.run(reads.oldest(Status(PENDING), None, None, MOST_OLDEST)) if classes else []
    names = ("class_id", "place")
    records = await ledger.run_many([reads.fields(place.execution_id, names) for place in longest])
    since: dict[str, int] = {}
    for place, fields in zip(longest, records, strict=True):
        if fields.get("place") == "lane":
            since.setdefault(fields["class_id"], place.at_ms)
    others = [one for one in classes if one.head is not None and one.class_id not in since]
    instants = ("created_at_ms", "retried_at_ms")
    heads = await ledger.run_many([reads.fields(one.head or "", instants) for one in others])
    return since | {one.class_id: _began_ms(fields) for one, fields in zip(others, heads, strict=True) if fields}


def _began_ms(fields: Record) -> int:
    return int(fields.get("retried_at_ms") or fields["created_at_ms"])
