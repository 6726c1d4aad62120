"""What asks for something as it runs: an answer, more of a budget, a child's result."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Literal

from pydantic import BaseModel

from mindswarm_exec import Agent, ExecutionContext, SyncExecutionContext
from tests.e2e.handlers import POLL_SECONDS, began, exists, note

agent = Agent("asking")


# --- questions ------------------------------------------------------------------------------------------


class Verdict(BaseModel):
    approved: bool
    by: Literal["ann", "bob"]


def ask(ctx: SyncExecutionContext, payload: dict[str, Any]) -> dict[str, Any]:
    """Ask for a verdict; the answer comes back in its type."""
    began(ctx)
    verdict = ctx.ask("May it go on?", schema=Verdict)
    assert isinstance(verdict, Verdict)
    return {"agent": ctx.agent_id, "attempt": ctx.attempt, "by": verdict.by}


@agent.task("ask.async")
async def ask_async(ctx: ExecutionContext, payload: dict[str, Any]) -> dict[str, Any]:
    """As `ask`."""
    began(ctx)
    verdict = await ctx.ask("May it go on?", schema=Verdict)
    assert isinstance(verdict, Verdict)
    return {"agent": ctx.agent_id, "attempt": ctx.attempt, "by": verdict.by}


agent.task("ask.thread")(ask)
agent.task("ask.process", isolation="process")(ask)


@agent.task("ask.again")
def ask_again(ctx: SyncExecutionContext, payload: int) -> list[Any]:
    """Ask the same question `payload` times, with a checkpoint after each answer."""
    answers = list(ctx.checkpoint_state.get("answers", []))
    while len(answers) < payload:
        answers.append(ctx.ask("Another?"))
        ctx.checkpoint({"answers": answers})
    return answers


@agent.task("ask.two")
async def ask_two(ctx: ExecutionContext, payload: Any) -> list[Any]:
    """Ask two questions with the same prompt, told apart by their keys."""
    return [await ctx.ask("Which?", key="first"), await ctx.ask("Which?", key="second")]


@agent.task("ask.nonsense")
def ask_nonsense(ctx: SyncExecutionContext) -> Any:
    return ctx.ask("Which?", schema={"type": "no such type"})


# --- budgets --------------------------------------------------------------------------------------------


def spend(ctx: SyncExecutionContext, payload: dict[str, Any]) -> Any:
    """Spend `amount` tokens `times` over, with a checkpoint after each if `checkpoints` are wanted."""
    done = ctx.checkpoint_state.get("done", 0)
    began(ctx)
    assert isinstance(done, int)
    for number in range(done, payload["times"]):
        ctx.meter("tokens", payload["amount"])
        note("spent", f"{ctx.execution_id} {number}")
        if payload.get("checkpoints"):
            ctx.checkpoint({"done": number + 1})
    return "spent"


@agent.task("spend.async")
async def spend_async(ctx: ExecutionContext, payload: dict[str, Any]) -> Any:
    """As `spend`."""
    done = ctx.checkpoint_state.get("done", 0)
    began(ctx)
    assert isinstance(done, int)
    for number in range(done, payload["times"]):
        await ctx.meter("tokens", payload["amount"])
        note("spent", f"{ctx.execution_id} {number}")
        if payload.get("checkpoints"):
            await ctx.checkpoint({"done": number + 1})
    return "spent"


agent.task("spend.thread")(spend)
agent.task("spend.process", isolation="process")(spend)


# --- children -------------------------------------------------------------------------------------------


@agent.task("parent")
def have_child(ctx: SyncExecutionContext, payload: dict[str, Any]) -> Any:
    """Start a child, once however often this runs, and return its result."""
    began(ctx)
    child = ctx.start_child(payload["task_type"], payload.get("payload"), key="only")
    note("children", f"{ctx.execution_id} {child.execution_id}")
    if ctx.attempt < payload.get("until", 1):
        raise ValueError("once more")
    return {"child": child.execution_id, "result": child.result(timeout=20)}


@agent.task("parent.async")
async def have_child_async(ctx: ExecutionContext, payload: dict[str, Any]) -> Any:
    """As `have_child`, with two children at once."""
    kinds = payload["task_type"], payload["payload"]
    children = [await ctx.start_child(*kinds), await ctx.start_child(*kinds, priority="high")]
    return await asyncio.gather(*(child.result(timeout=20) for child in children))


agent.task("parent.process", isolation="process")(have_child)


@agent.task("parent.stubborn")
def have_children_after_all(ctx: SyncExecutionContext, payload: dict[str, Any]) -> None:
    """Wait for a file, deaf to a cancel, then start one child after another."""
    began(ctx)
    while not exists(payload["file"]):
        time.sleep(POLL_SECONDS)
    for number in range(20):
        child = ctx.start_child("quick", number)
        note("children", f"{ctx.execution_id} {child.execution_id}")
