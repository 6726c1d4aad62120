"""The agent of the end-to-end tests. Handlers wait for files, so that a test controls how long they run."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from mindswarm_exec import Agent, ExecutionContext, SyncExecutionContext

FILES = Path(os.environ.get("SWARM_FILES", "."))
POLL_SECONDS = 0.02

agent = Agent("tester", capabilities={"testing"}, labels={"region": "eu"}, max_concurrent=3)


def note(name: str, line: str) -> None:
    """Append a line to a file that the test reads; short appends are atomic."""
    with (FILES / name).open("a") as file:
        file.write(line + "\n")


def began(ctx: SyncExecutionContext | ExecutionContext) -> None:
    """Note that the code of an attempt has begun, where, and in which process."""
    note("began", f"{ctx.execution_id} {ctx.agent_id} {ctx.attempt} {os.getpid()}")


def exists(name: str) -> bool:
    return (FILES / name).exists()


async def appears(name: str) -> None:
    while not exists(name):  # noqa: ASYNC110  another process makes the file
        await asyncio.sleep(POLL_SECONDS)


@agent.task("echo")
def echo(ctx: SyncExecutionContext, payload: Any) -> Any:
    """Return the payload, and leave a trace of having run."""
    note("echo", ctx.execution_id)
    return payload


@agent.task("wait.thread")
def wait_on_thread(ctx: SyncExecutionContext, payload: dict[str, Any]) -> dict[str, Any]:
    """Run until a file appears, calling the context all the while."""
    began(ctx)
    while not exists(payload["file"]):
        ctx.progress(0.5, "waiting")
        time.sleep(POLL_SECONDS)
    note("effects", f"{ctx.execution_id} {ctx.agent_id} {ctx.attempt}")
    return {"agent": ctx.agent_id, "attempt": ctx.attempt}


@agent.task("wait.deaf")
def wait_deaf(ctx: SyncExecutionContext, payload: dict[str, Any]) -> dict[str, Any]:
    """Run until a file appears and never look at the context: nothing can stop it."""
    began(ctx)
    while not exists(payload["file"]):
        time.sleep(POLL_SECONDS)
    note("effects", f"{ctx.execution_id} {ctx.agent_id} {ctx.attempt}")
    return {"agent": ctx.agent_id, "attempt": ctx.attempt}


@agent.task("wait.async")
async def wait_async(ctx: ExecutionContext, payload: dict[str, Any]) -> dict[str, Any]:
    """Run until a file appears; `finally` leaves a trace."""
    began(ctx)
    try:
        await appears(payload["file"])
        note("effects", f"{ctx.execution_id} {ctx.agent_id} {ctx.attempt}")
        return {"agent": ctx.agent_id, "attempt": ctx.attempt}
    finally:
        note("finally", ctx.execution_id)


@agent.task("steps")
async def steps(ctx: ExecutionContext, payload: dict[str, Any]) -> dict[str, Any]:
    """Count with a checkpoint at each step; step `hold` waits for a file, checkpointing while it does."""
    begun_at = ctx.checkpoint_state.get("next", 0)
    began(ctx)
    assert isinstance(begun_at, int)
    for step in range(begun_at, payload["steps"]):
        while step == payload.get("hold") and not exists(payload["file"]):
            await asyncio.sleep(POLL_SECONDS)
            await ctx.checkpoint({"next": step})
        await ctx.checkpoint({"next": step + 1})
    return {"agent": ctx.agent_id, "from": begun_at}


@agent.task("progress")
def progress(ctx: SyncExecutionContext, payload: dict[str, Any]) -> None:
    """Report progress much faster than it can be of use, for `seconds`."""
    end = time.monotonic() + payload["seconds"]
    sent = 0
    while time.monotonic() < end:
        sent += 1
        ctx.progress(sent / 1e6, f"step {sent}")
        time.sleep(0.001)
    ctx.progress(1.0, "last")


@agent.task("stream")
async def stream(ctx: ExecutionContext, payload: dict[str, Any]) -> None:
    """Stream the given chunks and a line of log."""
    for chunk in payload["chunks"]:
        await ctx.output(chunk)
    await ctx.log("done")


@agent.task("fail")
def fail(ctx: SyncExecutionContext, payload: dict[str, Any]) -> Any:
    """Raise until the attempt `until`."""
    note("fail", f"{time.time()} {ctx.execution_id}")
    if ctx.attempt < payload.get("until", 1_000_000):
        raise ValueError(payload.get("message", "no luck"))
    return ctx.attempt


class Unprintable(Exception):
    """An error that cannot be told."""

    def __str__(self) -> str:
        raise RuntimeError("cannot be told")


@agent.task("misbehave")
def misbehave(ctx: SyncExecutionContext, payload: dict[str, Any]) -> Any:
    """Do one of the things that no handler should."""
    match payload["how"]:
        case "exit":
            sys.exit(3)
        case "unprintable":
            raise Unprintable
        case "surrogate":
            raise ValueError("half a pair: \ud800")
        case "surrogate_progress":
            ctx.progress(0.5, "half a pair: \ud800")
            ctx.output("half a pair: \ud800")
        case "not_json":
            return object()
        case "deep":
            nested: list[Any] = []
            for _ in range(100_000):
                nested = [nested]
            return nested
        case "large":
            return "x" * 2_000_000
        case "large_checkpoint":
            ctx.checkpoint({"x": "x" * 2_000_000})
        case "huge_number":
            return 10**5000
        case "die":
            os._exit(9)
    return None


@agent.task("misbehave.async")
async def misbehave_async(ctx: ExecutionContext, payload: dict[str, Any]) -> None:
    """End the process, or so it thinks."""
    sys.exit(3)


class Order(BaseModel):
    amount: int


@agent.task("typed")
def typed(ctx: SyncExecutionContext, payload: Order) -> Order:
    note("typed", ctx.execution_id)
    return payload


#: The same handlers behind many slots.
wide = Agent("wide", max_concurrent=20)
wide.handlers.update(agent.handlers)
