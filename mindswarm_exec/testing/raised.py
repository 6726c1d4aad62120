"""What handlers raised, kept for the test: the record of an execution has the class and the message alone."""

from __future__ import annotations

import copy
import functools
from dataclasses import replace
from types import TracebackType
from typing import Any

from mindswarm_exec.agent import Agent, Handler


class Raised:
    """By execution, the latest that its handler raised. Nothing of handlers in processes of their own."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[Exception, TracebackType | None]] = {}

    def of(self, execution_id: str) -> Exception | None:
        """The exception, its traceback from the handler on downwards."""
        if execution_id not in self._found:
            return None
        error, frames = self._found[execution_id]
        return error.with_traceback(frames)

    def noting(self, agent: Agent) -> Agent:
        """The agent, with what its handlers raise noted."""
        noted = copy.copy(agent)
        noted.handlers = {name: self.noting_handler(handler) for name, handler in agent.handlers.items()}
        return noted

    def noting_handler(self, handler: Handler) -> Handler:
        """The handler, with what it raises noted."""
        match handler.isolation:
            case "async":
                return replace(handler, function=self._awaited(handler.function))
            case "thread":
                return replace(handler, function=self._called(handler.function))
            case "process":
                return handler

    def _called(self, function: Any) -> Any:
        @functools.wraps(function)
        def called(ctx: Any, *payload: Any) -> Any:
            try:
                return function(ctx, *payload)
            except Exception as error:
                self._note(ctx.execution_id, error)
                raise

        return called

    def _awaited(self, function: Any) -> Any:
        @functools.wraps(function)
        async def awaited(ctx: Any, *payload: Any) -> Any:
            try:
                return await function(ctx, *payload)
            except Exception as error:
                self._note(ctx.execution_id, error)
                raise

        return awaited

    def _note(self, execution_id: str, error: Exception) -> None:
        # without the frame of this module; those of the engine are added on the way up
        self._found[execution_id] = (error, error.__traceback__.tb_next if error.__traceback__ else None)
