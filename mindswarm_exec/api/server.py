"""The API process: one uvicorn server over the services."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import uvicorn

from mindswarm_exec.api.app import create_app
from mindswarm_exec.api.loopback import must_not_be_exposed
from mindswarm_exec.embedded import ledger_url
from mindswarm_exec.errors import InvalidRequest
from mindswarm_exec.logs import configure_logging
from mindswarm_exec.service import open_services
from mindswarm_exec.tracing.process import flush, start_tracing

if TYPE_CHECKING:
    from mindswarm_exec.service import Services
    from mindswarm_exec.service.executions import Publisher
    from mindswarm_exec.settings import Settings

log = logging.getLogger(__name__)

#: Calls under way may finish within this when the server is asked to stop.
SHUTDOWN_SECONDS = 5
#: A peer that answers no ping for this long is gone.
PING_SECONDS = 20.0


def main(settings: Settings) -> None:
    """Run the API until SIGTERM or SIGINT. Raises as `serve`."""
    configure_logging(settings, "api")
    must_not_be_exposed(settings)
    start_tracing("api", settings)
    # uvicorn raises the signal again when it has stopped in order; that is then no failure
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    url, _ = ledger_url(settings)

    async def run() -> None:
        async with open_services(url, settings, _publisher(settings, url)) as services:
            await serve(settings, services, _begin)

    try:
        asyncio.run(run())
    finally:
        flush()


def _begin(url: str) -> None:
    # what is there now stays; walking it again at every full collection would hold up a call for a tenth of a second
    gc.collect()
    gc.freeze()
    log.info("the API takes calls", extra={"action": "listen", "url": url})


def _publisher(settings: Settings, url: str) -> Publisher | None:
    """What wakes agents where the broker is another server; else the ledger's scripts do it themselves."""
    from mindswarm_exec.celery_app import CeleryPublisher, broker_is_ledger, create_app

    if broker_is_ledger(settings, url):
        return None
    return CeleryPublisher(create_app(settings, url, "mindswarm-api"), settings)


async def serve(
    settings: Settings,
    services: Services,
    ready: Callable[[str], None] | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Serve until SIGTERM, SIGINT or `stop`; `ready` is called with the URL once connections are accepted.

    Raises:
        InvalidRequest: the address is not loopback and API keys are off, or it cannot be bound.
    """
    must_not_be_exposed(settings)
    listening = _bind(settings)
    server = Server(_configuration(settings, services), ready)
    stopping = asyncio.create_task(_stop_with(server, stop)) if stop else None
    try:
        await server.serve(sockets=[listening])
    finally:
        listening.close()
        if stopping is not None:
            stopping.cancel()


class Server(uvicorn.Server):
    """A uvicorn server that says when it is ready."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[str], None] | None) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._ready is not None and sockets and self.started:
            self._ready(url_of(sockets[0]))


def url_of(listening: socket.socket) -> str:
    """The URL that reaches a listening socket."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def _stop_with(server: uvicorn.Server, stop: asyncio.Event) -> None:
    await stop.wait()
    server.should_exit = True


def _configuration(settings: Settings, services: Services) -> uvicorn.Config:
    return uvicorn.Config(
        create_app(services, settings),
        log_config=None,  # as the process logs
        log_level="warning",
        access_log=False,  # URLs may hold API keys
        proxy_headers=False,  # who calls is who connects
        server_header=False,
        lifespan="on",
        # above the limit that is answered with a typed error; beyond it the connection is closed
        ws_max_size=2 * settings.max_request_bytes,
        ws_per_message_deflate=False,  # costs more than loopback and data centres save
        ws_ping_interval=PING_SECONDS,
        ws_ping_timeout=PING_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )


def _bind(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.api_host else socket.AF_INET
    # with the protocol named, asyncio sets TCP_NODELAY; without it each answer waits 40 ms for a delayed ACK
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.api_host, settings.api_port))
    except OSError as error:
        listening.close()
        raise InvalidRequest(
            f"the API cannot listen on {settings.api_host} port {settings.api_port}: {error.strerror or error}. "
            "Choose another with MINDSWARM_API_PORT, or stop what listens there.",
            api_host=settings.api_host,
            api_port=settings.api_port,
        ) from None
    listening.setblocking(False)
    return listening
