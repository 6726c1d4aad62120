"""What is paused and cancelled: work with and without safe points, and work that hears nothing."""

from __future__ import annotations

import asyncio
import subprocess
import time
from typing import Any

from mindswarm_exec import Agent, ExecutionContext, SyncExecutionContext
from tests.e2e.handlers import POLL_SECONDS, appears, began, exists, note, steps

agent = Agent("stoppable")


# --- work in steps --------------------------------------------------------------------------------------


def count(ctx: SyncExecutionContext, payload: dict[str, Any]) -> dict[str, Any]:
    """As `steps`, for a thread or a process."""
    begun_at = ctx.checkpoint_state.get("next", 0)
    began(ctx)
    assert isinstance(begun_at, int)
    for step in range(begun_at, payload["steps"]):
        while step == payload.get("hold") and not exists(payload["file"]):
            time.sleep(POLL_SECONDS)
            ctx.checkpoint({"next": step})
        ctx.checkpoint({"next": step + 1})
    return {"agent": ctx.agent_id, "from": begun_at}


agent.task("steps.async")(steps)
agent.task("steps.thread")(count)
agent.task("steps.process", isolation="process")(count)


# --- work without steps ---------------------------------------------------------------------------------


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


# --- deaf work ------------------------------------------------------------------------------------------


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
