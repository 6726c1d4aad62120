"""Waiting on a condition, for tests that must never sleep; and conditions for a lambda, which holds no `assert`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(check: Callable[[], T], within_ms: int = 20_000, every_ms: int = 20) -> T:
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


async def eventually_async(check: Callable[[], Awaitable[T]], within_ms: int = 20_000, every_ms: int = 20) -> T:
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


def passes(seconds: float) -> None:
    """Let this much time pass: for what must not happen meanwhile."""
    until = time.monotonic() + seconds
    eventually(lambda: must_be_at_least(time.monotonic(), until), round(seconds * 1000) + 5000)


def must_hold(value: object) -> None:
    assert value


def must_be(found: object, wanted: object) -> None:
    assert found == wanted


def must_be_at_least(found: float, least: float) -> None:
    assert found >= least
