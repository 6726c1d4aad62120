"""The agent of the tests of process isolation."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from mindswarm_exec import Agent, ExecutionContext, SyncExecutionContext
from mindswarm_exec.errors import InvalidRequest

agent = Agent("isolated")

FOREVER = 3600.0
HOARD = "import time; held = [];\nwhile True: held.append(bytearray(b'x' * (4 << 20))); time.sleep(0.02)"


class Sum(BaseModel):
    left: int
    right: int


class OwnError(Exception):
    pass


@agent.task("sum", isolation="process")
def add(ctx: SyncExecutionContext, payload: Sum) -> int:
    return payload.left + payload.right


@agent.task("sum.async", isolation="process")
async def add_async(ctx: ExecutionContext, payload: Sum) -> int:
    await asyncio.sleep(0)
    return payload.left + payload.right


@agent.task("whoami", isolation="process")
def whoami(ctx: SyncExecutionContext) -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "group": os.getpgrp(),
        "parent": os.getppid(),
        "execution_id": ctx.execution_id,
        "tags": list(ctx.tags),
        "attempt": ctx.attempt,
        "started_at": ctx.started_at.isoformat(),
        "state": ctx.checkpoint_state,
    }


@agent.task("raise", isolation="process")
def fail(ctx: SyncExecutionContext, payload: str) -> None:
    raise OwnError(payload)


@agent.task("exit", isolation="process")
def leave(ctx: SyncExecutionContext, payload: int) -> None:
    sys.exit(payload)


@agent.task("exit.hard", isolation="process")
def leave_hard(ctx: SyncExecutionContext, payload: int) -> None:
    os._exit(payload)


@agent.task("signal", isolation="process")
def die(ctx: SyncExecutionContext, payload: int) -> None:
    os.kill(os.getpid(), payload)
    time.sleep(FOREVER)


@agent.task("result.strange", isolation="process")
def strange(ctx: SyncExecutionContext) -> Any:
    return object()


@agent.task("result.large", isolation="process")
def large(ctx: SyncExecutionContext, payload: int) -> str:
    return "x" * payload


@agent.task("report", isolation="process")
def report(ctx: SyncExecutionContext) -> dict[str, Any]:
    ctx.progress(0.5, "half")
    ctx.output("streamed ü", "notes")
    print("printed ü")  # noqa: T201
    print("wrong", file=sys.stderr)  # noqa: T201
    ctx.checkpoint({"next": 7})
    return ctx.checkpoint_state


@agent.task("ask.and.spend", isolation="process")
def ask_and_spend(ctx: SyncExecutionContext) -> dict[str, Any]:
    ctx.meter("tokens", 2.5)
    child = ctx.start_child("sum", {"left": 1}, key="once", priority="high")
    return {"answer": ctx.ask("Go on?", schema=bool), "child": child.result(timeout=5)}


@agent.task("ask.wrong", isolation="process")
async def ask_wrong(ctx: ExecutionContext) -> str:
    try:
        await ctx.meter("no such budget", 1)
    except InvalidRequest as error:
        return f"{error} {error.facts['field']}"
    return "accepted"


@agent.task("later", isolation="process")
def later(ctx: SyncExecutionContext) -> None:
    ctx.retry_after(7, "busy")


@agent.task("report.async", isolation="process")
async def report_async(ctx: ExecutionContext) -> dict[str, Any]:
    await ctx.progress(0.5, "half")
    await asyncio.gather(*(ctx.checkpoint({"next": i}) for i in range(5)))
    return ctx.checkpoint_state


@agent.task("checkpoint.bad", isolation="process")
def bad_checkpoint(ctx: SyncExecutionContext) -> str:
    try:
        ctx.checkpoint({"large": "x" * 2_000_000})
    except Exception as error:  # noqa: BLE001
        return type(error).__name__
    return "accepted"


@agent.task("checkpoint.loop", isolation="process")
def keep_checkpointing(ctx: SyncExecutionContext) -> None:
    for number in range(100_000):
        ctx.checkpoint({"next": number})
        time.sleep(0.01)


@agent.task("fork.returns", isolation="process")
def fork_returns(ctx: SyncExecutionContext) -> str:
    """The forked copy comes back from the handler as well."""
    child = os.fork()
    if child == 0:
        return "the copy"
    os.waitpid(child, 0)
    return "the handler"


@agent.task("junk", isolation="process")
def junk(ctx: SyncExecutionContext) -> None:
    """Write into every socket that the process was born with."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and os.path.exists(f"/proc/self/fd/{name}"):
            with contextlib.suppress(OSError):
                os.write(int(name), b"\xff" * 64)
    time.sleep(FOREVER)


