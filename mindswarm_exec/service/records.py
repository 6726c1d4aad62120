"""From the ledger's fields to the records of the wire. Pure."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import JsonValue

from mindswarm_exec.identifiers import execution_of
from mindswarm_exec.ledger.reads import AgentFacts, Record
from mindswarm_exec.lifecycle import Status
from mindswarm_exec.models.options import ExecutionOptions
from mindswarm_exec.models.records import (
    AgentRecord,
    Execution,
    Failure,
    HistoryEntry,
    Meter,
    Progress,
    Question,
    Receipt,
    Task,
    WaitingFor,
    instant,
)
from mindswarm_exec.service.noted import chosen

PauseReason = Literal["requested", "input_required", "budget"]


def _json(text: str | None) -> Any:
    return None if text is None else json.loads(text)


def execution_record(execution_id: str, fields: Record, waiting_for: WaitingFor | None = None) -> Execution:
    """The wire record of an execution."""
    options = ExecutionOptions.model_validate_json(fields.get("options") or "{}")
    created_at = instant(fields["created_at_ms"])
    assert created_at is not None
    return Execution(
        execution_id=execution_id,
        status=Status(fields["status"]),
        task_type=fields["task_type"],
        task_id=fields.get("task_id"),
        parent_id=fields.get("parent_id"),
        project_id=fields["project_id"],
        agent_id=fields.get("agent_id"),
        attempt=int(fields.get("attempt", 0)),
        failed_attempts=int(fields.get("failed_attempts", 0)),
        lost_attempts=int(fields.get("lost_attempts", 0)),
        priority=int(fields["priority"]),
        progress=_progress(fields),
        intent=_receipt(fields),
        pause_reason=_pause_reason(fields),
        is_frozen="frozen" in fields,
        question=pending_question(fields),
        meters=meters_of(fields),
        waiting_for=waiting_for,
        payload=_json(fields.get("payload")),
        result=_json(fields.get("result")),
        error=_failure(fields),
        checkpoint=_json(fields.get("checkpoint")),
        options=options,
        decision=decision(fields.get("decision")),
        tags=options.tags,
        traceparent=fields.get("traceparent"),
        tracestate=fields.get("tracestate"),
        created_at=created_at,
        queued_at=instant(fields.get("queued_at_ms")),
        started_at=instant(fields.get("started_at_ms")),
        finished_at=instant(fields.get("finished_at_ms")),
    )


def decision(stored: str | None) -> dict[str, JsonValue] | None:
    """How the agent was chosen, in short: `explain` tells of the others too."""
    return None if stored is None else chosen(stored).model_dump(mode="json")


def _progress(fields: Record) -> Progress:
    done = fields["status"] == Status.COMPLETED
    fraction = 1.0 if done else float(fields.get("progress_fraction", 0))
    return Progress(fraction=fraction, message=fields.get("progress_message", ""))


def _failure(fields: Record) -> Failure | None:
    if not fields.get("error"):
        return None
    failure = Failure.model_validate_json(fields["error"])
    if failure.kind == "cancelled_by" and fields.get("intent_reason"):
        return failure.model_copy(update={"message": fields["intent_reason"]})
    return failure


def _receipt(fields: Record) -> Receipt | None:
    requested_at = instant(fields.get("intent_requested_at_ms"))
    if not fields.get("intent_kind") or requested_at is None:
        return None
    return Receipt(
        kind="cancel" if fields["intent_kind"] == "cancel" else "pause",
        reason=fields.get("intent_reason", ""),
        requested_at=requested_at,
        acknowledged_at=instant(fields.get("intent_acknowledged_at_ms")),
        checkpoint_id=fields.get("intent_checkpoint_id"),
        slot_released_at=instant(fields.get("intent_slot_released_at_ms")),
        overdue_at=instant(fields.get("intent_overdue_at_ms")),
        unresponsive="intent_unresponsive" in fields,
    )


def _pause_reason(fields: Record) -> PauseReason | None:
    if fields["status"] != Status.PAUSED:
        return None
    if "question" in fields:
        return "input_required"
    return "budget" if fields.get("pause_reason") == "budget" else "requested"


def meters_of(fields: Record) -> dict[str, Meter]:
    """Every meter that was spent on or has a budget, by name."""
    names = {name.partition(":")[2] for name in fields if name.startswith(("meter:", "budget:"))}
    return {name: _meter(fields.get(f"meter:{name}"), fields.get(f"budget:{name}")) for name in sorted(names)}


def _meter(spent: str | None, limit: str | None) -> Meter:
    return Meter(spent=float(spent or 0), limit=None if limit is None else float(limit))


def pending_question(fields: Record) -> Question | None:
    """The question that an execution waits on."""
    stored = fields.get("question")
    return Question.model_validate_json(stored) if stored else None


def history_entries(fields: Record) -> tuple[HistoryEntry, ...]:
    """The moves and wishes in an execution's record, oldest first."""
    entries = []
    for name, value in fields.items():
        if name.startswith("event:"):
            event_id, event_type, data = value.split(" ", 2)
            at = instant(event_id.partition("-")[0])
            assert at is not None
            entries.append(
                HistoryEntry(
                    event_id=event_id, seq=int(name[6:]), event_type=event_type, timestamp=at, data=json.loads(data)
                )
            )
    return tuple(sorted(entries, key=lambda entry: entry.seq))


def agent_record(facts: AgentFacts) -> AgentRecord:
    """The wire record of an agent."""
    record = facts.record
    profile = json.loads(record["profile"])
    return AgentRecord.model_validate(
        {
            "agent_id": facts.agent_id,
            "state": record["state"],
            "task_types": json.loads(record.get("handlers", "{}")),
            "capabilities": tuple(profile["capabilities"]),
            "labels": profile["labels"],
            "max_concurrent": int(record["max_concurrent"]),
            "load": len(facts.held),
            "held": tuple(sorted({execution_of(attempt) for attempt in facts.held})),
            "success_rates": {name: float(rate) for name, rate in facts.success.items()},
            "incarnation": record.get("incarnation", ""),
            "registered_at": instant(record.get("registered_at_ms")),
            "lease_expires_at": instant(record.get("lease_expires_at_ms")),
        }
    )


def task_record(task_id: str, fields: Record) -> Task:
    """The wire record of a task."""
    created_at, updated_at = instant(fields["created_at_ms"]), instant(fields["updated_at_ms"])
    assert created_at is not None
    assert updated_at is not None
    return Task(
        task_id=task_id,
        title=fields["title"],
        description=fields.get("description", ""),
        project_id=fields["project_id"],
        assignee=fields.get("assignee") or None,
        status=fields["status"],
        task_type=fields.get("task_type") or None,
        payload=_json(fields.get("payload")),
        execution_id=fields.get("execution_id"),
        created_at=created_at,
        updated_at=updated_at,
    )
