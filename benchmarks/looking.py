"""How long looking takes over many ended executions: `python -m benchmarks.looking [COUNT]`.

The ledger is filled with records as the scripts write them; nothing is run.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median, quantiles

import redis

from mindswarm_exec.embedded import start_embedded
from mindswarm_exec.identifiers import new_id
from mindswarm_exec.ledger.faces import SyncLedger, connect_sync
from mindswarm_exec.ledger.keys import Keys
from mindswarm_exec.service import Services, open_services
from mindswarm_exec.service.rollups import WINDOWS, roll_up_some
from mindswarm_exec.settings import Settings

COUNT = 100_000
CALLS = 30
DAY_MS = 86_400_000


def fill(client: redis.Redis, keys: Keys, count: int) -> None:
    """Executions that ended evenly over the last day, on ten agents, of five task types."""
    chance = random.Random(1)
    seconds, _ = client.time()
    pipeline = client.pipeline(transaction=False)
    for number in range(count):
        end = seconds * 1000 - DAY_MS + DAY_MS * number // count
        run, wait = (round(10 ** chance.uniform(1, 4)) for _ in range(2))
        status = chance.choice(["completed"] * 8 + ["failed", "cancelled"])
        execution_id, agent = new_id(), f"agent-{number % 10}"
        instants = (("created", end - run - wait), ("started", end - run), (status, end))
        record = {"status": status, "task_type": f"type-{number % 5}", "project_id": "default", "priority": 5}
        record |= {"seq": 3, "attempt": 1, "agent_id": agent, "payload": "{}", "created_at_ms": end - run - wait}
        record |= {"started_at_ms": end - run, "finished_at_ms": end}
        record |= {f"event:{n}": f"{at}-{n} execution.{what} {{}}" for n, (what, at) in enumerate(instants, 1)}
        pipeline.hset(keys.of("execution", execution_id), mapping=record)
        pipeline.zadd(keys.of("status", status), {execution_id: end})
        event = {"seq": 3, "type": f"execution.{status}", "project_id": "default", "task_id": ""}
        event |= {"execution_id": execution_id, "agent_id": agent, "source": f"agent:{agent}", "data": "{}"}
        pipeline.xadd(keys.of("events"), event, id=f"{end}-{number + 1}")
        if number % 1000 == 999:
            pipeline.execute()
    pipeline.execute()


async def milliseconds(call: Callable[[], Awaitable[object]]) -> tuple[float, float]:
    """Median and 95th percentile of some calls."""
    taken = []
    for _ in range(CALLS):
        began = time.perf_counter()
        await call()
        taken.append((time.perf_counter() - began) * 1000)
    return median(taken), quantiles(taken, n=20)[-1]


async def measure(services: Services) -> None:
    executions = services.executions
    for window in WINDOWS:
        for group in ("agent", "task_type"):
            p50, p95 = await milliseconds(lambda w=window, g=group: executions.get_window_metrics(w, g))
            print(f"getMetrics {window:>3} by {group:<9}  p50 {p50:6.1f} ms  p95 {p95:6.1f} ms")
    for name, asked in (
        ("newest 50", {}),
        ("failed, 50", {"status": "failed"}),
        ("one agent", {"agent_id": "agent-3"}),
    ):
        p50, p95 = await milliseconds(lambda a=asked: executions.list_history(**a))
        print(f"getHistory {name:<16}  p50 {p50:6.1f} ms  p95 {p95:6.1f} ms")


def main(count: int = COUNT) -> None:
    """Fill, roll up, measure, print."""
    with tempfile.TemporaryDirectory() as directory, start_embedded(Path(directory), durable=False) as server:
        settings = Settings(redis_url=server.url, namespace="looking")
        ledger = SyncLedger(connect_sync(server.url, settings), settings)
        fill(ledger.client, ledger.keys, count)
        began = time.perf_counter()
        while ledger.run(roll_up_some(settings)).behind:
            pass
        print(f"{count} ended executions; rolled up in {time.perf_counter() - began:.1f} s")

        async def look() -> None:
            async with open_services(server.url, settings) as services:
                await measure(services)

        asyncio.run(look())


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
