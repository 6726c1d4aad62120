"""What the exit of a command means."""

from __future__ import annotations

import signal

from mindswarm_exec.agent import CommandHandler
from mindswarm_exec.command import CommandResult
from workers.isolation.endings import HandlerFailed
from workers.isolation.output import LineBuffer

#: Type of the failure of a command that ended otherwise than by an ok code.
COMMAND_FAILED = "CommandFailed"
MAX_LAST_LINE = 500


def command_result(handler: CommandHandler, exit_code: int, stdout: LineBuffer, stderr: LineBuffer) -> bytes:
    """The result of a command that exited.

    Raises:
        HandlerFailed: the code is not among the ok codes.
    """
    if exit_code in handler.command.ok_codes:
        return handler.render(CommandResult(exit_code=exit_code, stdout=stdout.tail, stderr=stderr.tail))
    said = _last_line(stderr.tail)
    message = f"{handler.command.argv[0]} exited with code {exit_code}" + (f": {said}" if said else "")
    raise HandlerFailed(COMMAND_FAILED, message, {"exit_code": exit_code})


def killed(handler: CommandHandler, number: int) -> HandlerFailed:
    """The failure of a command that a signal ended which nobody here sent."""
    name = signal_name(number)
    return HandlerFailed(COMMAND_FAILED, f"{handler.command.argv[0]} was killed by {name}", {"signal": name})


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


def _last_line(text: str) -> str:
    lines = text.rstrip().splitlines()
    return lines[-1][:MAX_LAST_LINE] if lines else ""
