"""The figures of the benchmark that the first page tells, from the page that has all of them."""

from __future__ import annotations

from pathlib import Path

from docs.rendering.cells import table

BENCHMARKS = Path(__file__).parents[2] / "benchmarks" / "README.md"
#: Rows of the benchmark, those where we are worse too, and what they are called here.
TOLD = {
    "submissions_per_second": "submissions a second",
    "completions_per_second": "completions a second",
    "cpu_ms_per_execution": "CPU for each: client, worker and server",
    "round_trip_p50_ms": "from submission to result, median",
    "submit_to_start_p99_ms": "from submission to start, 99 of 100",
    "bytes_ended": "memory of one that has ended",
    "HTTP submissions_per_second": "submissions a second over HTTP, one by one",
}


def figures() -> str:
    """What was measured beside plain Celery. Raises KeyError for a row that the benchmark does not have."""
    measured = {cells[0]: cells[1:] for cells in _rows(BENCHMARKS.read_text(encoding="utf-8"))}
    rows = []
    for row, told in TOLD.items():
        ours, peer, unit = measured[row][:3]
        rows.append((told, _with(ours, unit), _with(peer, unit)))
    return table(("", "MindSwarm Exec", "plain Celery"), rows)


def _rows(page: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip()[1:-1].split("|")] for line in page.splitlines() if line[:1] == "|"]


def _with(figure: str, unit: str) -> str:
    return f"{figure} {unit}" if figure and unit != "1/s" else figure
