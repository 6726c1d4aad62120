"""A running API over the real services, in a thread of its own: reached by its URL, as users reach it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import TypeVar

from mindswarm_exec.api.server import serve
from mindswarm_exec.errors import MindSwarmError
from mindswarm_exec.service import Services, open_services
from mindswarm_exec.settings import Settings

T = TypeVar("T")


class RunningApi:
    """Starts on a free port; `restart` keeps the port, so that clients find it again."""

    def __init__(self, settings: Settings) -> None:
        assert settings.redis_url is not None
        self.settings = settings
        self.url = ""
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        started: Future[str] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(started)), daemon=True)
        self._thread.start()
        self.url = started.result(timeout=30)
        port = int(self.url.rpartition(":")[2])
        self.settings = self.settings.model_copy(update={"api_port": port, "api_url": self.url})

    def stop(self) -> None:
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(timeout=20)
            assert not self._thread.is_alive(), "the API did not stop"
            self._thread = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def run(self, ask: Callable[[Services], Awaitable[T]]) -> T:
        """Ask the services themselves, beside the API."""
        return asyncio.run_coroutine_threadsafe(_awaited(ask(self.services)), self._loop).result(timeout=30)

    async def _run(self, started: Future[str]) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        assert self.settings.redis_url is not None
        try:
            async with open_services(self.settings.redis_url, self.settings) as self.services:
                await serve(self.settings, self.services, started.set_result, self._stop)
        except MindSwarmError as error:
            started.set_exception(error)


async def _awaited(asked: Awaitable[T]) -> T:
    return await asked
