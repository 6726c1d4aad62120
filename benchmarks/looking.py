"""How long looking takes with much behind it: metrics, history, explanations, simulations, the status of the queue.

python -m benchmarks.looking
"""

from __future__ import annotations

import asyncio
import gc
import random
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import redis

from benchmarks.filling import Backlog, end_many, wait_many
from benchmarks.processes import percentile
from benchmarks.table import Row, show
from mindswarm_exec.archive.store import Archive
from mindswarm_exec.embedded import EmbeddedServer, start_embedded
from mindswarm_exec.ledger import operations
from mindswarm_exec.ledger.faces import SyncLedger, connect_sync
from mindswarm_exec.models.explanations import SimulateRequest
from mindswarm_exec.service import Services, open_services
from mindswarm_exec.service.folding import GROUPS
from mindswarm_exec.service.rollups import roll_up_some
from mindswarm_exec.settings import Settings
from scheduler.archiving import Archiver
from scheduler.rollups import Roller

ENDED, WAITING = 100_000, 10_000
CALLS, COLD_CALLS = 200, 40
WINDOWS = ("24h", "30d")
#: What ended before that is in the archive.
KEPT = timedelta(hours=22)

Call = Callable[[Services], Awaitable[object]]


def look_rows(
    server: EmbeddedServer, directory: Path, ended: int = ENDED, waiting: int = WAITING, calls: int = CALLS
) -> list[Row]:
    """p50 and p99 by the caller's clock, one call after another, with so many ended and waiting executions."""
    redis.Redis.from_url(server.url).flushall()
    settings = Settings(
        redis_url=server.url,
        lease_seconds=3600,
        retention_seconds=KEPT.total_seconds(),
        archive_url=f"sqlite:///{directory / 'looked-at.db'}",
    )
    ledger = SyncLedger(connect_sync(server.url, settings), settings)
    end_many(ledger, ended)
    _roll_up(ledger, settings)
    _archive(ledger, settings)
    backlog = wait_many(ledger, waiting)
    ledger.close()
    return asyncio.run(_measure(server.url, settings, backlog, calls))


def _roll_up(ledger: SyncLedger, settings: Settings) -> None:
    while ledger.run(roll_up_some(settings)).behind:
        pass
    Roller(ledger).roll_up()


def _archive(ledger: SyncLedger, settings: Settings) -> None:
    """Move what has outlived its retention, as the ticks do."""
    archive = Archive(settings.archive_url or "", settings.namespace)
    archiver = Archiver(ledger, archive)
    while archiver.copy_due():
        pass
    while ledger.run(operations.forget(round(settings.retention_seconds * 1000), 1000, 200_000, only_archived=True)):
        pass
    archive.close()


async def _measure(url: str, settings: Settings, backlog: Backlog, calls: int) -> list[Row]:
    rows = []
    gc.collect()
    gc.freeze()  # as the API's process does when it begins
    for window in WINDOWS:
        for group in GROUPS:
            call = _metrics(window, group)
            cold = [await _cold(url, settings, call) for _ in range(min(calls, COLD_CALLS))]
            rows += _rows(f"getMetrics {window} by {group}, a process's first", cold)
    async with open_services(url, settings) as services:
        for name, call in _calls(backlog, await _deep_cursor(services)):
            await call(services)
            rows += _rows(name, [await _milliseconds(call, services) for _ in range(calls)])
    return rows


def _calls(backlog: Backlog, deep: str | None) -> Iterator[tuple[str, Call]]:
    for window in WINDOWS:
        for group in GROUPS:
            yield f"getMetrics {window} by {group}", _metrics(window, group)
    at_the_edge = datetime.now(UTC) - KEPT + timedelta(seconds=20)
    thought = SimulateRequest(task_type="bench.look")
    yield "getHistory, newest 50", lambda on: on.executions.list_history()
    yield "getHistory, newest 50 failed", lambda on: on.executions.list_history(status="failed")
    yield "getHistory, 50 of one agent", lambda on: on.executions.list_history(agent_id="past-3")
    yield "getHistory, 50 from a deep cursor", lambda on: on.executions.list_history(cursor=deep)
    yield "getHistory, 50 across the archive", lambda on: on.executions.list_history(until=at_the_edge)
    yield "explain of one that waits", lambda on: on.executions.explain(random.choice(backlog.waiting))
    yield "explain of one that is placed", lambda on: on.executions.explain(random.choice(backlog.placed))
    yield "simulate", lambda on: on.executions.simulate(thought)
    yield "getQueueStatus", lambda on: on.executions.get_queue_status()


def _metrics(window: str, group: str) -> Call:
    return lambda on: on.executions.get_window_metrics(window, group)


async def _deep_cursor(services: Services) -> str | None:
    """A cursor in the middle of what the ledger has."""
    middle = datetime.now(UTC) - KEPT / 2
    return (await services.executions.list_history(until=middle)).next_cursor


async def _cold(url: str, settings: Settings, call: Call) -> float:
    """As the first call of a process: with nothing known and no connection open."""
    async with open_services(url, settings) as services:
        return await _milliseconds(call, services)


async def _milliseconds(call: Call, services: Services) -> float:
    began = time.perf_counter()
    await call(services)
    return (time.perf_counter() - began) * 1000


def _rows(name: str, took: list[float]) -> list[Row]:
    shares = (("p50", 0.5), ("p99", 0.99))
    return [Row(f"{name}: {label}", percentile(took, share), None, "ms", None) for label, share in shares]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name, start_embedded(Path(name) / "data", durable=False) as server:
        show(look_rows(server, Path(name)))
