"""Tracing of the engine's own processes: API, agents and dispatchers. Other programs set up tracing for themselves.

On exactly when the environment says where traces go, in OpenTelemetry's own variables.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from mindswarm_exec.errors import InvalidRequest
from mindswarm_exec.settings import Settings
from mindswarm_exec.tracing import provider_in_use

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource

log = logging.getLogger(__name__)

EXPORTER = "OTEL_TRACES_EXPORTER"
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
#: Names of exporters by protocol, in the entry points where OpenTelemetry's packages offer them.
OTLP = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}
#: A process that ends waits for its last spans to be taken at most this long.
FLUSH_SECONDS = 1.5


def exporters_named(environment: Mapping[str, str]) -> list[str]:
    """The exporters that the environment asks for, as their packages name them; none of them: no tracing.

    `OTEL_TRACES_EXPORTER` names them. Without that, an endpoint of OTLP is enough.

    Raises:
        InvalidRequest: the protocol of OTLP is none.
    """
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return []
    has_endpoint = any(environment.get(name) for name in ENDPOINTS)
    listed = environment.get(EXPORTER) or ("otlp" if has_endpoint else "none")
    names = [name for part in listed.split(",") if (name := part.strip()) not in ("", "none")]
    return [_otlp(environment) if name == "otlp" else name for name in names]


def _otlp(environment: Mapping[str, str]) -> str:
    protocol = next((environment[name] for name in PROTOCOLS if environment.get(name)), "http/protobuf")
    if protocol not in OTLP:
        raise InvalidRequest(f"{PROTOCOLS[1]} is '{protocol}'; it takes {' or '.join(OTLP)}.", field=PROTOCOLS[1])
    return OTLP[protocol]


def start_tracing(process: str, settings: Settings, instance: str | None = None) -> None:
    """Trace what this process does, if the environment says where traces go.

    A tracer provider that the program has set up already, such as an agent's module, is left as it is.

    Raises:
        InvalidRequest: what is asked for is not installed.
    """
    named = exporters_named(os.environ)
    if not named or provider_in_use() is not None:
        return
    exporters = [_exporter(name) for name in named]
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    from mindswarm_exec.tracing.ids import AttemptIds

    # what is left at the end is sent by `flush`, which waits for less long than an exit handler of the SDK
    provider = TracerProvider(
        resource=_resource(process, settings, instance), id_generator=AttemptIds(), shutdown_on_exit=False
    )
    for exporter in exporters:
        provider.add_span_processor(BatchSpanProcessor(exporter()))
    trace.set_tracer_provider(provider)
    log.info("this process sends traces", extra={"action": "trace", "exporters": named})


def flush() -> None:
    """Send the spans that wait, before the process ends; a collector that is away does not hold it up for long."""
    send = getattr(provider_in_use(), "force_flush", None)  # only providers of the SDK have it
    if send is not None:
        sending = threading.Thread(target=send, name="last spans", daemon=True)
        sending.start()
        sending.join(FLUSH_SECONDS)


def _exporter(named: str) -> Any:
    """The class of an exporter."""
    for found in entry_points(group="opentelemetry_traces_exporter", name=named):
        try:
            return found.load()
        except ImportError as error:
            raise InvalidRequest(
                f"the exporter of traces '{named}' cannot be loaded: {error}. Install what it needs.", field=EXPORTER
            ) from None
    raise InvalidRequest(
        f"traces are to be sent by the exporter '{named}', which is not installed. Install mindswarm-exec[otel], "
        f"which brings otlp over http/protobuf and console, or the package of that exporter; or set {EXPORTER}=none.",
        field=EXPORTER,
    )


def _resource(process: str, settings: Settings, instance: str | None) -> Resource:
    """Who sends the spans. What the environment says of that goes first."""
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource

    own = {"service.name": f"mindswarm-{process}", "service.namespace": settings.namespace}
    if instance is not None:
        own["service.instance.id"] = instance
    return Resource.create(own).merge(OTELResourceDetector().detect())
