"""What fails, asks to be tried again, dies or takes too much; and what just succeeds."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any

from mindswarm_exec import Agent, ExecutionContext, SyncExecutionContext
from tests.e2e.handlers import began, note

agent = Agent("failing")

FOREVER = 3600.0


# --- errors and attempts --------------------------------------------------------------------------------


@agent.task("quick")
def quick(ctx: SyncExecutionContext, payload: Any) -> Any:
    return payload


@agent.task("quick.async")
async def quick_async(ctx: ExecutionContext, payload: Any) -> Any:
    return payload


agent.task("quick.process", isolation="process")(quick)


def fail_as(ctx: SyncExecutionContext, payload: dict[str, Any]) -> Any:
    """Raise an error of the named type until attempt `until`."""
    if ctx.attempt < payload["until"]:
        raise {"KeyError": KeyError, "ValueError": ValueError}[payload["type"]]("no luck")
    return ctx.attempt


agent.task("fail.thread")(fail_as)
agent.task("fail.process", isolation="process")(fail_as)


def come_later(ctx: SyncExecutionContext, payload: dict[str, Any]) -> Any:
    """Ask to be tried again until attempt `until`."""
    note("later", f"{ctx.execution_id} {time.time()}")
    if ctx.attempt < payload["until"]:
        ctx.retry_after(payload["seconds"], "the service is busy")
    return ctx.attempt


@agent.task("later.async")
async def come_later_async(ctx: ExecutionContext, payload: dict[str, Any]) -> Any:
    """As `come_later`."""
    note("later", f"{ctx.execution_id} {time.time()}")
    if ctx.attempt < payload["until"]:
        ctx.retry_after(payload["seconds"], "the service is busy")
    return ctx.attempt


agent.task("later.thread")(come_later)
agent.task("later.process", isolation="process")(come_later)


@agent.task("halfway")
def stop_halfway(ctx: SyncExecutionContext, payload: dict[str, Any]) -> Any:
    """Fail after a checkpoint, the first time that it passes there."""
    begun_at = ctx.checkpoint_state.get("next", 0)
    ctx.checkpoint({"next": 5})
    if ctx.attempt == 1:
        raise ValueError("halfway")
    return {"from": begun_at, "attempt": ctx.attempt}


def die(ctx: SyncExecutionContext, payload: Any) -> None:
    os._exit(9)


agent.task("die.thread")(die)
agent.task("die.process", isolation="process")(die)


# --- greed ----------------------------------------------------------------------------------------------


@agent.task("greed", isolation="process")
def be_greedy(ctx: SyncExecutionContext, payload: str) -> None:
    """Take too much of one thing."""
    began(ctx)
    held = []
    match payload:
        case "memory":
            while True:
                held.append(bytearray(b"x" * (4 << 20)))
                time.sleep(0.01)
        case "cpu":
            while True:
                pass
        case "output":
            line = "x" * 1023 + "\n"
            for _ in range(1 << 20):
                sys.stdout.write(line)
        case "processes":
            for _ in range(30):
                if os.fork() == 0:
                    signal.signal(signal.SIGTERM, signal.SIG_IGN)
                    note("forked", f"{ctx.execution_id} {os.getpid()}")
                    time.sleep(FOREVER)
            time.sleep(FOREVER)
        case _:
            time.sleep(FOREVER)
