"""The spans of attempts that ended with their process: told by whoever moves them on, for nobody else can."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mindswarm_exec.ledger import reads
from mindswarm_exec.ledger.faces import SyncLedger
from mindswarm_exec.ledger.reads import Record
from mindswarm_exec.ledger.replies import LostAttempt
from mindswarm_exec.lifecycle import QUEUED
from mindswarm_exec.models.trace_context import TraceContext
from mindswarm_exec.tracing import spans_in_use

FIELDS = ("traceparent", "tracestate", "task_type", "project_id", "started_at_ms")


def traced_records(ledger: SyncLedger, lost: Sequence[LostAttempt]) -> Mapping[str, Record]:
    """What the spans of these attempts need to know, by execution, before others follow; nothing without tracing.

    An attempt that was queued and never began has no span.
    """
    began = [one.execution_id for one in lost if one.status is not QUEUED] if spans_in_use() is not None else []
    found = ledger.run_many([reads.fields(each, FIELDS) for each in began]) if began else []
    return {each: record for each, record in zip(began, found, strict=True) if "traceparent" in record}


def tell_lost(agent_id: str, one: LostAttempt, record: Record | None) -> None:
    """Make the span of a lost attempt that was just moved on; none if its execution belongs to no trace."""
    spans = spans_in_use()
    if record is None or spans is None:
        return
    from mindswarm_exec.tracing.spans import AttemptIdentity

    who = AttemptIdentity(
        one.execution_id, record["task_type"], record["project_id"], agent_id, one.number, one.nonce
    )
    parent = TraceContext(record["traceparent"], record.get("tracestate"))
    spans.lost_attempt(who, parent, int(record["started_at_ms"]))
