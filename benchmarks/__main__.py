"""Run the benchmark: `python -m benchmarks [--quick]`. Writes .bench/results.json."""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from pathlib import Path

import redis

from benchmarks import matching
from benchmarks.control_latency import CYCLES, control_rows
from benchmarks.http_paths import http_rows
from benchmarks.looking import CALLS, ENDED, WAITING, look_rows
from benchmarks.process_start import STARTS, start_milliseconds
from benchmarks.scenarios import Figures, Sizes, memory, throughput
from benchmarks.sides import Ours, PlainCelery, Side
from benchmarks.table import Row, row, show, write
from mindswarm_exec.embedded import EmbeddedServer, start_embedded

RESULTS = Path(".bench/results.json")

#: Figure, unit, and whether more of it is better.
THROUGHPUT_FIGURES = (
    ("submissions_per_second", "1/s", True),
    ("completions_per_second", "1/s", True),
    ("cpu_ms_per_execution", "ms", False),
    ("cpu_ms_client", "ms", False),
    ("cpu_ms_worker", "ms", False),
    ("cpu_ms_server", "ms", False),
    ("round_trip_p50_ms", "ms", False),
    ("round_trip_p99_ms", "ms", False),
    ("submit_to_start_p50_ms", "ms", False),
    ("submit_to_start_p99_ms", "ms", False),
)
#: Fewer waiting executions than this do not stand out from what the server's memory does by itself.
LEGIBLE = 10_000
MEMORY_FIGURES = (("bytes_waiting", "B", False), ("bytes_ended", "B", False))

Runs = dict[str, list[float]]


def compared(
    sides: tuple[Side, Side], server: EmbeddedServer, sizes: Sizes, repeats: int, *, events: bool
) -> list[Row]:
    """Both sides in turn, `repeats` times; the medians."""
    client = redis.Redis.from_url(server.url)
    found: dict[str, Runs] = {side.name: defaultdict(list) for side in sides}
    for _ in range(repeats):
        for side in sides:
            _collect(found[side.name], throughput(side, client, server.pid, sizes, events=events))
    ours, peer = (found[side.name] for side in sides)
    suffix = ", events on" if events else ""
    return [
        row(name + suffix, ours[name], peer[name], unit, more_is_better=more)
        for name, unit, more in THROUGHPUT_FIGURES
    ]


def memory_rows(sides: tuple[Side, Side], server: EmbeddedServer, sizes: Sizes) -> list[Row]:
    client = redis.Redis.from_url(server.url)
    ours, peer = (memory(side, client, sizes) for side in sides)
    return [row(name, [ours[name]], [peer[name]], unit, more_is_better=more) for name, unit, more in MEMORY_FIGURES]


def matching_rows(server: EmbeddedServer, agents: tuple[int, ...], waiting: tuple[int, ...]) -> list[Row]:
    client = redis.Redis.from_url(server.url)
    rows = [
        Row(f"decision with {count:,} agents", cost, None, "µs of server time", None)
        for count, cost in matching.by_agents(server.url, client, agents).items()
    ]
    for count, (waits, feeds, size) in matching.by_backlog(server.url, client, waiting).items():
        rows.append(Row(f"arrival behind {count:,} waiting", waits, None, "µs of server time", None))
        rows.append(Row(f"settle and feed with {count:,} waiting", feeds, None, "µs of server time", None))
        if count >= LEGIBLE:
            rows.append(Row(f"memory of one of {count:,} waiting", size, None, "B", None))
    return rows


def start_rows(starts: int) -> list[Row]:
    names = ("start of a process handler: p50", "start of a process handler: p99")
    return [Row(name, ms, None, "ms", None) for name, ms in zip(names, start_milliseconds(starts), strict=True)]


def _collect(runs: Runs, figures: Figures) -> None:
    for name, value in figures.items():
        runs[name].append(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, one repeat: does it run at all?")
    quick = parser.parse_args().quick
    sizes = Sizes(300, 30, 10) if quick else Sizes()
    repeats = 1 if quick else 3
    agents, waiting = ((10, 100), (1000,)) if quick else ((10, 100, 1000, 10_000), (1000, 100_000, 1_000_000))
    with tempfile.TemporaryDirectory() as name, start_embedded(Path(name) / "data", durable=False) as server:
        logs = Path(name)
        sides = (Ours(server.url, logs), PlainCelery(server.url, logs))
        rows = compared(sides, server, sizes, repeats, events=False)
        rows += compared(sides, server, sizes, repeats, events=True)
        rows += memory_rows(sides, server, sizes)
        rows += http_rows(server, logs, sizes)
        rows += control_rows(server.url, logs, 5 if quick else CYCLES)
        rows += start_rows(10 if quick else STARTS)
        rows += matching_rows(server, agents, waiting)
        rows += look_rows(server, logs, *((2000, 500, 10) if quick else (ENDED, WAITING, CALLS)))
    show(rows)
    write(rows, RESULTS)


if __name__ == "__main__":
    main()
