"""What one execution cost: durations and counts."""

from __future__ import annotations

from mindswarm_exec.ledger.reads import Record
from mindswarm_exec.lifecycle import PENDING, QUEUED, Status
from mindswarm_exec.models.records import ExecutionMetrics


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
