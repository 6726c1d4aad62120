"""The attendant enforces the clocks of all attempts of an agent, whatever befalls it on the way."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TypeVar

import pytest
from redis.exceptions import ResponseError

from mindswarm_exec import Agent, ExecutionContext
from mindswarm_exec.identifiers import new_id, new_nonce
from mindswarm_exec.ledger import operations, reads
from mindswarm_exec.ledger.faces import SyncLedger, connect_sync
from mindswarm_exec.ledger.operations import Operation
from mindswarm_exec.ledger.replies import Accepted
from mindswarm_exec.models.options import ExecutionOptions
from mindswarm_exec.service.submission import start_operation
from mindswarm_exec.settings import Settings
from workers.engine import UnifiedTaskEngine

R = TypeVar("R")


class FailsTheAttendant(SyncLedger):
    """A ledger whose scripts fail for the attendant alone."""

    def run(self, operation: Operation[R]) -> R:
        if threading.current_thread().name == "attendant":
            raise ResponseError("ERR script failed")
        return super().run(operation)


def test_a_timeout_ends_an_attempt_though_its_progress_cannot_be_sent(
    valkey_url: str, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(namespace=namespace)
    ledger = FailsTheAttendant(connect_sync(valkey_url, settings), settings)
    agent = Agent("ant")

    @agent.task("t")
    async def endless(ctx: ExecutionContext) -> None:
        await ctx.progress(0.1)
        await ctx.progress(0.2)  # so soon that it is left to the attendant
        await asyncio.Event().wait()

    engine = UnifiedTaskEngine(agent, "ant", ledger, settings)
    engine.start()
    try:
        execution_id = _run(engine, ledger, ExecutionOptions(timeout_seconds=0.5))
        record = ledger.run(reads.fields(execution_id, ["status"]))
    finally:
        engine.stop()
        ledger.close()
    assert record == {"status": "timed_out"}
    assert "an attempt could not be looked after" in caplog.messages


def _run(engine: UnifiedTaskEngine, ledger: SyncLedger, options: ExecutionOptions) -> str:
    """Run one execution to its end on this thread; its id."""
    incarnation, execution_id = new_nonce(), new_id()
    profile = json.dumps({"task_types": ["t"], "capabilities": [], "labels": {}})
    ledger.run(operations.register("ant", incarnation, profile, {"max_concurrent": 1, "handlers": "{}"}))
    ledger.run(operations.set_agent_state("ant", incarnation, "awake", accepts_work=True))
    accepted = ledger.run(start_operation(execution_id, "t", "null", options, project_id="default"))
    assert isinstance(accepted, Accepted)
    (wake,) = accepted.wakes
    engine.run(wake.execution_id, wake.nonce)
    return execution_id
