"""The spans of executions, in the words of OpenTelemetry. Imported only where a process traces.

Neither payloads nor results nor what a handler's error says are in any attribute.

Source: https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/ for names that begin with `messaging`;
a task type is the destination, an execution the message, an agent the client.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
)

from mindswarm_exec.errors import MindSwarmError
from mindswarm_exec.models.trace_context import TraceContext

SCOPE = "mindswarm_exec"
#: The id that the span made next is to have, for the generator of ids of `process`.
chosen_span_id: ContextVar[int | None] = ContextVar("chosen_span_id", default=None)

Attributes = dict[str, str | int | bool]


class AttemptIdentity(NamedTuple):
    """What the spans of one attempt are named by."""

    execution_id: str
    task_type: str
    project_id: str
    agent_id: str
    number: int
    nonce: str

    @property
    def span_id(self) -> int:
        """The id of its span, so that whoever finds the attempt lost makes the span that its children lie under.

        Nothing of the nonce, which is a secret, can be read off it.
        """
        return int.from_bytes(hashlib.sha256(self.nonce.encode()).digest()[:8], "big") or 1


class AttemptSpan:
    """The span of one attempt, while it runs. Safe between threads; `end` counts once."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self._stopped_at_ns: int | None = None
        self.context = context_of(span)

    @contextmanager
    def current(self) -> Iterator[None]:
        """What this thread does, and tasks that it starts, lies under the span until the block ends."""
        try:
            with trace.use_span(self._span, record_exception=False, set_status_on_exception=False):
                yield
        finally:
            self._stopped_at_ns = time.time_ns()

    def note(self, event: str) -> None:
        """Something happened to the attempt: a wish reached it, it was frozen."""
        if self._span.is_recording():
            self._span.add_event(event)

    def end(self, outcome: str, error_type: str = "", *, is_failure: bool = False) -> None:
        """End the span, as of the end of its `current` block. `error_type` is the class or kind of what ended it."""
        if not self._span.is_recording():  # it has ended, or nobody keeps it
            return
        self._span.set_attribute("mindswarm.outcome", outcome)
        if error_type:
            self._span.set_attribute("error.type", error_type)
        if is_failure:
            self._span.set_status(Status(StatusCode.ERROR, outcome))
        self._span.end(self._stopped_at_ns)


class ExecutionSpans:
    """Makes spans with the tracer provider of this process."""

    def __init__(self) -> None:
        self._tracer = trace.get_tracer(SCOPE)

    # --- the door ----------------------------------------------------------------------------------------

    @contextmanager
    def submission(
        self,
        task_type: str,
        execution_id: str | None,
        count: int,
        given: TraceContext | None,
        otherwise: TraceContext | None,
    ) -> Iterator[TraceContext | None]:
        """As `tracing.submitting`."""
        attributes = _of_task_type(task_type, "submit", "send")
        if execution_id is not None:
            attributes["messaging.message.id"] = execution_id
        if count > 1:
            attributes["messaging.batch.message_count"] = count
        with self._tracer.start_as_current_span(
            f"submit {task_type}",
            _parent(given, otherwise),
            SpanKind.PRODUCER,
            attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield context_of(span) or given or otherwise
            except MindSwarmError as error:
                span.set_attribute("error.type", type(error).__name__)
                span.set_status(Status(StatusCode.ERROR))
                raise

    def note_existing(self, execution_id: str, earlier: TraceContext | None) -> None:
        """As `tracing.note_existing`."""
        span = trace.get_current_span()
        span.set_attribute("messaging.message.id", execution_id)
        span.set_attribute("mindswarm.existing", True)
        if earlier is not None:
            span.add_link(_span_context(earlier))

    def current(self) -> TraceContext | None:
        """The span that the caller is in."""
        return context_of(trace.get_current_span())

    # --- attempts ----------------------------------------------------------------------------------------

    def attempt(self, who: AttemptIdentity, parent: TraceContext | None, waited_ms: int) -> AttemptSpan:
        """Begin the span of an attempt that was just claimed, after a span of the wait for it."""
        now_ns = time.time_ns()
        if parent is not None:
            waited_from_ns = now_ns - waited_ms * 1_000_000
            self._tracer.start_span(
                f"wait {who.task_type}", _remote(parent), attributes=_of_attempt(who), start_time=waited_from_ns
            ).end(now_ns)
        return AttemptSpan(self._begin(who, parent, now_ns))

    def lost_attempt(self, who: AttemptIdentity, parent: TraceContext, started_at_ms: int) -> None:
        """The span of an attempt whose process is gone with what it knew of it."""
        span = AttemptSpan(self._begin(who, parent, started_at_ms * 1_000_000))
        span.end("agent_lost", "agent_lost", is_failure=True)

    def _begin(self, who: AttemptIdentity, parent: TraceContext | None, at_ns: int) -> Span:
        attributes = _of_attempt(who) | _of_task_type(who.task_type, "run", "process")
        chosen = chosen_span_id.set(who.span_id)
        try:
            return self._tracer.start_span(
                f"run {who.task_type}",
                _remote(parent) if parent is not None else Context(),
                SpanKind.CONSUMER,
                attributes,
                start_time=at_ns,
            )
        finally:
            chosen_span_id.reset(chosen)


def context_of(span: Span) -> TraceContext | None:
    """The span as others go on from it; None if there is none."""
    found = span.get_span_context()
    if not found.is_valid:
        return None
    traceparent = f"00-{found.trace_id:032x}-{found.span_id:016x}-{found.trace_flags & 0x03:02x}"
    return TraceContext(traceparent, found.trace_state.to_header() or None)


def _parent(given: TraceContext | None, otherwise: TraceContext | None) -> Context | None:
    """The context of a new span: what is given, the current one, what came with the request; None: the current."""
    if given is not None:
        return _remote(given)
    if otherwise is not None and not trace.get_current_span().get_span_context().is_valid:
        return _remote(otherwise)
    return None


def _remote(parent: TraceContext) -> Context:
    return trace.set_span_in_context(NonRecordingSpan(_span_context(parent)), Context())


def _span_context(of: TraceContext) -> SpanContext:
    _, trace_id, span_id, flags = of.traceparent.split("-")
    state = TraceState.from_header([of.tracestate]) if of.tracestate else None
    return SpanContext(int(trace_id, 16), int(span_id, 16), True, TraceFlags(int(flags, 16)), state)


def _of_task_type(task_type: str, operation: str, kind: str) -> Attributes:
    return {
        "messaging.system": "mindswarm",
        "messaging.destination.name": task_type,
        "messaging.operation.name": operation,
        "messaging.operation.type": kind,
    }


def _of_attempt(who: AttemptIdentity) -> Attributes:
    return {
        "messaging.message.id": who.execution_id,
        "messaging.client.id": who.agent_id,
        "mindswarm.project_id": who.project_id,
        "mindswarm.attempt": who.number,
    }
