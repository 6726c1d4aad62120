"""What the end of a child says, as the error that `ProcessIsolation.run` raises."""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json

from mindswarm_exec.agent import CommandHandler, Handler, InvalidPayload
from mindswarm_exec.context import ExecutionCancelled, SafePointReached
from mindswarm_exec.errors import PayloadTooLarge
from workers.isolation import wire
from workers.isolation.command import killed, signal_name
from workers.isolation.endings import HandlerFailed, ProcessDied
from workers.isolation.intake import Intake
from workers.isolation.limits import Meter


def result_of(answer: wire.Frame, limit_bytes: int) -> bytes:
    """The result that the child has told. It checked it itself, but its memory is the handler's to spoil."""
    try:
        from_json(answer.body)
    except ValueError:
        raise ProcessDied("the process ended with a result that is no JSON") from None
    if len(answer.body) > limit_bytes:
        raise HandlerFailed("PayloadTooLarge", str(PayloadTooLarge.of("the result", len(answer.body), limit_bytes)))
    return answer.body


def told_by_handler(told: dict[str, Any], meter: Meter, resident_bytes: int) -> BaseException:
    """What the handler raised. An error of memory is a breach where memory is limited."""
    match told["kind"]:
        case "safe_point":
            return SafePointReached()
        case "cancelled":
            return ExecutionCancelled(told["message"])
        case "invalid_payload":
            return InvalidPayload(told["message"])
        case "retry_after":
            return wire.raised_by_call(told)
        case "memory" if breach := meter.refused_memory(resident_bytes):
            return breach
    return HandlerFailed(told["type"], told["message"])


def death(handler: Handler, intake: Intake) -> Exception:
    """Why there is no answer, where nobody asked the process to end."""
    if intake.fault is not None:
        return intake.fault
    if intake.failure:
        return ProcessDied(f"no process was started for the handler: {intake.failure}")
    if intake.exit is None:
        return ProcessDied("the process that starts handlers (the zygote) ended, and the handler's with it")
    if "exit" in intake.exit:
        code = int(intake.exit["exit"])
        return ProcessDied(f"the handler's process exited with code {code}", {"exit_code": code})
    number = int(intake.exit["signal"])
    if isinstance(handler, CommandHandler):
        return killed(handler, number)
    name = signal_name(number)
    return ProcessDied(f"the handler's process was killed by {name}, which nobody here sent", {"signal": name})
