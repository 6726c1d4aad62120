"""The background work of an engine that is embedded in another program."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from typing import TypeVar

import pytest

from mindswarm_exec.ledger.faces import SyncLedger, connect_sync
from mindswarm_exec.ledger.operations import Operation
from mindswarm_exec.service.background import SweepsIfSilent
from mindswarm_exec.settings import Settings
from tests.eventually import eventually_async

R = TypeVar("R")


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


class HeldUp(SyncLedger):
    """A ledger that takes as long as the test likes."""

    def __init__(self, url: str, settings: Settings) -> None:
        super().__init__(connect_sync(url, settings), settings)
        self.was_asked, self.may_answer = threading.Event(), threading.Event()

    def run(self, operation: Operation[R]) -> R:
        self.was_asked.set()
        self.may_answer.wait(10)
        return super().run(operation)


def test_what_is_under_way_is_finished_when_it_is_told_to_stop(valkey_url: str, namespace: str) -> None:
    ledger = HeldUp(valkey_url, Settings(namespace=namespace))

    async def stop_meanwhile() -> None:
        sweeps = SweepsIfSilent(ledger, None)
        await sweeps.start()
        await asyncio.to_thread(ledger.was_asked.wait, 10)
        stopping = asyncio.create_task(sweeps.stop())
        ended, _ = await asyncio.wait([stopping], timeout=0.5)
        assert not ended
        ledger.may_answer.set()
        await stopping
        await sweeps.stop()

    asyncio.run(stop_meanwhile())
    assert ledger.client.exists(ledger.keys.of("swept_at"))
    ledger.close()
