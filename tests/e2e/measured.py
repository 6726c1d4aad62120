"""An agent whose handlers use what a test knows, for the tests of metrics."""

from __future__ import annotations

import time
from typing import Any

from mindswarm_exec import Agent, ExecutionContext, SyncExecutionContext
from tests.e2e.handlers import agent as tester

measured = Agent("measured", max_concurrent=30)
measured.handlers.update(tester.handlers)


def use(payload: dict[str, Any]) -> int:
    """Hold some megabytes, and keep the processor busy for some seconds of its time."""
    held = bytearray(b"x" * (payload["mb"] << 20))
    end = time.thread_time() + payload["cpu_seconds"]
    while time.thread_time() < end:
        pass
    return len(held)


@measured.task("use.process", isolation="process")
def use_in_process(ctx: SyncExecutionContext, payload: dict[str, Any]) -> int:
    """Use it in each attempt; the first `fails` of them fail."""
    used = use(payload)
    if ctx.attempt <= payload.get("fails", 0):
        raise ValueError("once more")
    return used


@measured.task("use.thread", isolation="thread")
def use_on_thread(ctx: SyncExecutionContext, payload: dict[str, Any]) -> int:
    return use(payload)


@measured.task("use.async")
async def use_on_loop(ctx: ExecutionContext, payload: dict[str, Any]) -> int:
    return use(payload)
