"""HTTP answers to what never became a JSON-RPC call: the error as JSON-RPC words it, with a status that fits."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from mindswarm_exec.api.jsonrpc import failure
from mindswarm_exec.errors import Forbidden, LedgerUnavailable, MindSwarmError, PayloadTooLarge, Unauthenticated

_STATUS: tuple[tuple[type[MindSwarmError], int], ...] = (
    (Unauthenticated, 401),
    (Forbidden, 403),
    (PayloadTooLarge, 413),
    (LedgerUnavailable, 503),
    (MindSwarmError, 400),
)

_PATHS = """\
Nothing answers a {method} here. What is there:

  POST /rpc            JSON-RPC 2.0; the method rpc.discover lists all others
  GET  /openrpc.json   the same list
  GET  /ws             JSON-RPC and events over a WebSocket
  GET  /metrics        for Prometheus
  GET  /healthz, /readyz
"""


def problem(error: MindSwarmError) -> Response:
    """The answer to a request that was refused before it was read."""
    status = next(status for cls, status in _STATUS if isinstance(error, cls))
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return Response(failure(None, error), status, headers, media_type="application/json")


def too_large(what: str, limit_bytes: int) -> PayloadTooLarge:
    return PayloadTooLarge(
        f"{what} is over the limit of {limit_bytes} bytes. Send less at once, or raise MINDSWARM_MAX_REQUEST_BYTES.",
        limit_bytes=limit_bytes,
    )


async def nothing_here(request: Request, error: Exception) -> Response:
    """The answer to a path that is not served, or not by this HTTP method."""
    assert isinstance(error, HTTPException)
    return PlainTextResponse(_PATHS.format(method=request.method), error.status_code, error.headers)
