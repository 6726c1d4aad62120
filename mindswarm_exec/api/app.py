"""The ASGI application: `POST /rpc`, `/ws`, and what operators ask over plain HTTP."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute

from mindswarm_exec.api.answers import nothing_here, problem, too_large
from mindswarm_exec.api.authentication import identify
from mindswarm_exec.api.caller import Caller
from mindswarm_exec.api.jsonrpc import Dispatcher
from mindswarm_exec.api.loopback import LoopbackOnly
from mindswarm_exec.api.method_table import document_of, method_table
from mindswarm_exec.api.prometheus import exposition, media_type_for
from mindswarm_exec.api.websocket import WebSocketEdge
from mindswarm_exec.errors import MindSwarmError
from mindswarm_exec.service.actors import acting_as

if TYPE_CHECKING:
    from mindswarm_exec.service import Services
    from mindswarm_exec.settings import Settings

#: `/readyz` gives up on the ledger after this.
READY_SECONDS = 1.0


def create_app(services: Services, settings: Settings) -> Starlette:
    """The application over `services`. It starts and stops the event service; the rest belongs to the caller."""
    methods = method_table(services, f"{settings.api_url}/rpc")
    dispatcher = Dispatcher(methods, max_batch=settings.max_batch)
    http = HttpEdge(dispatcher, services, settings, document_of(methods, f"{settings.api_url}/rpc"))

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await services.events.start()
        yield
        await services.events.stop()

    return Starlette(
        routes=[
            Route("/rpc", http.rpc, methods=["POST"]),
            WebSocketRoute("/ws", WebSocketEdge(dispatcher, services, settings).serve),
            Route("/healthz", http.health),
            Route("/readyz", http.ready),
            Route("/metrics", http.metrics),
            Route("/openrpc.json", http.openrpc),
        ],
        middleware=[] if settings.api_keys else [Middleware(LoopbackOnly)],
        exception_handlers={404: nothing_here, 405: nothing_here},
        lifespan=lifespan,
    )


class HttpEdge:
    """The handlers of plain HTTP."""

    def __init__(
        self, dispatcher: Dispatcher[Caller], services: Services, settings: Settings, document: dict[str, object]
    ) -> None:
        self._dispatcher = dispatcher
        self._services = services
        self._settings = settings
        self._document = document

    async def rpc(self, request: Request) -> Response:
        """One JSON-RPC message. 200 with the reply, 204 where the standard wants silence."""
        try:
            caller = await identify(request, self._services, self._settings)
            body = await _body(request, self._settings.max_request_bytes)
        except MindSwarmError as error:
            return problem(error)
        with acting_as(caller.actor):
            reply = await self._dispatcher.dispatch(body, caller)
        return Response(status_code=204) if reply is None else Response(reply, media_type="application/json")

    async def health(self, _: Request) -> Response:
        """The process is alive."""
        return PlainTextResponse("ok\n")

    async def ready(self, _: Request) -> Response:
        """The ledger answers."""
        if await self._services.events.reaches_ledger(READY_SECONDS):
            return PlainTextResponse("ready\n")
        return PlainTextResponse("the ledger does not answer\n", 503)

    async def openrpc(self, _: Request) -> Response:
        """What the API can do. No secret, so no key is asked for."""
        return JSONResponse(self._document)

    async def metrics(self, request: Request) -> Response:
        """The system as Prometheus reads it. It spans all projects, so it takes an admin's key."""
        try:
            caller = await identify(request, self._services, self._settings)
            caller.must_be_admin("/metrics")
            readings = await self._services.monitoring.read()
        except MindSwarmError as error:
            return problem(error)
        media_type = media_type_for(request.headers.get("accept", ""))
        return PlainTextResponse(exposition(readings, media_type), media_type=media_type)


async def _body(request: Request, limit_bytes: int) -> bytes:
    """The body, counted as it comes: what Content-Length says is no promise.

    Raises:
        PayloadTooLarge: it is over the limit; the rest is not read.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit_bytes:
        raise too_large("the request", limit_bytes)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit_bytes:
            raise too_large("the request", limit_bytes)
    return bytes(body)
