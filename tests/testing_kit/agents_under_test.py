"""Agents as a user's project would have them."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from typing import Any

from pydantic import BaseModel

from mindswarm_exec import Agent, ExecutionContext, SyncExecutionContext

agent = Agent("worker", capabilities={"text"}, max_concurrent=2)
apart = Agent("apart")
cleaned: list[str] = []


class Texts(BaseModel):
    texts: list[str]


class Shaky(Exception):
    pass


@agent.task("count")
async def count(ctx: ExecutionContext, payload: Texts) -> dict[str, int]:
    counts: dict[str, Any] = dict(ctx.checkpoint_state)
    for number, text in enumerate(payload.texts[len(counts) :], start=len(counts)):
        counts[f"text {number}"] = len(text.split())
        await ctx.progress((number + 1) / len(payload.texts), f"counted {number}")
        await ctx.output(text)
        await ctx.checkpoint(dict(counts))
    return counts


@agent.task("hash")
def digest(ctx: SyncExecutionContext, payload: list[str]) -> int:
    for number, _ in enumerate(payload):
        ctx.checkpoint({"next": number + 1})
    ctx.log("done")
    return len(payload)


@agent.task("fail")
async def fail(ctx: ExecutionContext) -> None:
    raise Shaky("it broke")


@agent.task("spend")
async def spend(ctx: ExecutionContext, payload: list[float]) -> float:
    for number, amount in enumerate(payload):
        await ctx.meter("tokens", amount)
        await ctx.checkpoint({"next": number})
    return sum(payload)


@agent.task("approve")
async def approve(ctx: ExecutionContext, payload: str) -> str:
    is_fine = await ctx.ask(f"May I delete {payload}?", schema=bool, key="approval")
    return "deleted" if is_fine else "kept"


@agent.task("gather")
async def gather(ctx: ExecutionContext, payload: list[str]) -> list[Any]:
    children = [await ctx.start_child("count", {"texts": [text]}, key=text) for text in payload]
    return [await child.result(timeout=20) for child in children]


@agent.task("later")
def later(ctx: SyncExecutionContext) -> int:
    if ctx.attempt < 3:
        ctx.retry_after(60, "the source is not ready")
    return ctx.attempt


@agent.task("wait")
async def wait(ctx: ExecutionContext, payload: str) -> str:
    """Wait until the test opens the gate of that name, with a safe point every hundredth of a second."""
    began.setdefault(payload, threading.Event()).set()
    while not gate(payload).is_set():
        await ctx.checkpoint({"agent": ctx.agent_id})
        await asyncio.sleep(0.01)
    return ctx.agent_id


began: dict[str, threading.Event] = {}
gates: dict[str, threading.Event] = {}


def gate(name: str) -> threading.Event:
    return gates.setdefault(name, threading.Event())


@agent.on_cancel
def clean_up(ctx: SyncExecutionContext) -> None:
    cleaned.append(ctx.execution_id)
    ctx.log("cleaned up")


@apart.task("pid", isolation="process")
def pid(ctx: SyncExecutionContext, payload: list[int]) -> int:
    print("hello from apart")  # noqa: T201  a process may print
    start = ctx.checkpoint_state.get("next", 0)
    assert isinstance(start, int)
    for number in range(start, len(payload)):
        ctx.meter("steps", 1)
        ctx.checkpoint({"next": number + 1})
    return os.getpid()


@apart.task("eat", isolation="process")
def eat(ctx: SyncExecutionContext) -> int:
    return len(b"x" * 300_000_000)


apart.command("python", [sys.executable, "-c", "print('{text}')"])
