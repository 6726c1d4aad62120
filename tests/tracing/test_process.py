"""When a process of the engine traces: as OpenTelemetry's own variables say."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.util._once import Once

from mindswarm_exec.errors import InvalidRequest
from mindswarm_exec.settings import Settings
from mindswarm_exec.tracing.process import exporters_named, flush, start_tracing
from tests.tracing.seen_spans import Collector, ProgramSpans

HTTP, GRPC = "otlp_proto_http", "otlp_proto_grpc"


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever a test sets up is taken back, and nobody's settings of tracing count."""
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    yield
    trace._TRACER_PROVIDER, trace._TRACER_PROVIDER_SET_ONCE = None, Once()


@pytest.mark.parametrize(
    ("environment", "exporters"),
    [
        ({}, []),
        ({"OTEL_SERVICE_NAME": "shop"}, []),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, []),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, []),
        ({"OTEL_TRACES_EXPORTER": "", "OTEL_EXPORTER_OTLP_ENDPOINT": ""}, []),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, [HTTP]),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, [HTTP]),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c"}, [HTTP]),
        ({"OTEL_TRACES_EXPORTER": "otlp, console"}, [HTTP, "console"]),
        ({"OTEL_TRACES_EXPORTER": "zipkin", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, ["zipkin"]),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, [GRPC]),
        (
            {
                "OTEL_TRACES_EXPORTER": "otlp",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
                "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
            },
            [HTTP],
        ),
    ],
)
def test_a_process_traces_when_an_exporter_or_an_endpoint_is_named(
    environment: dict[str, str], exporters: list[str]
) -> None:
    assert exporters_named(environment) == exporters


def test_a_protocol_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="http/protobuf or grpc"):
        exporters_named({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "carrier-pigeon"})


@pytest.mark.parametrize("named", ["grpc", "nonsense"])
def test_an_exporter_that_is_not_installed_is_refused_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp" if named == "grpc" else named)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", named if named == "grpc" else "")
    with pytest.raises(InvalidRequest, match=r"mindswarm-exec\[otel\]"):
        start_tracing("api", Settings())
    assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def test_the_environment_says_who_sends_and_the_process_what_it_leaves_open(monkeypatch: pytest.MonkeyPatch) -> None:
    collector = Collector()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    start_tracing("agent", Settings(namespace="here"), "coder")
    trace.get_tracer("test").start_span("one").end()
    flush()
    collector.close()
    (span,) = collector.all()
    wanted = {
        "service.name": "shop",
        "service.namespace": "here",
        "service.instance.id": "coder",
        "deployment.environment.name": "test",
    }
    assert wanted.items() <= span.resource.items()


def test_a_provider_that_the_program_has_set_up_is_left_as_it_is(
    monkeypatch: pytest.MonkeyPatch, spans: ProgramSpans
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    start_tracing("agent", Settings())
    assert trace.get_tracer_provider() is spans.provider


def test_a_sampler_that_takes_nothing_still_hands_the_trace_on(monkeypatch: pytest.MonkeyPatch) -> None:
    from mindswarm_exec.tracing import submitting

    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    start_tracing("api", Settings())
    with submitting("t") as context:
        assert context is not None
        assert context.traceparent.endswith(("-00", "-02"))
