"""Agents for the tests of the command line."""

from __future__ import annotations

import threading

from pydantic import BaseModel

from mindswarm_exec import Agent, ExecutionContext, SyncExecutionContext

worker = Agent("worker", capabilities={"python"}, labels={"region": "eu"}, max_concurrent=2)


class Greeting(BaseModel):
    name: str


@worker.task("sample.greet")
def greet(ctx: SyncExecutionContext, greeting: Greeting) -> str:
    ctx.progress(0.5, "clearing the throat")
    ctx.output(f"hello [bold]{greeting.name}[/bold] \x1b[31m")
    return f"hello {greeting.name}"


@worker.task("sample.fail")
def fail(ctx: SyncExecutionContext) -> None:
    raise ValueError("as asked [red]\x1b[0m")


@worker.task("sample.hold")
async def hold(ctx: ExecutionContext) -> None:
    """Run until cancelled, or paused at one of its checkpoints."""
    import asyncio

    count = int(ctx.checkpoint_state.get("count", 0) or 0)
    while True:
        count += 1
        await ctx.checkpoint({"count": count})
        await asyncio.sleep(0.05)


@worker.task("sample.deaf")
def deaf(ctx: SyncExecutionContext) -> None:
    """Hear nothing until the process ends."""
    threading.Event().wait(600)
