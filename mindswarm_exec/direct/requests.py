"""What callers of DirectClient pass, checked as the API checks it: there is no wire between that would."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from mindswarm_exec.errors import InvalidRequest
from mindswarm_exec.identifiers import ExecutionId, Name
from mindswarm_exec.models import params
from mindswarm_exec.models.explanations import SimulateRequest
from mindswarm_exec.models.options import DEFAULT_OPTIONS, Budgets, ExecutionOptions, IdempotencyKey
from mindswarm_exec.models.params import RetryFrom
from mindswarm_exec.models.trace_context import TraceContext, Traceparent, Tracestate
from mindswarm_exec.models.validation import invalid_request

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)
Options = ExecutionOptions | Mapping[str, Any]

_budgets: TypeAdapter[dict[str, float]] = TypeAdapter(Budgets)
_execution_id: TypeAdapter[str | None] = TypeAdapter(ExecutionId | None)
_idempotency_key: TypeAdapter[str | None] = TypeAdapter(IdempotencyKey | None)
_name: TypeAdapter[str] = TypeAdapter(Name)
_traceparent: TypeAdapter[str] = TypeAdapter(Traceparent)
_tracestate: TypeAdapter[str] = TypeAdapter(Tracestate)
_reason: TypeAdapter[str] = TypeAdapter(params.Reason)
_retry_from: TypeAdapter[RetryFrom] = TypeAdapter(RetryFrom)


def checked(kind: TypeAdapter[T], value: object, what: str) -> T:
    """The value as a `kind`. Raises InvalidRequest if it is none."""
    try:
        return kind.validate_python(value)
    except ValidationError as error:
        raise invalid_request(error, what) from None


def asked(model: type[M], given: Mapping[str, Any], what: str) -> M:
    """The params of a method. Raises InvalidRequest if the API would refuse them."""
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        raise invalid_request(error, what, model) from None


def said(**fields: Any) -> dict[str, Any]:
    """What is not None: the rest is left to the defaults."""
    return {name: value for name, value in fields.items() if value is not None}


def options_of(given: Options | None, more: Mapping[str, Any]) -> ExecutionOptions:
    """The options, those given by keyword over the others."""
    if isinstance(given, ExecutionOptions) and not more:
        return given
    if not given and not more:
        return DEFAULT_OPTIONS
    base = given.model_dump(exclude_unset=True) if isinstance(given, ExecutionOptions) else dict(given or {})
    return asked(ExecutionOptions, {**base, **more}, "options")


def simulation_of(options: ExecutionOptions, named: Mapping[str, Any]) -> SimulateRequest:
    """The submission that is thought of, and perhaps the agent. What is None is left to the task or the defaults."""
    return asked(SimulateRequest, {**said(**named), "options": options}, "simulate")


def trace_of(traceparent: str | None, tracestate: str | None) -> TraceContext | None:
    """The span to go on from, if one is named. Raises InvalidRequest if that is none."""
    if traceparent is None and tracestate is None:
        return None
    if traceparent is None:
        raise InvalidRequest("a tracestate goes with a traceparent; give both, or neither.", field="tracestate")
    state = None if tracestate is None else checked(_tracestate, tracestate, "tracestate")
    return TraceContext.of(checked(_traceparent, traceparent, "traceparent"), state)


def budgets_of(meters: Mapping[str, float] | None) -> dict[str, float]:
    return checked(_budgets, dict(meters or {}), "meters")


def page_of(filters: params.ExecutionFilter) -> dict[str, Any]:
    """The executions that are asked for, as the service takes it."""
    return {"limit": filters.limit, "cursor": filters.cursor, **filters.criteria}


def check_names(
    task_type: str,
    project_id: str,
    parent_id: str | None = None,
    idempotency_key: str | None = None,
) -> None:
    """Refuse hostile names before they become names of keys."""
    checked(_name, task_type, "task_type")
    checked(_name, project_id, "project_id")
    checked(_execution_id, parent_id, "parent_id")
    checked(_idempotency_key, idempotency_key, "idempotency_key")


def reason_of(reason: str) -> str:
    return checked(_reason, reason, "reason")


def retry_params(options: Options | None, start_from: RetryFrom | None) -> dict[str, Any]:
    """How executions are to be retried, as the service takes it."""
    begin = checked(_retry_from, start_from or "checkpoint", "start_from")
    return {"options": None if options is None else options_of(options, {}), "start_from": begin}
