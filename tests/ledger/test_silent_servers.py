"""A server that says nothing: whoever asks is told so when the time of the ledger is over, not some times later."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mindswarm_exec.embedded import start_embedded
from mindswarm_exec.errors import LedgerUnavailable
from mindswarm_exec.ledger import reads
from mindswarm_exec.ledger.faces import AsyncLedger, SyncLedger, connect_async, connect_sync
from mindswarm_exec.settings import Settings

SETTINGS = Settings(ledger_timeout_seconds=2)


@pytest.fixture
def unreachable() -> Iterator[str]:
    """Nobody answers a request to connect, as behind a firewall that drops it: the queue of those before is full."""
    with contextlib.ExitStack() as opened:
        listener = opened.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(8):
            client = opened.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"


@pytest.fixture
def frozen(tmp_path: Path) -> Iterator[str]:
    """It takes connections and reads nothing."""
    with start_embedded(tmp_path, durable=False) as server:
        os.kill(server.pid, signal.SIGSTOP)
        try:
            yield server.url
        finally:
            os.kill(server.pid, signal.SIGCONT)


@contextlib.contextmanager
def told_in_time() -> Iterator[None]:
    asked_at = time.monotonic()
    with pytest.raises(LedgerUnavailable):
        yield
    assert time.monotonic() - asked_at < 2 * SETTINGS.ledger_timeout_seconds


@pytest.mark.parametrize("server", ["unreachable", "frozen"])
def test_silence_is_told_within_the_time_of_the_ledger(request: pytest.FixtureRequest, server: str) -> None:
    ledger = SyncLedger(connect_sync(request.getfixturevalue(server), SETTINGS), SETTINGS)
    with contextlib.closing(ledger), told_in_time():
        ledger.run(reads.server_time_ms())


@pytest.mark.parametrize("server", ["unreachable", "frozen"])
def test_so_it_is_for_who_awaits_it(request: pytest.FixtureRequest, server: str) -> None:
    url = request.getfixturevalue(server)

    async def ask() -> None:
        ledger = AsyncLedger(connect_async(url, SETTINGS), SETTINGS)
        try:
            with told_in_time():
                await ledger.run(reads.server_time_ms())
        finally:
            await ledger.close()

    asyncio.run(ask())
