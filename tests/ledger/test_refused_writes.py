"""A server that answers and does not write: its disk is full or fails, or a script holds it up."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from mindswarm_exec.embedded import start_embedded
from mindswarm_exec.errors import LedgerFull, LedgerUnavailable
from mindswarm_exec.ledger import operations, reads
from mindswarm_exec.ledger.faces import AsyncLedger, SyncLedger, connect_async, connect_sync
from mindswarm_exec.settings import Settings
from tests.eventually import eventually

SETTINGS = Settings(ledger_timeout_seconds=2)
WRITE = operations.put_task("t1", "create", "task.created", "{}", "default", {"title": "a write"})


@pytest.fixture
def url_of_failing_disk(tmp_path: Path) -> Iterator[str]:
    """A server that could not save, and therefore refuses writes."""
    with start_embedded(tmp_path, durable=False, extra=("--save", "3600 1")) as server:
        (tmp_path / "dump.rdb" / "in the way").mkdir(parents=True)
        with connect_sync(server.url, SETTINGS) as client:
            client.bgsave()

            def has_failed() -> None:
                assert client.info("persistence")["rdb_last_bgsave_status"] == "err"

            eventually(has_failed)
        yield server.url


def test_a_write_that_is_refused_is_an_unavailable_ledger_and_a_read_is_answered(url_of_failing_disk: str) -> None:
    ledger = SyncLedger(connect_sync(url_of_failing_disk, SETTINGS), SETTINGS)
    try:
        with pytest.raises(LedgerUnavailable, match=r"refuses to write.*MISCONF.*log of the server") as told:
            ledger.run(WRITE)
        assert not isinstance(told.value, LedgerFull)
        assert ledger.run(reads.server_time_ms()) > 0
    finally:
        ledger.close()


def test_so_it_is_for_who_awaits_it(url_of_failing_disk: str) -> None:
    async def ask() -> None:
        ledger = AsyncLedger(connect_async(url_of_failing_disk, SETTINGS), SETTINGS)
        try:
            await ledger.run(WRITE)
        finally:
            await ledger.close()

    with pytest.raises(LedgerUnavailable, match="MISCONF"):
        asyncio.run(ask())
