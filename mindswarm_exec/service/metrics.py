"""What executions cost: durations and counts, of one and of a window."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from statistics import fmean

from mindswarm_exec.errors import InvalidRequest
from mindswarm_exec.ledger import reads
from mindswarm_exec.ledger.faces import AsyncLedger
from mindswarm_exec.ledger.reads import Record
from mindswarm_exec.lifecycle import COMPLETED, PENDING, QUEUED, TERMINAL, Status
from mindswarm_exec.models.records import ExecutionMetrics, MetricGroup, MetricWindow

WINDOWS_MS = {"5m": 300_000, "1h": 3_600_000, "24h": 86_400_000}
GROUPS: dict[str, Callable[[Record], str]] = {
    "agent": lambda fields: fields.get("agent_id", ""),
    "task_type": lambda fields: fields["task_type"],
    "project": lambda fields: fields["project_id"],
    "status": lambda fields: fields["status"],
}
#: Ended executions read for one window; more of them are left out and `truncated` says so.
MOST_READ = 20_000
READ = ("status", "agent_id", "task_type", "project_id", "created_at_ms", "started_at_ms", "finished_at_ms")


def of_execution(execution_id: str, fields: Record, now_ms: int) -> ExecutionMetrics:
    """Measured durations of one execution; a clock that still runs is read at `now_ms`. Pure."""
    status = Status(fields["status"])
    began = int(fields.get("retried_at_ms") or fields["created_at_ms"])
    finished = int(fields["finished_at_ms"]) if "finished_at_ms" in fields else None
    waits = status in (PENDING, QUEUED)
    started = int(fields["started_at_ms"]) if "started_at_ms" in fields and not waits else None
    end = finished if finished is not None else now_ms
    return ExecutionMetrics(
        execution_id=execution_id,
        status=status,
        attempts=int(fields.get("attempt", 0)),
        failed_attempts=int(fields.get("failed_attempts", 0)),
        lost_attempts=int(fields.get("lost_attempts", 0)),
        waiting_ms=max(0, (started if started is not None else end) - began),
        running_ms=None if started is None else max(0, end - started),
        total_ms=max(0, end - int(fields["created_at_ms"])),
        progress=float(fields.get("progress_fraction", 0)),
    )


async def of_window(ledger: AsyncLedger, window: str, group_by: str) -> MetricWindow:
    """What ended within the window, grouped.

    Raises:
        InvalidRequest: the window or the grouping is none of those offered.
    """
    if window not in WINDOWS_MS or group_by not in GROUPS:
        raise InvalidRequest(
            f"window is one of {', '.join(WINDOWS_MS)} and group_by one of {', '.join(GROUPS)}.",
            allowed={"window": list(WINDOWS_MS), "group_by": list(GROUPS)},
        )
    since = await ledger.run(reads.server_time_ms()) - WINDOWS_MS[window]
    asked = [reads.newest(status, None, since, MOST_READ) for status in sorted(TERMINAL)]
    places = [place for found in await ledger.run_many(asked) for place in found]
    ended = await ledger.run_many([reads.fields(place.execution_id, READ) for place in places[:MOST_READ]])
    return MetricWindow(
        window=window,
        group_by=group_by,
        groups=_grouped((fields for fields in ended if fields), GROUPS[group_by]),
        truncated=len(places) > MOST_READ,
    )


def _grouped(ended: Iterable[Record], key: Callable[[Record], str]) -> tuple[MetricGroup, ...]:
    groups: dict[str, list[Record]] = defaultdict(list)
    for fields in ended:
        groups[key(fields)].append(fields)
    return tuple(_group(name, groups[name]) for name in sorted(groups))


def _group(name: str, ended: list[Record]) -> MetricGroup:
    counts = {status: sum(fields["status"] == status for fields in ended) for status in TERMINAL}
    judged = len(ended) - counts[Status.CANCELLED]
    return MetricGroup(
        key=name,
        count=len(ended),
        completed=counts[Status.COMPLETED],
        failed=counts[Status.FAILED],
        cancelled=counts[Status.CANCELLED],
        timed_out=counts[Status.TIMED_OUT],
        success_rate=counts[COMPLETED] / judged if judged else None,
        mean_waiting_ms=_mean(ended, "created_at_ms", "started_at_ms"),
        mean_running_ms=_mean(ended, "started_at_ms", "finished_at_ms"),
    )


def _mean(ended: list[Record], begin: str, end: str) -> float | None:
    spans = [int(fields[end]) - int(fields[begin]) for fields in ended if begin in fields and end in fields]
    return fmean(spans) if spans else None
