"""The courier: operations that share a round trip share nothing else."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import pytest
from redis.exceptions import ResponseError

from mindswarm_exec.ledger import reads
from mindswarm_exec.ledger.faces import SyncLedger, connect_sync
from mindswarm_exec.ledger.operations import Operation
from mindswarm_exec.settings import Settings
from tests.eventually import eventually, must_be
from workers.courier import Courier

R = TypeVar("R")


class HeldUp(SyncLedger):
    """A ledger whose round trips wait for the test."""

    def __init__(self, url: str, settings: Settings) -> None:
        super().__init__(connect_sync(url, settings), settings)
        self.was_asked, self.may_answer = threading.Event(), threading.Event()

    def run_many(self, operations: Sequence[Operation[R]]) -> list[R]:
        self.was_asked.set()
        assert self.may_answer.wait(10)
        return super().run_many(operations)


def test_an_operation_that_fails_costs_those_beside_it_no_answer(valkey_url: str, namespace: str) -> None:
    ledger = HeldUp(valkey_url, Settings(namespace=namespace))
    ledger.client.set(ledger.keys.of("agents"), "no sorted set")
    courier = Courier(ledger)
    asked: list[Operation[Any]] = [reads.server_time_ms(), reads.agent_ids(), reads.event_counts(), reads.agent_ids()]
    with ThreadPoolExecutor(len(asked)) as threads:
        first: Future[Any] = threads.submit(courier.run, asked[0])
        assert ledger.was_asked.wait(10)
        others = [threads.submit(courier.run, operation) for operation in asked[1:]]
        eventually(lambda: must_be(len(courier._waiting), len(others)))
        ledger.may_answer.set()
        assert first.result(10) > 0
        fails, answered, fails_too = others
        assert answered.result(10) == {}
        for failed in (fails, fails_too):
            with pytest.raises(ResponseError, match="WRONGTYPE"):
                failed.result(10)
    ledger.client.delete(ledger.keys.of("agents"))
    ledger.close()
