"""The background work of an engine that is embedded in another program."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import pytest

from mindswarm_exec.ledger.faces import SyncLedger, connect_sync
from mindswarm_exec.service.background import SweepsIfSilent
from mindswarm_exec.settings import Settings
from tests.eventually import eventually_async


@pytest.fixture
def ledger(valkey_url: str, namespace: str) -> Iterator[SyncLedger]:
    settings = Settings(namespace=namespace, sweep_seconds=0.05)
    ledger = SyncLedger(connect_sync(valkey_url, settings), settings)
    yield ledger
    ledger.close()


def test_it_sweeps_on_after_a_sweep_that_failed(ledger: SyncLedger, caplog: pytest.LogCaptureFixture) -> None:
    deadlines = ledger.keys.of("deadlines")

    async def has_failed() -> None:
        assert [record for record in caplog.records if "sweep" in record.message and record.exc_info]

    async def has_swept() -> None:
        assert not ledger.client.exists(deadlines)

    async def fail_and_go_on() -> None:
        sweeps = SweepsIfSilent(ledger, None)
        await sweeps.start()
        await eventually_async(has_failed)
        ledger.client.delete(deadlines)
        ledger.client.zadd(deadlines, {"execution:unknown": 1})
        await eventually_async(has_swept)
        await sweeps.stop()

    ledger.client.set(deadlines, "no sorted set")
    with caplog.at_level(logging.ERROR):
        asyncio.run(fail_and_go_on())
