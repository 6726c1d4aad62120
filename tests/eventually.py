"""Waiting on a condition, for tests that must never sleep."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(check: Callable[[], T], within_ms: int = 5000, every_ms: int = 20) -> T:
    """Call `check` until it raises no AssertionError, and return its value.

    Raises:
        AssertionError: the last one of `check`, when `within_ms` have passed.
    """
    deadline = time.monotonic() + within_ms / 1000
    while True:
        try:
            return check()
        except AssertionError:
            if time.monotonic() >= deadline:
                raise
        time.sleep(every_ms / 1000)


async def eventually_async(check: Callable[[], Awaitable[T]], within_ms: int = 5000, every_ms: int = 20) -> T:
    """Await `check()` until it raises no AssertionError, and return its value.

    Raises:
        AssertionError: the last one of `check`, when `within_ms` have passed.
    """
    deadline = time.monotonic() + within_ms / 1000
    while True:
        try:
            return await check()
        except AssertionError:
            if time.monotonic() >= deadline:
                raise
        await asyncio.sleep(every_ms / 1000)
