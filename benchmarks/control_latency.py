"""How soon a control takes effect on a running handler: from the call to the event that says it is so.

python -m benchmarks.control_latency
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from benchmarks.processes import percentile, process, wait_until
from benchmarks.table import Row, show
from mindswarm_exec import Agent, ExecutionContext, SyncExecutionContext
from mindswarm_exec.direct import DirectClient
from mindswarm_exec.embedded import start_embedded
from mindswarm_exec.ledger.keys import Keys
from mindswarm_exec.settings import Settings

#: Between two safe points of the handlers.
STEP_SECONDS = 0.01
CYCLES, COMPANIONS = 40, 50
KINDS = ("async", "thread", "process")

agent = Agent("control", max_concurrent=COMPANIONS + 4)


@agent.task("control.async")
async def steps_async(ctx: ExecutionContext) -> None:
    while True:
        await asyncio.sleep(STEP_SECONDS)
        await ctx.checkpoint({})


@agent.task("control.thread")
def steps_thread(ctx: SyncExecutionContext) -> None:
    while True:
        time.sleep(STEP_SECONDS)
        ctx.checkpoint({})


@agent.task("control.process", isolation="process")
def work_in_process(ctx: SyncExecutionContext) -> None:
    """No safe points: it is frozen in place, and let go on."""
    while True:
        time.sleep(STEP_SECONDS)


@agent.task("control.companion")
async def keep_company(ctx: ExecutionContext) -> None:
    while True:
        await asyncio.sleep(1.0)
        await ctx.progress(0.5, "still here")


class Effects:
    """The events of the ledger as they are published, and the time each took since a call."""

    def __init__(self, server: redis.Redis, keys: Keys) -> None:
        self._listener = server.pubsub(ignore_subscribe_messages=True)
        self._listener.subscribe(keys.of("events"))
        self._listener.get_message(timeout=1.0)

    def after(self, call: Callable[[], Any], execution_id: str, event_type: str) -> float:
        """Milliseconds from the call to the event."""
        began = time.perf_counter()
        call()
        self.wait(execution_id, event_type)
        return (time.perf_counter() - began) * 1000

    def wait(self, execution_id: str, event_type: str) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            message = self._listener.get_message(timeout=1.0)
            if message and execution_id.encode() in message["data"] and event_type.encode() in message["data"]:
                return
        raise TimeoutError(f"no {event_type} of {execution_id}")


def latencies(client: DirectClient, effects: Effects, kind: str, cycles: int) -> dict[str, list[float]]:
    """Pause, resume and cancel one execution of the kind after another."""
    found: dict[str, list[float]] = {"pause": [], "resume": [], "cancel": []}
    for _ in range(cycles):
        handle = client.start(f"control.{kind}", None)
        id = handle.execution_id
        effects.wait(id, "execution.started")
        time.sleep(2 * STEP_SECONDS)  # into its work
        found["pause"].append(effects.after(handle.pause, id, "execution.paused"))
        back = "execution.resumed" if kind == "process" else "execution.started"
        found["resume"].append(effects.after(handle.resume, id, back))
        time.sleep(2 * STEP_SECONDS)
        found["cancel"].append(effects.after(handle.cancel, id, "execution.cancelled"))
    return found


@contextmanager
def company(client: DirectClient, effects: Effects, count: int) -> Iterator[None]:
    """`count` other executions run meanwhile."""
    handles = [client.start("control.companion", None) for _ in range(count)]
    if handles:
        effects.wait(handles[-1].execution_id, "execution.started")
    yield
    for handle in handles:
        handle.cancel(force=True)


def control_rows(url: str, logs: Path, cycles: int = CYCLES) -> list[Row]:
    """p50 and p99 for each verb and kind, at rest and among others."""
    keys, server = Keys("mindswarm"), redis.Redis.from_url(url)
    server.flushdb()
    environment = {"MINDSWARM_REDIS_URL": url, "MINDSWARM_AGENT": "benchmarks.control_latency:agent"}
    options = ["-m", "celery", "-A", "workers.agent", "worker", "--loglevel=WARNING"]
    options += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    rows = []
    with process(options, environment, logs / "control.log"), DirectClient(url, Settings()) as client:
        record = keys.of("agent", "control")
        wait_until(lambda: server.hget(record, "accepts_work") == b"1", 30, "the agent's start")
        client.agents()  # its first call opens connections; that is not what is measured
        effects = Effects(server, keys)
        for among, count in (("at rest", 0), (f"among {COMPANIONS}", COMPANIONS)):
            with company(client, effects, count):
                for kind in KINDS:
                    for verb, found in latencies(client, effects, kind, cycles).items():
                        for name, share in (("p50", 0.5), ("p99", 0.99)):
                            row = f"{verb} of a running {kind} handler, {among}: {name}"
                            rows.append(Row(row, percentile(found, share), None, "ms", None))
    return rows


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name, start_embedded(Path(name) / "data", durable=False) as server:
        show(control_rows(server.url, Path(name)))
