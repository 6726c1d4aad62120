"""The agent of the tests of control: a handler of each kind of isolation for each thing that can be asked of it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from typing import Any, Literal

from pydantic import BaseModel

from mindswarm_exec import Agent, ExecutionContext, SyncExecutionContext
from tests.e2e.handlers import POLL_SECONDS, appears, exists, note

agent = Agent("controlled", max_concurrent=12)

FOREVER = 3600.0


def began(ctx: SyncExecutionContext | ExecutionContext) -> None:
    note("began", f"{ctx.execution_id} {ctx.agent_id} {ctx.attempt} {os.getpid()}")


# --- work in steps ---------------------------------------------------------------------------------------


def count(ctx: SyncExecutionContext, payload: dict[str, Any]) -> dict[str, Any]:
    """Count to `steps` with a checkpoint at each step; at step `hold` checkpoint until a file appears."""
    begun_at = ctx.checkpoint_state.get("next", 0)
    began(ctx)
    assert isinstance(begun_at, int)
    for step in range(begun_at, payload["steps"]):
        while step == payload.get("hold") and not exists(payload["file"]):
            time.sleep(POLL_SECONDS)
            ctx.checkpoint({"next": step})
        ctx.checkpoint({"next": step + 1})
    return {"agent": ctx.agent_id, "from": begun_at}


@agent.task("steps.async")
async def count_async(ctx: ExecutionContext, payload: dict[str, Any]) -> dict[str, Any]:
    """As `count`."""
    begun_at = ctx.checkpoint_state.get("next", 0)
    began(ctx)
    assert isinstance(begun_at, int)
    for step in range(begun_at, payload["steps"]):
        while step == payload.get("hold") and not exists(payload["file"]):
            await asyncio.sleep(POLL_SECONDS)
            await ctx.checkpoint({"next": step})
        await ctx.checkpoint({"next": step + 1})
    return {"agent": ctx.agent_id, "from": begun_at}


agent.task("steps.thread")(count)
agent.task("steps.process", isolation="process")(count)


# --- work without steps ----------------------------------------------------------------------------------


def wait(ctx: SyncExecutionContext, payload: dict[str, Any]) -> dict[str, Any]:
    """Run until a file appears, with signs of life and no checkpoint; `finally` leaves a trace."""
    began(ctx)
    try:
        while not exists(payload["file"]):
            ctx.progress(0.5, "waiting")
            time.sleep(POLL_SECONDS)
        return {"agent": ctx.agent_id, "attempt": ctx.attempt}
    finally:
        note("finally", f"{ctx.execution_id} {ctx.attempt}")


@agent.task("wait.async")
async def wait_async(ctx: ExecutionContext, payload: dict[str, Any]) -> dict[str, Any]:
    """As `wait`."""
    began(ctx)
    try:
        await appears(payload["file"])
        return {"agent": ctx.agent_id, "attempt": ctx.attempt}
    finally:
        note("finally", f"{ctx.execution_id} {ctx.attempt}")


agent.task("wait.thread")(wait)
agent.task("wait.process", isolation="process")(wait)
agent.command("wait.command", ["/bin/sh", "-c", 'until [ -e "$0" ]; do sleep 0.05; done', "{path}"])


def late_checkpoint(ctx: SyncExecutionContext, payload: dict[str, Any]) -> dict[str, Any]:
    """Checkpoint, be busy until a file appears, checkpoint again, and wait for a second file."""
    begun_at = ctx.checkpoint_state.get("next", 0)
    began(ctx)
    if begun_at == 0:
        ctx.checkpoint({"next": 1})
    while begun_at < 2 and not exists(payload["file"]):
        time.sleep(POLL_SECONDS)
    ctx.checkpoint({"next": 2})
    while not exists(payload["end"]):
        ctx.checkpoint({"next": 3})
        time.sleep(POLL_SECONDS)
    return {"agent": ctx.agent_id, "from": begun_at}


@agent.task("late.async")
async def late_checkpoint_async(ctx: ExecutionContext, payload: dict[str, Any]) -> dict[str, Any]:
    """As `late_checkpoint`."""
    begun_at = ctx.checkpoint_state.get("next", 0)
    began(ctx)
    if begun_at == 0:
        await ctx.checkpoint({"next": 1})
        await appears(payload["file"])
    await ctx.checkpoint({"next": 2})
    while not exists(payload["end"]):
        await ctx.checkpoint({"next": 3})
        await asyncio.sleep(POLL_SECONDS)
    return {"agent": ctx.agent_id, "from": begun_at}


agent.task("late.thread")(late_checkpoint)
agent.task("late.process", isolation="process")(late_checkpoint)


@agent.task("tree", isolation="process")
def grow_tree(ctx: SyncExecutionContext, payload: dict[str, Any]) -> str:
    """Two generations of programs that beat into a file, below a handler that waits."""
    beat = f'while :; do echo x >> "{payload["beats"]}"; sleep 0.05; done'
    child = subprocess.Popen(["/bin/sh", "-c", f"( {beat} ) & {beat}"])
    began(ctx)
    while not exists(payload["file"]):
        time.sleep(POLL_SECONDS)
    child.kill()
    return "grown"


# --- deaf work -------------------------------------------------------------------------------------------


def be_deaf(ctx: SyncExecutionContext, payload: dict[str, Any]) -> str:
    """Run until a file appears, whatever anybody asks."""
    began(ctx)
    while not exists(payload["file"]):
        try:
            time.sleep(POLL_SECONDS)
        except BaseException:  # noqa: BLE001  this is what deaf means
            note("heard", ctx.execution_id)
    return "deaf to the end"


@agent.task("deaf.async")
async def be_deaf_async(ctx: ExecutionContext, payload: dict[str, Any]) -> str:
    """As `be_deaf`."""
    began(ctx)
    while not exists(payload["file"]):
        try:
            await asyncio.sleep(POLL_SECONDS)
        except asyncio.CancelledError:
            note("heard", ctx.execution_id)
    return "deaf to the end"


agent.task("deaf.thread")(be_deaf)
agent.task("deaf.process", isolation="process")(be_deaf)


@agent.on_cancel
def clean_up(ctx: SyncExecutionContext) -> None:
    note("hooks", f"{ctx.execution_id} {ctx.task_type} {ctx.attempt}")
    ctx.output("cleaned up", "hook")


@agent.on_cancel
async def clean_up_async(ctx: ExecutionContext) -> None:
    await ctx.output("cleaned up as well", "hook")


# --- questions -------------------------------------------------------------------------------------------


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


# --- budgets ---------------------------------------------------------------------------------------------


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


# --- children --------------------------------------------------------------------------------------------


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


# --- errors and attempts ---------------------------------------------------------------------------------


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


# --- greed -----------------------------------------------------------------------------------------------


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


#: The same handlers behind many slots.
wide = Agent("wide", max_concurrent=20)
wide.handlers.update(agent.handlers)
