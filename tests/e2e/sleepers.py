"""Agents that sleep, for the end-to-end tests. Their hooks leave a trace, and do as files and the environment say."""

from __future__ import annotations

import asyncio
import os
import time

from mindswarm_exec import Agent
from tests.e2e.handlers import POLL_SECONDS, agent, exists, note

NAME = os.environ.get("SWARM_SLEEPER", "sleeper")

#: One slot, so that one execution makes it busy.
sleeper = Agent("sleeper", max_concurrent=1)
sleeper.handlers.update(agent.handlers)


@sleeper.on_start
async def load() -> None:
    note("hooks", f"{NAME} start")
    if exists(f"{NAME}.cannot-start"):
        raise RuntimeError("the model is missing")


@sleeper.on_sleep
def unload() -> None:
    note("hooks", f"{NAME} sleep")
    if exists(f"{NAME}.cannot-unload"):
        raise RuntimeError("still in use")


@sleeper.on_wake
async def load_again() -> None:
    note("hooks", f"{NAME} wake")
    while exists(f"{NAME}.hangs"):  # noqa: ASYNC110  another process removes the file
        await asyncio.sleep(POLL_SECONDS)
    if exists(f"{NAME}.cannot-wake"):
        raise RuntimeError("out of memory")


@sleeper.on_wake
def look_at_the_clock() -> None:
    note("hooks", f"{NAME} woke at {time.time():.0f}")
