"""From a connection to its Caller: by API key, or on loopback without one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import HTTPConnection

from mindswarm_exec.api.caller import Caller
from mindswarm_exec.errors import Unauthenticated
from mindswarm_exec.models.addresses import CLI_USER_AGENT
from mindswarm_exec.models.trace_context import TRACEPARENT, TRACESTATE, TraceContext, context_in
from mindswarm_exec.service.actors import Actor

if TYPE_CHECKING:
    from mindswarm_exec.service import Services
    from mindswarm_exec.settings import Settings


async def identify(connection: HTTPConnection, services: Services, settings: Settings) -> Caller:
    """Who calls on this connection.

    Raises:
        Unauthenticated: API keys are on and the connection presents no valid one.
        LedgerUnavailable: the key could not be checked.
    """
    if not settings.api_keys:
        return Caller(actor=_actor(connection, "client"), trace=_trace(connection))
    found = await services.keys.verify(_presented(connection))
    projects = None if found.opens_every_project else found.project_ids
    return Caller(projects=projects, actor=_actor(connection, found.name or "client"), trace=_trace(connection))


def _actor(connection: HTTPConnection, name: str) -> Actor:
    is_cli = connection.headers.get("user-agent", "").startswith(CLI_USER_AGENT)
    via = "cli" if is_cli else connection.scope["type"]
    return Actor(name, via, connection.client.host if connection.client else "")


def _trace(connection: HTTPConnection) -> TraceContext | None:
    """What the headers say; one that comes in several lines is one list (RFC 9110 §5.3)."""
    if TRACEPARENT not in connection.headers:
        return None
    return context_in({name: ",".join(connection.headers.getlist(name)) for name in (TRACEPARENT, TRACESTATE)})


def _presented(connection: HTTPConnection) -> str:
    scheme, _, key = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key.strip():
        return key.strip()
    # browsers cannot set headers on a WebSocket; elsewhere a key has no business in a URL
    if connection.scope["type"] == "websocket" and (key := connection.query_params.get("api_key", "")):
        return key
    raise Unauthenticated(
        "this API needs an API key: send the header `Authorization: Bearer <key>` (clients: MINDSWARM_API_KEY). "
        "An administrator makes keys."
    )
