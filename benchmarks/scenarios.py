"""What is measured. Each scenario runs on one side and returns figures by name."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

import redis

from benchmarks.processes import cpu_seconds, percentile, wait_until
from benchmarks.sides import Side

Figures = dict[str, float]


@dataclass(frozen=True)
class Sizes:
    executions: int = 3000
    round_trips: int = 300
    warm_up: int = 50


def flush(server: redis.Redis) -> None:
    """Begin from an empty server: both sides share one, in turn."""
    server.flushall()
    server.script_flush()
    server.config_resetstat()


def throughput(side: Side, server: redis.Redis, server_pid: int, sizes: Sizes, *, events: bool) -> Figures:
    """Submit all from one client process while a worker with three slots works them off; then single ones."""
    flush(server)
    with side.worker(events) as worker_pid:
        client = side.client()
        for _ in range(sizes.warm_up):
            side.result(side.submit(client, {"at": time.time_ns()}))
        pids = {"client": os.getpid(), "worker": worker_pid, "server": server_pid}
        before = {name: cpu_seconds([pid]) for name, pid in pids.items()}
        began = time.perf_counter()
        for _ in range(sizes.executions):
            side.submit(client, {"at": time.time_ns()})
        submitted = time.perf_counter()
        total = sizes.executions + sizes.warm_up
        wait_until(lambda: side.ended() >= total, 120, f"{side.name}: the end of {total} executions")
        ended = time.perf_counter()
        spent = {name: cpu_seconds([pid]) - before[name] for name, pid in pids.items()}
        figures = {
            "submissions_per_second": sizes.executions / (submitted - began),
            "completions_per_second": sizes.executions / (ended - began),
            "cpu_ms_per_execution": sum(spent.values()) * 1000 / sizes.executions,
            **{f"cpu_ms_{name}": seconds * 1000 / sizes.executions for name, seconds in spent.items()},
        }
        return figures | _round_trips(side, client, sizes.round_trips)


def _round_trips(side: Side, client: object, count: int) -> Figures:
    trips, starts = [], []
    for _ in range(count):
        began = time.perf_counter()
        until_start = side.result(side.submit(client, {"at": time.time_ns()}))
        trips.append((time.perf_counter() - began) * 1000)
        starts.append(until_start / 1e6)
    return {
        "round_trip_p50_ms": percentile(trips, 0.5),
        "round_trip_p99_ms": percentile(trips, 0.99),
        "submit_to_start_p50_ms": percentile(starts, 0.5),
        "submit_to_start_p99_ms": percentile(starts, 0.99),
    }


def memory(side: Side, server: redis.Redis, sizes: Sizes) -> Figures:
    """Bytes of the server's memory for one waiting and one ended execution."""
    flush(server)
    client = side.client()
    side.submit(client, {"at": time.time_ns()})
    empty = _used(server)
    for _ in range(sizes.executions):
        side.submit(client, {"at": time.time_ns()})
    waiting = (_used(server) - empty) / sizes.executions
    with side.worker(events=False):
        wait_until(lambda: side.ended() > sizes.executions, 120, f"{side.name}: the end of what waited")
    return {"bytes_waiting": waiting, "bytes_ended": (_used(server) - empty) / sizes.executions}


def _used(server: redis.Redis) -> int:
    return int(server.info("memory")["used_memory"])
