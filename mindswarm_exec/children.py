"""The executions that a handler starts, as its context hands them out."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator
from typing import Any, Protocol, TypedDict

from pydantic import JsonValue

from mindswarm_exec.errors import ExecutionNotCompleted, ResultNotReady
from mindswarm_exec.lifecycle import COMPLETED, Status

#: Pauses between two looks at a child that is waited for, in seconds; the last one repeats.
CHILD_LOOKS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


class ChildOutcome(TypedDict):
    """What has become of a child: `status`, and `result` or `error` once it has ended."""

    status: str
    result: JsonValue
    error: dict[str, JsonValue] | None


class ChildReporter(Protocol):
    """What a child needs of the attempt that started it. Blocking, safe between threads."""

    def child_outcome(self, execution_id: str) -> ChildOutcome: ...
    def raise_if_stopped(self) -> None: ...


class _Child:
    """An execution that a handler started."""

    def __init__(self, reporter: ChildReporter, execution_id: str) -> None:
        self._reporter = reporter
        self.execution_id = execution_id

    def _ended(self, outcome: ChildOutcome) -> bool:
        """Whether it has ended well. Raises ExecutionNotCompleted if it ended otherwise."""
        status = Status(outcome["status"])
        if status.is_terminal and status is not COMPLETED:
            raise ExecutionNotCompleted(
                f"child {self.execution_id} is {status.value.replace('_', ' ')}.",
                execution_id=self.execution_id,
                status=status.value,
                error=outcome["error"],
            )
        return status is COMPLETED

    def _pauses(self, timeout: float | None) -> Iterator[float]:
        """Pauses between looks. Raises ResultNotReady when `timeout` seconds are over."""
        deadline = None if timeout is None else time.monotonic() + timeout
        for pause in itertools.chain(CHILD_LOOKS, itertools.repeat(CHILD_LOOKS[-1])):
            if deadline is not None and time.monotonic() >= deadline:
                raise ResultNotReady(
                    f"child {self.execution_id} has not ended within {timeout:g} s; it goes on. Wait again.",
                    execution_id=self.execution_id,
                )
            yield pause


class ChildExecution(_Child):
    """A child of a thread or process handler's execution."""

    def result(self, timeout: float | None = None) -> Any:
        """Wait for its result, at most `timeout` seconds. The slot of this execution stays taken meanwhile.

        Raises:
            ExecutionNotCompleted: it ended without a result; `facts` name status and error.
            ResultNotReady: it has not ended yet.
        """
        for pause in self._pauses(timeout):
            outcome = self._reporter.child_outcome(self.execution_id)
            if self._ended(outcome):
                return outcome["result"]
            self._reporter.raise_if_stopped()
            time.sleep(pause)
        raise AssertionError("the pauses never end")


class AsyncChildExecution(_Child):
    """A child of an async handler's execution."""

    async def result(self, timeout: float | None = None) -> Any:  # noqa: ASYNC109  the same face as the sync one
        """As `ChildExecution.result`."""
        for pause in self._pauses(timeout):
            outcome = await asyncio.to_thread(self._reporter.child_outcome, self.execution_id)
            if self._ended(outcome):
                return outcome["result"]
            await asyncio.sleep(pause)
        raise AssertionError("the pauses never end")
