"""The API's own rows: what HTTP and WebSocket add to the path straight on the ledger. No peer has them."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

import redis

from benchmarks.processes import percentile, process, wait_until
from benchmarks.scenarios import Sizes, flush
from benchmarks.sides import Ours
from benchmarks.table import Row
from mindswarm_exec.cli.stack import free_port
from mindswarm_exec.client import ExecutionClient
from mindswarm_exec.embedded import EmbeddedServer

BATCH = 100
RUN_API = (
    "from mindswarm_exec.api.server import main; from mindswarm_exec.settings import Settings; "
    "main(Settings.from_environment())"
)


def http_rows(server: EmbeddedServer, logs: Path, sizes: Sizes) -> list[Row]:
    """Submissions one by one and in batches, and round trips whose end is awaited over the WebSocket."""
    flush(redis.Redis.from_url(server.url))
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {"MINDSWARM_REDIS_URL": server.url, "MINDSWARM_API_PORT": str(port)}
    with (
        process(["-c", RUN_API], environment, logs / "api.log"),
        Ours(server.url, logs).worker(events=False),
        ExecutionClient(url) as client,
    ):
        wait_until(lambda: _answers(f"{url}/readyz"), 30, "the API's start")
        trips = [_round_trip(client) for _ in range(sizes.round_trips)]
        singles = _rate(lambda: client.start("bench.noop", {"at": 0}), sizes.round_trips)
        batches = _rate(lambda: _batch(client), max(1, sizes.executions // BATCH // 3)) * BATCH
    return [
        Row("HTTP submissions_per_second", singles, None, "1/s", None),
        Row(f"HTTP submissions_per_second, batches of {BATCH}", batches, None, "1/s", None),
        Row("HTTP start, WebSocket result: round_trip_p50_ms", percentile(trips, 0.5), None, "ms", None),
        Row("HTTP start, WebSocket result: round_trip_p99_ms", percentile(trips, 0.99), None, "ms", None),
    ]


def _round_trip(client: ExecutionClient) -> float:
    began = time.perf_counter()
    client.start("bench.noop", {"at": time.time_ns()}).result(timeout=30)
    return (time.perf_counter() - began) * 1000


def _batch(client: ExecutionClient) -> None:
    params = {"task_type": "bench.noop", "payload": {"at": 0}}
    client.batch([("mindswarm.execution.start", params)] * BATCH)


def _rate(call: Callable[[], object], times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        call()
    return times / (time.perf_counter() - began)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False
