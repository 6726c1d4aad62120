"""A TCP proxy before the ledger that loses replies: the script has run, but its caller never hears of it."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import AsyncIterator, Coroutine
from typing import Any, Self

CHUNK = 1 << 16


class LossyProxy:
    """Forwards to `port` on loopback. Of replies to scripts a share of `rate` is lost with its connection.

    `lose_next(n)` loses the next n such replies instead, whoever asked.
    """

    def __init__(self, port: int, seed: int = 7) -> None:
        self.rate = 0.0
        self.lost = 0
        self.port = 0
        self._target = port
        self._random = random.Random(seed)
        self._lose_next = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def lose_next(self, replies: int) -> None:
        self._lose_next = replies

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _close(self) -> None:
        self._server.close()
        for writer in list(self._writers):
            writer.close()
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))

    # --- one connection ----------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link()
        with contextlib.suppress(OSError):
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self._target)
            async with self._open(writer), self._open(to_server):
                requests = asyncio.create_task(self._requests(reader, to_server, link))
                await self._replies(from_server, writer, link)
                writer.close()
                await requests

    @contextlib.asynccontextmanager
    async def _open(self, writer: asyncio.StreamWriter) -> AsyncIterator[None]:
        self._writers.add(writer)
        try:
            yield
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: _Link) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(CHUNK):
                link.asked_a_script = link.asked_a_script or b"EVALSHA" in chunk
                writer.write(chunk)
                await writer.drain()
        writer.close()

    async def _replies(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: _Link) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(CHUNK):
                if link.asked_a_script and self._loses():
                    return
                link.asked_a_script = False
                writer.write(chunk)
                await writer.drain()

    def _loses(self) -> bool:
        if self._lose_next > 0:
            self._lose_next -= 1
        elif self._random.random() >= self.rate:
            return False
        self.lost += 1
        return True


class _Link:
    """What one connection waits for."""

    asked_a_script = False
