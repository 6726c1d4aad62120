"""What one execution took: times by what they were spent on, and what its attempts used."""

from __future__ import annotations

from collections.abc import Sequence

from mindswarm_exec.ledger.reads import Record
from mindswarm_exec.lifecycle import Status
from mindswarm_exec.models.records import PAUSES, ExecutionMetrics
from mindswarm_exec.service.records import history_entries, meters_of
from mindswarm_exec.service.spans import lives_of
from mindswarm_exec.service.waited import waited_by_cause

#: What an attempt has used, as its agent told when it settled.
Used = dict[str, float]


def of_execution(execution_id: str, fields: Record, now_ms: int) -> ExecutionMetrics:
    """What one execution took; a clock that still runs is read at `now_ms`. Pure."""
    entries = history_entries(fields)
    waited = waited_by_cause(fields, now_ms)
    ran = [life.running_ms for life in lives_of(entries, now_ms) if life.running_ms is not None]
    end_ms = int(fields.get("finished_at_ms", now_ms))
    told = [entry.data["used"] for entry in entries if "used" in entry.data]
    used = [{name: float(str(amount)) for name, amount in each.items()} for each in told if isinstance(each, dict)]
    return ExecutionMetrics(
        execution_id=execution_id,
        status=Status(fields["status"]),
        attempts=int(fields.get("attempt", 0)),
        failed_attempts=int(fields.get("failed_attempts", 0)),
        lost_attempts=int(fields.get("lost_attempts", 0)),
        waiting_ms=sum(ms for cause, ms in waited.items() if cause not in PAUSES),
        waited_ms=waited,
        running_ms=sum(ran) if ran else None,
        total_ms=max(0, end_ms - int(fields["created_at_ms"])),
        progress=float(fields.get("progress_fraction", 0)),
        cpu_ms=_sum(used, "cpu_ms"),
        peak_rss_mb=max((each["peak_rss_mb"] for each in used if "peak_rss_mb" in each), default=None),
        output_bytes=_sum(used, "output_bytes") or 0,
        meters=meters_of(fields),
    )


def _sum(used: Sequence[Used], name: str) -> int | None:
    amounts = [each[name] for each in used if name in each]
    return round(sum(amounts)) if amounts else None
