"""From what a submitter asks to what the ledger stores. Pure; shared by the service and the direct client."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from pydantic import JsonValue
from pydantic_core import from_json, to_json

from mindswarm_exec.errors import InvalidRequest, PayloadTooLarge
from mindswarm_exec.ledger import operations
from mindswarm_exec.ledger.answers import Started
from mindswarm_exec.ledger.operations import Operation
from mindswarm_exec.models.options import DemandClass, ExecutionOptions
from mindswarm_exec.models.trace_context import TraceContext
from mindswarm_exec.service.actors import event_data

#: The record does not keep a limit of lost attempts that is the default.
DEFAULT_MAX_LOST_ATTEMPTS = int(ExecutionOptions.model_fields["max_lost_attempts"].default)


def stored_json(value: JsonValue, what: str, limit_bytes: int) -> str:
    """`value` as JSON text.

    Raises:
        PayloadTooLarge: it is longer than `limit_bytes` in UTF-8.
        InvalidRequest: it is no JSON, or none that could be read again: half a surrogate pair, a number of
            thousands of digits, hundreds of levels of nesting.
    """
    try:
        encoded = to_json(value, inf_nan_mode="null")
        from_json(encoded)
    except ValueError as error:
        raise InvalidRequest(
            f"{what} cannot be kept as JSON: {_reason(error)}. Change it, or wrap it in text."
        ) from None
    if len(encoded) > limit_bytes:
        raise PayloadTooLarge.of(what, len(encoded), limit_bytes)
    return encoded.decode()


def _reason(error: ValueError) -> str:
    """Why, without a word of the value."""
    text = str(error)
    if "recursion" in text or "Circular" in text:
        return "it is nested too deep"
    return (
        "a number in it has too many digits" if "out of range" in text else "it holds what is no JSON or no Unicode"
    )


def start_operation(
    execution_id: str,
    task_type: str,
    payload_json: str,
    options: ExecutionOptions,
    *,
    project_id: str,
    task_id: str | None = None,
    parent_id: str | None = None,
    idempotency_key: str | None = None,
    trace: TraceContext | None = None,
) -> Operation[Started]:
    """The ledger operation that submits one execution."""
    fields: dict[str, str | int | float] = {
        "task_type": task_type,
        "project_id": project_id,
        "payload": payload_json,
        **option_fields(task_type, options, task_id),
    }
    if task_id:
        fields["task_id"] = task_id
    if parent_id:
        fields["parent_id"] = parent_id
    if idempotency_key:
        fields["idempotency_key"] = idempotency_key
    if trace:
        fields.update(trace.headers)
    pinned = pinned_class(task_type, options)
    return operations.start(execution_id, fields, start_at_ms=options.start_at_ms, pinned=pinned, data=event_data())


def pinned_class(task_type: str, options: ExecutionOptions) -> tuple[str, str, str]:
    """(agent id, class id, demand) of the pre-assigned agent, or three empty strings."""
    if options.agent.agent_id is None:
        return "", "", ""
    demand = DemandClass.of(task_type, options.agent)
    return options.agent.agent_id, demand.class_id, demand.stored


def option_fields(task_type: str, options: ExecutionOptions, task_id: str | None) -> dict[str, str | int | float]:
    """The fields of the record that follow from the options. Those at their defaults are left out."""
    class_id, demand = _unpinned_class(task_type, options)
    fields: dict[str, str | int | float] = {
        "priority": options.priority,
        "class_id": class_id,
        "options": options.stored,
    }
    if demand:
        fields["demand"] = demand
    bounds = (
        ("timeout", options.run_seconds),
        ("queue_timeout", options.queue_timeout_seconds),
        ("stall_timeout", options.stall_timeout_seconds),
    )
    for name, seconds in bounds:
        if seconds is not None:
            fields[f"{name}_ms"] = max(1, round(seconds * 1000))
    if key := _concurrency_key(task_type, options, task_id):
        fields["concurrency_key"] = key
        fields["concurrency_limit"] = 1 if not options.allow_parallel else options.concurrency_limit
    if options.agent.preferred_agent_id:
        fields["preferred_agent_id"] = options.agent.preferred_agent_id
    if options.agent.affinity_key:
        fields["affinity_key"] = options.agent.affinity_key
    if options.force_start:
        fields["force_start"] = 1
    if options.max_lost_attempts != DEFAULT_MAX_LOST_ATTEMPTS:
        fields["max_lost_attempts"] = options.max_lost_attempts
    return fields | budget_fields(options.resource_limits.meters)


def budget_fields(meters: Mapping[str, float]) -> dict[str, str | int | float]:
    """The fields of the record that limit what an execution and its children may spend."""
    return {f"budget:{meter}": limit for meter, limit in meters.items()}


def _unpinned_class(task_type: str, options: ExecutionOptions) -> tuple[str, str]:
    if not options.agent.model_fields_set:
        return _plain_class(task_type), ""
    demand = DemandClass.of(task_type, options.agent, pinned=False)
    return demand.class_id, demand.stored


@lru_cache(maxsize=4096)
def _plain_class(task_type: str) -> str:
    return DemandClass(task_type=task_type).class_id


def _concurrency_key(task_type: str, options: ExecutionOptions, task_id: str | None) -> str | None:
    """`allow_parallel=false` is a concurrency key of its own: the task's, or without one the task type's."""
    if options.allow_parallel:
        return options.concurrency_key
    return f"task:{task_id}" if task_id else f"task_type:{task_type}"
