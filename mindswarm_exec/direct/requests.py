"""What callers of DirectClient pass, checked as the API checks it: there is no wire between that would."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from mindswarm_exec.errors import InvalidRequest
from mindswarm_exec.models.explanations import SimulateRequest
from mindswarm_exec.models.options import DEFAULT_OPTIONS, Budgets, ExecutionOptions
from mindswarm_exec.models.trace_context import TraceContext, Traceparent, Tracestate
from mindswarm_exec.models.validation import invalid_request
from mindswarm_exec.service.bulk import Criteria
from mindswarm_exec.service.control import RetryFrom

T = TypeVar("T")
Options = ExecutionOptions | Mapping[str, Any]

_budgets: TypeAdapter[dict[str, float]] = TypeAdapter(Budgets)
_criteria: TypeAdapter[Criteria] = TypeAdapter(Criteria)
_traceparent: TypeAdapter[str] = TypeAdapter(Traceparent)
_tracestate: TypeAdapter[str] = TypeAdapter(Tracestate)
_retry_from: TypeAdapter[RetryFrom] = TypeAdapter(RetryFrom)


def checked(kind: TypeAdapter[T], value: object, what: str) -> T:
    """The value as a `kind`. Raises InvalidRequest if it is none."""
    try:
        return kind.validate_python(value)
    except ValidationError as error:
        raise invalid_request(error, what) from None


def options_of(given: Options | None, more: Mapping[str, Any]) -> ExecutionOptions:
    """The options, those given by keyword over the others."""
    if isinstance(given, ExecutionOptions) and not more:
        return given
    if not given and not more:
        return DEFAULT_OPTIONS
    base = given.model_dump(exclude_unset=True) if isinstance(given, ExecutionOptions) else dict(given or {})
    try:
        return ExecutionOptions.model_validate({**base, **more})
    except ValidationError as error:
        raise invalid_request(error, "options", ExecutionOptions) from None


def simulation_of(options: ExecutionOptions, named: Mapping[str, Any]) -> SimulateRequest:
    """The submission that is thought of, and perhaps the agent. What is None is left to the task or the defaults."""
    given = {name: value for name, value in named.items() if value is not None}
    try:
        return SimulateRequest.model_validate({**given, "options": options})
    except ValidationError as error:
        raise invalid_request(error, "simulate") from None


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


def criteria_of(filters: Mapping[str, Any]) -> Criteria:
    return checked(_criteria, dict(filters), "filters")


def retry_params(options: Options | None, start_from: RetryFrom | None) -> dict[str, Any]:
    """How executions are to be retried, as the service takes it."""
    begin = checked(_retry_from, start_from or "checkpoint", "start_from")
    return {"options": None if options is None else options_of(options, {}), "start_from": begin}
