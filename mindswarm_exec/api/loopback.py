"""What keeps an API without keys to this machine, browsers included.

A page from elsewhere can make a browser on this machine send requests to loopback: directly (its `Origin` then
says so), or under a name of its own that resolves to loopback (its `Host` then is that name). Both are refused.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from mindswarm_exec.api.answers import problem
from mindswarm_exec.errors import Forbidden, InvalidRequest
from mindswarm_exec.models.addresses import is_loopback
from mindswarm_exec.settings import Settings


def must_not_be_exposed(settings: Settings) -> None:
    """Raises InvalidRequest if the API would be open to others without API keys."""
    if not settings.api_keys and not is_loopback(settings.api_host):
        raise InvalidRequest(
            f"the API does not start on {settings.api_host} without API keys: whoever reaches it could run anything. "
            "Set MINDSWARM_API_KEYS=true and make a key, or MINDSWARM_API_HOST=127.0.0.1.",
            api_host=settings.api_host,
        )


class LoopbackOnly:
    """Refuses whatever does not come from this machine under one of its own names."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = _refusal(HTTPConnection(scope)) if scope["type"] in ("http", "websocket") else None
        if refusal is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await WebSocket(scope, receive, send).send_denial_response(problem(refusal))
        else:
            await problem(refusal)(scope, receive, send)


def _refusal(connection: HTTPConnection) -> Forbidden | None:
    host = _host_of(f"//{connection.headers.get('host', '')}")
    origin = connection.headers.get("origin")
    if connection.client is not None and not is_loopback(connection.client.host):
        found = "the caller's address is not on this machine"
    elif not is_loopback(host):
        found = "the Host header is not a name of this machine"
    elif origin is not None and not is_loopback(_host_of(origin)):
        found = "the Origin header names a page from elsewhere"
    else:
        return None
    return Forbidden(
        f"without API keys this API serves its own machine only, and {found}. "
        "Use http://127.0.0.1, or switch keys on with MINDSWARM_API_KEYS=true."
    )


def _host_of(url: str) -> str:
    """The host that a URL names; nothing where it is no URL."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:  # such as a bracket that does not close
        return ""
