"""Ending asyncio tasks for certain."""

from __future__ import annotations

import asyncio

#: How long a cancelled task may clean up before it is told again.
PATIENCE_SECONDS = 0.25


async def cancel_and_wait(*tasks: asyncio.Task[None]) -> None:
    """Cancel the tasks and return when all have ended; what they raise is dropped.

    A single `cancel` is not enough: `asyncio.wait_for` of Python 3.11 swallows one that arrives as its inner call
    ends (python/cpython#86296), and redis-py awaits every write with it.
    """
    running = {task for task in tasks if not task.done()}
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=PATIENCE_SECONDS)
    await asyncio.gather(*tasks, return_exceptions=True)
