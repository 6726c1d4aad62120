"""A ledger with a past and a backlog: executions that have ended, and others that wait. Nothing is run."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass

from redis.client import Pipeline

from mindswarm_exec.identifiers import new_id, new_nonce
from mindswarm_exec.ledger import operations
from mindswarm_exec.ledger.faces import SyncLedger
from mindswarm_exec.models.options import ExecutionOptions
from mindswarm_exec.service.submission import start_operation

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
#: By how much the past is grouped.
TASK_TYPES, AGENTS, PROJECTS = 200, 50, 5
#: Agents that are there, and their slots.
PRESENT, SLOTS = 100, 3
#: Of what has ended, the share that did in the last day; the rest did in an hour of each of the 29 days before.
RECENT = 0.8
PIPELINE = 500


@dataclass(frozen=True)
class Backlog:
    """Ids of executions: given to an agent, and waiting for one."""

    placed: list[str]
    waiting: list[str]


def end_many(ledger: SyncLedger, count: int) -> None:
    """Executions that have ended, with records and events as the scripts write them, the earliest first."""
    chance = random.Random(1)
    seconds, _ = ledger.client.time()
    for first in range(0, count, PIPELINE):
        pipeline = ledger.client.pipeline(transaction=False)
        for number in range(first, min(first + PIPELINE, count)):
            _end(ledger, pipeline, chance, number, _instant(number / count, seconds * 1000))
        pipeline.execute()


def _instant(share: float, now_ms: int) -> int:
    """When the execution at that share of all ended."""
    if share >= 1 - RECENT:
        return round(now_ms - DAY_MS + DAY_MS * (share - 1 + RECENT) / RECENT)
    day, part = divmod(29 * share / (1 - RECENT), 1)
    return round(now_ms - (30 - day) * DAY_MS + part * HOUR_MS)


def _end(ledger: SyncLedger, pipeline: Pipeline, chance: random.Random, number: int, end_ms: int) -> None:
    keys, execution_id = ledger.keys, new_id()
    ran_ms, waited_ms = (round(10 ** chance.uniform(1, 4)) for _ in range(2))
    status = chance.choice(["completed"] * 8 + ["failed", "cancelled"])
    agent_id, project_id = f"past-{chance.randrange(AGENTS)}", f"project-{number % PROJECTS}"
    created_ms, started_ms = end_ms - ran_ms - waited_ms, end_ms - ran_ms
    record = {"status": status, "task_type": f"type-{chance.randrange(TASK_TYPES)}", "project_id": project_id}
    record |= {"priority": 5, "seq": 3, "attempt": 1, "agent_id": agent_id, "payload": "{}"}
    record |= {"created_at_ms": created_ms, "started_at_ms": started_ms, "finished_at_ms": end_ms}
    instants = (("created", created_ms), ("started", started_ms), (status, end_ms))
    record |= {f"event:{n}": f"{at}-{n} execution.{what} {{}}" for n, (what, at) in enumerate(instants, 1)}
    event = {"seq": 3, "type": f"execution.{status}", "project_id": project_id, "task_id": ""}
    event |= {"execution_id": execution_id, "agent_id": agent_id, "source": f"agent:{agent_id}", "data": "{}"}
    pipeline.hset(keys.of("execution", execution_id), mapping=record)
    pipeline.zadd(keys.of("status", status), {execution_id: end_ms})
    pipeline.xadd(keys.of("events"), event, id=f"{end_ms}-{number + 1}")


def wait_many(ledger: SyncLedger, count: int) -> Backlog:
    """Agents whose slots are all taken, and executions of every priority that wait for them."""
    profile = json.dumps({"task_types": ["bench.look"], "capabilities": ["python"], "labels": {"region": "eu"}})
    for number in range(PRESENT):
        name, incarnation = f"agent-{number}", new_nonce()
        ledger.run(operations.register(name, incarnation, profile, {"max_concurrent": SLOTS, "handlers": "{}"}))
        ledger.run(operations.set_agent_state(name, incarnation, "awake", accepts_work=True))
    ids = [new_id() for _ in range(count + PRESENT * SLOTS)]
    for first in range(0, len(ids), PIPELINE):
        starts = [
            start_operation(one, "bench.look", "{}", ExecutionOptions(priority=random.randrange(10)),
                            project_id="default")
            for one in ids[first : first + PIPELINE]
        ]  # fmt: skip
        ledger.run_many(starts)
    return Backlog(ids[: PRESENT * SLOTS], ids[PRESENT * SLOTS :])
