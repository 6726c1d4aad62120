"""Agents whose handlers say which trace they find themselves in. With tracing in other processes, these run there."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any

from mindswarm_exec import Agent, ExecutionContext, SyncExecutionContext

FILES = Path(os.environ.get("SWARM_FILES", "."))
POLL_SECONDS = 0.02

agent = Agent("traced", max_concurrent=4)


def current_traceparent() -> str | None:
    """The current span of whoever asks, by OpenTelemetry's own propagator."""
    from opentelemetry.propagate import inject

    carrier: dict[str, str] = {}
    inject(carrier)
    return carrier.get("traceparent")


def found(ctx: ExecutionContext | SyncExecutionContext) -> dict[str, Any]:
    return {"ctx": ctx.traceparent, "state": ctx.tracestate}


@agent.task("look.thread")
def look_on_thread(ctx: SyncExecutionContext) -> dict[str, Any]:
    return found(ctx) | {"current": current_traceparent()}


@agent.task("look.async")
async def look_async(ctx: ExecutionContext) -> dict[str, Any]:
    await asyncio.sleep(0)
    return found(ctx) | {"current": current_traceparent()}


@agent.task("look.process", isolation="process")
def look_in_process(ctx: SyncExecutionContext) -> dict[str, Any]:
    return found(ctx) | {name: os.environ.get(name) for name in ("TRACEPARENT", "TRACESTATE")}


agent.command("look.command", ["printenv", "TRACEPARENT"])


@agent.task("parent.async")
async def parent_async(ctx: ExecutionContext, payload: str) -> Any:
    return await (await ctx.start_child(payload)).result(10)


@agent.task("parent.process", isolation="process")
def parent_in_process(ctx: SyncExecutionContext, payload: str) -> Any:
    return ctx.start_child(payload).result(10)


@agent.task("fail.once")
def fail_once(ctx: SyncExecutionContext, payload: str) -> int:
    if ctx.attempt == 1:
        raise ValueError(payload)
    return ctx.attempt


@agent.task("steps")
async def steps(ctx: ExecutionContext) -> int:
    """Run until it has been paused once."""
    while "paused" not in ctx.checkpoint_state and ctx.attempt == 1:
        await ctx.checkpoint({"seen": True})
        await asyncio.sleep(POLL_SECONDS)
    return ctx.attempt


@agent.task("wait")
def wait(ctx: SyncExecutionContext, payload: str) -> str:
    """Start a child, then run until a file appears."""
    ctx.start_child("look.thread", key="child")
    while not (FILES / payload).exists():
        ctx.progress(0.5)
        time.sleep(POLL_SECONDS)
    return ctx.agent_id


@agent.task("modules")
def modules(ctx: SyncExecutionContext) -> list[str]:
    """What is loaded in the agent's own process, of tracing and of OpenTelemetry."""
    return sorted(name for name in sys.modules if name.startswith(("mindswarm_exec.tracing", "opentelemetry")))
