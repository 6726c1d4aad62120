"""What a handler sees of its execution: progress, output, checkpoints, and the wishes of others.

`ExecutionContext` is for `async` handlers, `SyncExecutionContext` for handlers on a thread. They are two faces of
the same calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NoReturn, Protocol

from pydantic import JsonValue, TypeAdapter
from pydantic_core import to_jsonable_python

from mindswarm_exec.children import AsyncChildExecution, ChildExecution, ChildOutcome
from mindswarm_exec.errors import InvalidRequest


class ExecutionCancelled(BaseException):
    """Raised out of a context call of a thread handler that has to stop: cancelled, timed out or fenced.

    A BaseException, like `asyncio.CancelledError`, so that `except Exception` in a handler does not catch it;
    `finally` blocks run.
    """


class SafePointReached(BaseException):
    """Raised out of `checkpoint` when the handler is to stop there: paused, or its agent drains.

    The state is recorded; the next attempt finds it in `checkpoint_state`. Handlers let it pass.
    """


class RetryAfter(BaseException):
    """Raised by `retry_after`: the attempt ends here, and another one begins after `seconds`."""

    def __init__(self, seconds: float, reason: str = "") -> None:
        super().__init__(seconds, reason)
        self.seconds = seconds
        self.reason = reason


class AttemptReporter(Protocol):
    """What a context speaks to: the engine's side of one running attempt. Blocking, safe between threads."""

    execution_id: str
    task_type: str
    project_id: str
    task_id: str | None
    agent_id: str
    attempt: int
    tags: tuple[str, ...]
    traceparent: str | None
    tracestate: str | None
    checkpoint_state: dict[str, JsonValue]
    started_at: datetime

    def progress(self, fraction: float, message: str) -> None: ...
    def output(self, chunk: str, stream: str) -> None: ...
    def checkpoint(self, state: dict[str, JsonValue]) -> None: ...
    def raise_if_stopped(self) -> None: ...
    def meter(self, name: str, amount: float) -> None: ...
    def ask(self, prompt: str, schema: dict[str, JsonValue] | None, key: str) -> JsonValue: ...
    def start_child(self, task_type: str, payload: JsonValue, options: dict[str, JsonValue], key: str) -> str: ...
    def child_outcome(self, execution_id: str) -> ChildOutcome: ...


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
    def traceparent(self) -> str | None:
        """The span of this attempt, or of the submission where the agent makes none, as W3C Trace Context writes it.

        A header for what the handler calls. None if the execution belongs to no trace.
        """
        return self._reporter.traceparent

    @property
    def tracestate(self) -> str | None:
        """What goes with `traceparent`, if anything does."""
        return self._reporter.tracestate

    @property
    def started_at(self) -> datetime:
        """When this attempt began here (this machine's clock, UTC)."""
        return self._reporter.started_at

    @property
    def checkpoint_state(self) -> dict[str, JsonValue]:
        """The state of the latest checkpoint, from this attempt or an earlier one; empty before the first."""
        return self._reporter.checkpoint_state

    def retry_after(self, seconds: float, reason: str = "") -> NoReturn:
        """End this attempt here, and begin another one after `seconds` (0 to a year).

        It counts as a failed attempt; where the submitter set no retry policy, the handler's word is enough, up to a
        hundred times. The next attempt finds the latest checkpoint.
        """
        if not 0 <= seconds <= 365 * 86400:
            raise InvalidRequest(f"retry_after takes 0 to {365 * 86400} seconds, not {seconds}.")
        raise RetryAfter(float(seconds), reason)


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

    def meter(self, name: str, amount: float) -> None:
        """Count `amount` against the budget `name` (`resource_limits.meters`) of this execution and its ancestors.

        What is counted stays counted. Where a budget is spent the execution pauses at its next checkpoint, or here if
        it comes back to spend more.
        """
        self._reporter.raise_if_stopped()
        self._reporter.meter(name, amount)

    def ask(self, prompt: str, *, schema: Any = None, key: str = "") -> Any:
        """Ask a person, and answer what was said. Without an answer yet the execution is parked, without a slot.

        When it is answered, the handler begins again from its latest checkpoint, and this call returns the answer. An
        answer counts up to the next checkpoint; `key` tells questions with the same prompt apart.

        Args:
            schema: what the answer has to fit: a JSON Schema, or a type, in which it is then returned.
        """
        self._reporter.raise_if_stopped()
        return _read_answer(schema, self._reporter.ask(prompt, _json_schema(schema), key or prompt))

    def start_child(
        self,
        task_type: str,
        payload: Any = None,
        *,
        key: str = "",
        options: Mapping[str, Any] | None = None,
        **more_options: Any,
    ) -> ChildExecution:
        """Submit an execution that is part of this one: cancelled with it, and its spending counts here too.

        `key` makes it once per execution: a later attempt that starts a child with the same key gets the same one.
        """
        self._reporter.raise_if_stopped()
        asked = _plain({**(options or {}), **more_options})
        execution_id = self._reporter.start_child(task_type, to_jsonable_python(payload), asked, key)
        return ChildExecution(self._reporter, execution_id)


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

    async def meter(self, name: str, amount: float) -> None:
        """As `SyncExecutionContext.meter`."""
        await asyncio.to_thread(self._reporter.meter, name, amount)

    async def ask(self, prompt: str, *, schema: Any = None, key: str = "") -> Any:
        """As `SyncExecutionContext.ask`."""
        answer = await asyncio.to_thread(self._reporter.ask, prompt, _json_schema(schema), key or prompt)
        return _read_answer(schema, answer)

    async def start_child(
        self,
        task_type: str,
        payload: Any = None,
        *,
        key: str = "",
        options: Mapping[str, Any] | None = None,
        **more_options: Any,
    ) -> AsyncChildExecution:
        """As `SyncExecutionContext.start_child`."""
        asked = _plain({**(options or {}), **more_options})
        submit = self._reporter.start_child
        execution_id = await asyncio.to_thread(submit, task_type, to_jsonable_python(payload), asked, key)
        return AsyncChildExecution(self._reporter, execution_id)


def _plain(options: Mapping[str, Any]) -> dict[str, JsonValue]:
    """Options as JSON would have them."""
    plain: dict[str, JsonValue] = to_jsonable_python(dict(options), exclude_none=True)
    return plain


def _json_schema(schema: Any) -> dict[str, JsonValue] | None:
    return schema if schema is None or isinstance(schema, dict) else TypeAdapter(schema).json_schema()


def _read_answer(schema: Any, answer: JsonValue) -> Any:
    return answer if schema is None or isinstance(schema, dict) else TypeAdapter(schema).validate_python(answer)
