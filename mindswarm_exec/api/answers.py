"""HTTP answers to what never became a JSON-RPC call: the error as JSON-RPC words it, with a status that fits."""

from __future__ import annotations

from starlette.responses import Response

from mindswarm_exec.api.jsonrpc import failure
from mindswarm_exec.errors import Forbidden, LedgerUnavailable, MindSwarmError, PayloadTooLarge, Unauthenticated

_STATUS: tuple[tuple[type[MindSwarmError], int], ...] = (
    (Unauthenticated, 401),
    (Forbidden, 403),
    (PayloadTooLarge, 413),
    (LedgerUnavailable, 503),
    (MindSwarmError, 400),
)


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