@agent.task("hoard.below", isolation="process")
def hoard_below(ctx: SyncExecutionContext) -> None:
    """A grandchild takes ever more memory."""
    subprocess.run(["/bin/sh", "-c", f'"{sys.executable}" -c "{HOARD}"; true'], check=False)


@agent.task("hoard.at_once", isolation="process")
def hoard_at_once(ctx: SyncExecutionContext) -> int:
    return len(bytearray(8 << 30))


@agent.task("spin", isolation="process")
def spin(ctx: SyncExecutionContext) -> None:
    while True:
        pass


@agent.task("print", isolation="process")
def flood(ctx: SyncExecutionContext, payload: int) -> None:
    line = "x" * 1023 + "\n"
    for _ in range(payload // 1024):
        sys.stdout.write(line)


@agent.task("stream", isolation="process")
def stream(ctx: SyncExecutionContext, payload: int) -> None:
    for _ in range(payload // 1024):
        ctx.output("x" * 1024)


@agent.task("swarm", isolation="process")
def swarm(ctx: SyncExecutionContext, payload: str) -> None:
    """200 children that are deaf to SIGTERM, and a daemon that has left the group and the session."""
    if os.fork() == 0:
        os.setsid()
        daemon = os.fork()
        if daemon == 0:
            time.sleep(FOREVER)
        _write(payload, "daemon", daemon)
        os._exit(0)
    for _ in range(200):
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            _write(payload, "child")
            time.sleep(FOREVER)
    _write(payload, "handler")
    time.sleep(FOREVER)


@agent.task("family", isolation="process")
def family(ctx: SyncExecutionContext, payload: str) -> None:
    """A child that runs a program, and one of that program's."""
    subprocess.Popen(["/bin/sh", "-c", f'sleep 3600 & echo "child $!" >> {payload}; wait'])
    _write(payload, "handler")
    time.sleep(FOREVER)


@agent.task("apart", isolation="process")
def apart(ctx: SyncExecutionContext, payload: str) -> None:
    """A program in a session of its own."""
    child = subprocess.Popen(["sleep", "3600"], start_new_session=True)
    _write(payload, "child", child.pid)
    _write(payload, "handler")
    time.sleep(FOREVER)


@agent.task("leftovers", isolation="process")
def leftovers(ctx: SyncExecutionContext, payload: str) -> str:
    """Return while a program of its own goes on."""
    child = subprocess.Popen(["sleep", "3600"], start_new_session=True)
    _write(payload, "child", child.pid)
    return "done"


@agent.task("tidy", isolation="process")
def tidy(ctx: SyncExecutionContext, payload: str) -> None:
    try:
        _write(payload, "began")
        time.sleep(FOREVER)
    finally:
        _write(payload, "tidied")


@agent.task("tidy.async", isolation="process")
async def tidy_async(ctx: ExecutionContext, payload: str) -> None:
    try:
        _write(payload, "began")
        await asyncio.sleep(FOREVER)
    finally:
        _write(payload, "tidied")


@agent.task("deaf", isolation="process")
def deaf(ctx: SyncExecutionContext, payload: str) -> None:
    _write(payload, "began")
    while True:
        try:
            time.sleep(FOREVER)
        except BaseException:  # noqa: BLE001
            _write(payload, "heard")


@agent.task("count", isolation="process")
def count(ctx: SyncExecutionContext, payload: str) -> None:
    """Spin, noting each round of work."""
    path = Path(payload)
    for number in range(10_000_000):
        if number % 1000 == 0:
            path.write_text(f"{os.getpid()} {number}")


def _write(path: str, word: str, pid: int | None = None) -> None:
    with open(path, "a") as file:
        file.write(f"{word} {pid or os.getpid()}\n")


agent.command("say", ["printf", "%s\\n", "{text}"])
agent.command("say.guarded", ["printf", "--", "%s\\n", "{text}"])
agent.command("shell", ["/bin/sh", "-c", "{{ {script} ; }}"], ok_codes=(0, 3), env={"GREETING": "hello"}, cwd="/")
agent.command("no.such.program", ["/no/such/program"])
agent.command("no.such.directory", ["true"], cwd="/no/such/directory")
agent.command("no.payload", ["true"])
agent.command("numbers", ["printf", "%s %s", "{copy}", "x{json}"])
