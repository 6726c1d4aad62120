"""A server that is away: whoever asks is told so when the time of the ledger is over, and served when it is back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mindswarm_exec.embedded import EmbeddedServer, start_embedded
from mindswarm_exec.errors import LedgerUnavailable
from mindswarm_exec.ledger import reads
from mindswarm_exec.ledger.faces import AsyncLedger, SyncLedger, connect_async, connect_sync
from mindswarm_exec.settings import Settings
from tests.eventually import eventually, must_hold

SETTINGS = Settings(ledger_timeout_seconds=2)
#: More than redis-py gives a client by default.
MANY = 130


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
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    with start_embedded(tmp_path, durable=False) as server:
        yield server


@pytest.fixture
def frozen(server: EmbeddedServer) -> Iterator[str]:
    """It takes connections and reads nothing."""
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


@pytest.mark.parametrize("silent", ["unreachable", "frozen"])
def test_silence_is_told_within_the_time_of_the_ledger(request: pytest.FixtureRequest, silent: str) -> None:
    ledger = SyncLedger(connect_sync(request.getfixturevalue(silent), SETTINGS), SETTINGS)
    with contextlib.closing(ledger), told_in_time():
        ledger.run(reads.server_time_ms())


@pytest.mark.parametrize("silent", ["unreachable", "frozen"])
def test_so_it_is_for_who_awaits_it(request: pytest.FixtureRequest, silent: str) -> None:
    url = request.getfixturevalue(silent)

    async def ask() -> None:
        ledger = AsyncLedger(connect_async(url, SETTINGS), SETTINGS)
        try:
            with told_in_time():
                await ledger.run(reads.server_time_ms())
        finally:
            await ledger.close()

    asyncio.run(ask())


# --- long outages, and many who ask at once --------------------------------------------------------------


def end(server: EmbeddedServer) -> None:
    os.kill(server.pid, signal.SIGKILL)
    eventually(lambda: must_hold(not server.is_alive()))


def test_an_outage_uses_up_no_connections(server: EmbeddedServer) -> None:
    client = connect_sync(server.url, SETTINGS)
    client.connection_pool.max_connections = 2
    with contextlib.closing(SyncLedger(client, SETTINGS)) as ledger:
        end(server)
        for _ in range(3):
            with pytest.raises(LedgerUnavailable, match="ConnectionError"):
                ledger.run(reads.server_time_ms())
        server.ensure_running()
        assert ledger.run(reads.server_time_ms()) > 0


def test_an_outage_is_over_for_who_awaits_it_too(server: EmbeddedServer) -> None:
    async def ask() -> None:
        ledger = AsyncLedger(connect_async(server.url, SETTINGS), SETTINGS)
        try:
            await ledger.run(reads.server_time_ms())
            end(server)
            for _ in range(3):
                with pytest.raises(LedgerUnavailable, match="ConnectionError"):
                    await ledger.run(reads.server_time_ms())
            server.ensure_running()
            assert await ledger.run(reads.server_time_ms()) > 0
        finally:
            await ledger.close()

    asyncio.run(ask())


def test_one_event_loop_may_follow_another(server: EmbeddedServer) -> None:
    ledger = AsyncLedger(connect_async(server.url, SETTINGS), SETTINGS)
    for _ in range(2):
        assert asyncio.run(ledger.run(reads.server_time_ms())) > 0
    asyncio.run(ledger.close())


def test_whoever_asks_is_served_however_many_ask_at_once(server: EmbeddedServer) -> None:
    patient = Settings(ledger_timeout_seconds=20)
    with contextlib.closing(SyncLedger(connect_sync(server.url, patient), patient)) as ledger:
        ledger.client.client_pause(1000)  # ms; meanwhile all of them come
        with ThreadPoolExecutor(MANY) as threads:
            told = list(threads.map(lambda _: ledger.run(reads.server_time_ms()), range(MANY)))
    assert all(told)


def test_so_are_those_who_await_it(server: EmbeddedServer) -> None:
    patient = Settings(ledger_timeout_seconds=20)

    async def ask() -> list[int]:
        ledger = AsyncLedger(connect_async(server.url, patient), patient)
        try:
            return await asyncio.gather(*(ledger.run(reads.server_time_ms()) for _ in range(MANY)))
        finally:
            await ledger.close()

    assert all(asyncio.run(ask()))
