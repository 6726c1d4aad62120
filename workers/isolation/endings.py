"""How an attempt in a process ends without a result: what `ProcessIsolation.run` raises."""

from __future__ import annotations

from pydantic import JsonValue


class AbnormalEnd(Exception):
    """`measured` holds the figures that the failure of the execution shows."""

    def __init__(self, message: str, measured: dict[str, JsonValue] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.measured = measured or {}


class HandlerFailed(AbnormalEnd):
    """The handler raised: `type` is the name of the class, `message` the text."""

    def __init__(self, type: str, message: str, measured: dict[str, JsonValue] | None = None) -> None:
        super().__init__(message, measured)
        self.type = type


class LimitBreached(AbnormalEnd):
    """It used more than it may. `kind`: memory_limit, cpu_limit, timeout, output_limit or process_limit."""

    def __init__(self, kind: str, message: str, measured: dict[str, JsonValue] | None = None) -> None:
        super().__init__(message, measured)
        self.kind = kind


class ProcessDied(AbnormalEnd):
    """The process ended without an answer, by a signal or an exit code that nobody here asked for."""
