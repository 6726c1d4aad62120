"""Spans as a tracing system would see them, wherever they were caught."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.util._once import Once

from mindswarm_exec.tracing.ids import AttemptIds
from tests.eventually import eventually


@dataclass(frozen=True)
class SeenSpan:
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: str
    is_error: bool
    attributes: dict[str, Any]
    events: list[str]
    links: list[str]
    start_ns: int
    end_ns: int
    resource: dict[str, Any] = field(default_factory=dict)
    message: str = ""

    @property
    def traceparent(self) -> str:
        """How others go on from it; sampled, from ids that are random."""
        return f"00-{self.trace_id}-{self.span_id}-03"


class SeenSpans(ABC):
    """All that were seen so far, in the order of their ends."""

    @abstractmethod
    def all(self) -> list[SeenSpan]: ...

    def of(self, trace_id: str) -> list[SeenSpan]:
        return [span for span in self.all() if span.trace_id == trace_id]

    def named(self, name: str, *, of: str) -> list[SeenSpan]:
        return [span for span in self.of(of) if span.name == name]

    def await_named(self, name: str, *, of: str, count: int = 1) -> list[SeenSpan]:
        """Wait for this many spans of a trace by this name; they come with the end of what they tell of."""

        def check() -> list[SeenSpan]:
            found = self.named(name, of=of)
            assert len(found) == count, sorted(span.name for span in self.of(of))
            return sorted(found, key=lambda span: span.start_ns)

        return eventually(check, 30_000)

    def await_one(self, name: str, *, of: str) -> SeenSpan:
        return self.await_named(name, of=of)[0]


class ProgramSpans(SeenSpans):
    """The spans of a tracer provider of the test's own process."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(id_generator=AttemptIds(), shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    def all(self) -> list[SeenSpan]:
        return [_of_the_sdk(span) for span in self._exporter.get_finished_spans()]


@contextmanager
def traced_program() -> Iterator[ProgramSpans]:
    """Until the block ends, this process has a tracer provider, as a program that uses the engine may have one."""
    seen = ProgramSpans()
    trace.set_tracer_provider(seen.provider)
    try:
        yield seen
    finally:
        # OpenTelemetry lets a process set its provider once; its own tests take it back in the same way
        trace._TRACER_PROVIDER, trace._TRACER_PROVIDER_SET_ONCE = None, Once()


class Collector(SeenSpans):
    """A collector of traces on loopback, which takes OTLP over HTTP."""

    def __init__(self) -> None:
        self._spans: list[SeenSpan] = []
        self.bodies: list[bytes] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self._take))
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, name="collector", daemon=True).start()

    def all(self) -> list[SeenSpan]:
        return list(self._spans)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _take(self, body: bytes) -> None:
        self.bodies.append(body)
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = _plain(group.resource.attributes)
            self._spans += [_of_otlp(span, resource) for scope in group.scope_spans for span in scope.spans]


def _handler(take: Any) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            take(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    return Handler


def _of_the_sdk(span: ReadableSpan) -> SeenSpan:
    return SeenSpan(
        name=span.name,
        trace_id=f"{span.context.trace_id:032x}",
        span_id=f"{span.context.span_id:016x}",
        parent_id=f"{span.parent.span_id:016x}" if span.parent else "",
        kind=span.kind.name,
        is_error=span.status.status_code is trace.StatusCode.ERROR,
        attributes=dict(span.attributes or {}),
        events=[event.name for event in span.events],
        links=[f"{link.context.span_id:016x}" for link in span.links],
        start_ns=span.start_time or 0,
        end_ns=span.end_time or 0,
        resource=dict(span.resource.attributes),
        message=span.status.description or "",
    )


def _of_otlp(span: Any, resource: dict[str, Any]) -> SeenSpan:
    return SeenSpan(
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        kind=span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        is_error=span.status.code == span.status.STATUS_CODE_ERROR,
        attributes=_plain(span.attributes),
        events=[event.name for event in span.events],
        links=[link.span_id.hex() for link in span.links],
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        resource=resource,
        message=span.status.message,
    )


def _plain(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}
