"""What a handler sees of its execution: progress, output, checkpoints, and the wishes of others.

`ExecutionContext` is for `async` handlers, `SyncExecutionContext` for handlers on a thread. They are two faces of
the same calls.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Protocol

from pydantic import JsonValue


class ExecutionCancelled(BaseException):
    """Raised out of a context call of a thread handler that has to stop: cancelled, timed out or fenced.

    A BaseException, like `asyncio.CancelledError`, so that `except Exception` in a handler does not catch it;
    `finally` blocks run.
    """


class SafePointReached(BaseException):
    """Raised out of `checkpoint` when the handler is to stop there: paused, or its agent drains.

    The state is recorded; the next attempt finds it in `checkpoint_state`. Handlers let it pass.
    """


class AttemptReporter(Protocol):
    """What a context speaks to: the engine's side of one running attempt. Blocking, safe between threads."""

    execution_id: str
    task_type: str
    project_id: str
    task_id: str | None
    agent_id: str
    attempt: int
    tags: tuple[str, ...]
    checkpoint_state: dict[str, JsonValue]
    started_at: datetime

    def progress(self, fraction: float, message: str) -> None: ...
    def output(self, chunk: str, stream: str) -> None: ...
    def checkpoint(self, state: dict[str, JsonValue]) -> None: ...
    def raise_if_stopped(self) -> None: ...


class _Identity:
    """Who is running, on both faces."""

    def __init__(self, reporter: AttemptReporter) -> None:
        self._reporter = reporter

    @property
    def execution_id(self) -> str:
        return self._reporter.execution_id

    @property
    def attempt(self) -> int:
        """Ordinal of this attempt, from 1."""
        return self._reporter.attempt

    @property
    def task_type(self) -> str:
        return self._reporter.task_type

    @property
    def project_id(self) -> str:
        return self._reporter.project_id

    @property
    def task_id(self) -> str | None:
        return self._reporter.task_id

    @property
    def agent_id(self) -> str:
        return self._reporter.agent_id

    @property
    def tags(self) -> tuple[str, ...]:
        return self._reporter.tags

    @property
    def started_at(self) -> datetime:
        """When this attempt began here (this machine's clock, UTC)."""
        return self._reporter.started_at

    @property
    def checkpoint_state(self) -> dict[str, JsonValue]:
        """The state of the latest checkpoint, from this attempt or an earlier one; empty before the first."""
        return self._reporter.checkpoint_state


class SyncExecutionContext(_Identity):
    """The context of a handler on a thread. Any call may raise `ExecutionCancelled`."""

    def progress(self, fraction: float, message: str = "") -> None:
        """Say how far it is, 0.0 to 1.0. At most ten a second are sent; the latest always is."""
        self._reporter.raise_if_stopped()
        self._reporter.progress(fraction, message)

    def output(self, chunk: str, stream: str = "output") -> None:
        """Stream a piece of output to whoever watches."""
        self._reporter.raise_if_stopped()
        self._reporter.output(chunk, stream)

    def log(self, message: str) -> None:
        """Stream a line for the operator; it arrives as output with `stream` = "log"."""
        self.output(message, "log")

    def checkpoint(self, state: dict[str, JsonValue]) -> None:
        """Record `state`, and stop here if a pause or a drain asks for it."""
        self._reporter.raise_if_stopped()
        self._reporter.checkpoint(state)


class ExecutionContext(_Identity):
    """The context of an `async` handler. A cancel arrives as `asyncio.CancelledError`."""

    async def progress(self, fraction: float, message: str = "") -> None:
        """Say how far it is, 0.0 to 1.0. At most ten a second are sent; the latest always is."""
        await asyncio.to_thread(self._reporter.progress, fraction, message)

    async def output(self, chunk: str, stream: str = "output") -> None:
        """Stream a piece of output to whoever watches."""
        await asyncio.to_thread(self._reporter.output, chunk, stream)

    async def log(self, message: str) -> None:
        """Stream a line for the operator; it arrives as output with `stream` = "log"."""
        await self.output(message, "log")

    async def checkpoint(self, state: dict[str, JsonValue]) -> None:
        """Record `state`, and stop here if a pause or a drain asks for it."""
        await asyncio.to_thread(self._reporter.checkpoint, state)
