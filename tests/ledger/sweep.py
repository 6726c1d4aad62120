"""A sweep, as the scheduler makes it: what is due, the choice for each, one operation a choice."""

from __future__ import annotations

from mindswarm_exec.ledger import operations
from mindswarm_exec.ledger.operations import Operation, Settlement
from mindswarm_exec.ledger.replies import Due, DueExecution
from mindswarm_exec.lifecycle import PENDING, QUEUED, RUNNING, TIME_OUT, AttemptFacts, OutcomeKind, after
from mindswarm_exec.models.options import ExecutionOptions


def operation_for(found: DueExecution, now_ms: int) -> Operation[object] | None:
    """What to do about one execution that is past a deadline; None if the next sweep sees it again."""

    def is_due(at_ms: int | None) -> bool:
        return at_ms is not None and at_ms <= now_ms

    if found.status in (PENDING, QUEUED) and is_due(found.queue_timeout_at_ms):
        how = Settlement(TIME_OUT, guard=("queue_timeout_at_ms", str(found.queue_timeout_at_ms)))
        return operations.settle(found, found.agent_id, "sweep", how, {})
    if found.status is PENDING and is_due(found.eligible_at_ms):
        return operations.admit(found.execution_id)
    if found.status is QUEUED and is_due(found.delivery_at_ms):
        return operations.redeliver(found.execution_id, found.nonce)
    if found.status is RUNNING and is_due(found.timeout_at_ms):
        return _enforce(found, OutcomeKind.TIMED_OUT, "timeout_at_ms", found.timeout_at_ms)
    if found.status is RUNNING and is_due(found.stall_at_ms):
        return _enforce(found, OutcomeKind.STALLED, "stall_at_ms", found.stall_at_ms)
    return None


def _enforce(found: DueExecution, kind: OutcomeKind, field: str, at_ms: int | None) -> Operation[object]:
    """End a running attempt whose agent lives and did not: its code goes on, so the slot stays taken."""
    policy = ExecutionOptions.model_validate_json(found.options).retry_policy
    choice = after(kind, AttemptFacts(policy, found.failed_attempts), lambda: 0.0)
    how = Settlement(
        choice.move,
        slot="keep",
        outcome="0",
        counter="failed_attempts",
        delay_ms=choice.delay_ms,
        guard=(field, str(at_ms)),
    )
    return operations.settle(found, found.agent_id, "sweep", how, {})


def zombie_of(found: DueExecution) -> tuple[str, str, str]:
    return found.agent_id, f"{found.execution_id}.{found.number}", found.nonce


def operations_for(due: Due) -> list[tuple[DueExecution, Operation[object]]]:
    chosen = [(found, operation_for(found, due.now_ms)) for found in due.executions]
    return [(found, operation) for found, operation in chosen if operation is not None]
