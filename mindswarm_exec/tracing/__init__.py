"""OpenTelemetry traces: a span where an execution is submitted, one for each of its waits, one for each attempt.

A process traces when it has a tracer provider: its own (`process.start_tracing`, for ours) or that of the program
around it. Without one nothing of OpenTelemetry is imported, and the trace context of a submitter is only handed on.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from mindswarm_exec.models.trace_context import TraceContext

if TYPE_CHECKING:
    from mindswarm_exec.tracing.spans import ExecutionSpans


def provider_in_use() -> Any | None:
    """The tracer provider of this process, if it has one."""
    api = sys.modules.get("opentelemetry.trace")  # redis-py imports it by itself where the SDK is installed
    provider = api.get_tracer_provider() if api is not None else None
    return None if api is None or isinstance(provider, api.ProxyTracerProvider) else provider


def spans_in_use() -> ExecutionSpans | None:
    """What makes spans in this process; None where it has no tracer provider."""
    if provider_in_use() is None:
        return None
    from mindswarm_exec.tracing.spans import ExecutionSpans  # imports OpenTelemetry

    return ExecutionSpans()


def submitting(
    task_type: str,
    execution_id: str | None = None,
    *,
    count: int = 1,
    given: TraceContext | None = None,
    otherwise: TraceContext | None = None,
) -> AbstractContextManager[TraceContext | None]:
    """A span around a submission, as a context; its value is what the record is to keep.

    The span goes on from what is `given`, or else from the current span, or else from what came with the request.
    Of several executions submitted at once, `count` of them, it is the one span.
    """
    spans = spans_in_use()
    if spans is None:
        return nullcontext(given or otherwise)
    return spans.submission(task_type, execution_id, count, given, otherwise)


def note_existing(execution_id: str, trace: TraceContext | None = None) -> None:
    """Within `submitting`: nothing was submitted, for its idempotency key is that of this earlier execution."""
    spans = spans_in_use()
    if spans is not None:
        spans.note_existing(execution_id, trace)


def trace_headers() -> dict[str, str]:
    """The headers that say to a server which span a request is made in; none outside of a span."""
    spans = spans_in_use()
    current = spans.current() if spans is not None else None
    return current.headers if current is not None else {}
