"""What an explanation costs with a long backlog: 10,000 waiting executions and 100 agents, by the caller's clock."""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory

from mindswarm_exec.embedded import start_embedded
from mindswarm_exec.identifiers import new_id, new_nonce
from mindswarm_exec.ledger import operations
from mindswarm_exec.ledger.faces import AsyncLedger, SyncLedger, connect_async, connect_sync
from mindswarm_exec.models.explanations import SimulateRequest
from mindswarm_exec.models.options import ExecutionOptions
from mindswarm_exec.service.executions import ExecutionService
from mindswarm_exec.service.submission import start_operation
from mindswarm_exec.settings import Settings

WAITING = 10_000
AGENTS = 100
SLOTS = 3
CALLS = 1000
PIPELINE = 500


def fill(url: str, settings: Settings) -> list[str]:
    """Agents that are busy, and executions that wait for them; their ids."""
    ledger = SyncLedger(connect_sync(url, settings), settings)
    profile = json.dumps({"task_types": ["bench.explain"], "capabilities": ["python"], "labels": {"region": "eu"}})
    for number in range(AGENTS):
        name, incarnation = f"agent-{number}", new_nonce()
        ledger.run(operations.register(name, incarnation, profile, {"max_concurrent": SLOTS, "handlers": "{}"}))
        ledger.run(operations.set_agent_state(name, incarnation, "awake", accepts_work=True))
    ids = [new_id() for _ in range(WAITING + AGENTS * SLOTS)]
    for first in range(0, len(ids), PIPELINE):
        chunk = ids[first : first + PIPELINE]
        ledger.run_many([
            start_operation(one, "bench.explain", "{}", ExecutionOptions(priority=random.randrange(10)),
                            project_id="default")
            for one in chunk
        ])  # fmt: skip
    ledger.close()
    return ids[AGENTS * SLOTS :]


async def measure(url: str, settings: Settings, waiting: list[str]) -> dict[str, list[float]]:
    """Milliseconds of each call, one after another."""
    client = connect_async(url, settings)
    service = ExecutionService(AsyncLedger(client, settings), settings)
    took: dict[str, list[float]] = {"explain": [], "simulate": [], "getQueueStatus": []}
    thought = SimulateRequest(task_type="bench.explain")
    for execution_id in random.choices(waiting, k=CALLS):
        for name, call in (
            ("explain", service.explain(execution_id)),
            ("simulate", service.simulate(thought)),
            ("getQueueStatus", service.get_queue_status()),
        ):
            began = time.perf_counter()
            await call
            took[name].append((time.perf_counter() - began) * 1000)
    await client.aclose()
    return took


def main() -> None:

    settings = Settings.from_environment({"MINDSWARM_LEASE_SECONDS": "3600"})
    with TemporaryDirectory() as directory, start_embedded(Path(directory), durable=False) as server:
        waiting = fill(server.url, settings)
        took = asyncio.run(measure(server.url, settings, waiting))
    sys.stdout.write(f"{WAITING} waiting executions, {AGENTS} agents, {CALLS} calls of each\n")
    for name, times in took.items():
        cuts = quantiles(times, n=100)
        sys.stdout.write(f"{name:>16}  p50 {cuts[49]:6.2f} ms   p99 {cuts[98]:6.2f} ms\n")


if __name__ == "__main__":
    main()
