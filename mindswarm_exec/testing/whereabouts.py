"""Where an execution is that a test waits for in vain, and what would move it."""

from __future__ import annotations

from mindswarm_exec.lifecycle import Status
from mindswarm_exec.models.records import Execution

#: Reasons to wait that only the test ends: with time, which stands still for whoever does not put it forward.
TIMED = ("start_at", "retry_delay")


def whereabouts(found: Execution) -> str:
    """The execution in a sentence: its state, and what it is about."""
    parts = (f"{found.task_type} is {found.status.value}", _doing(found), _failed(found))
    return "; ".join(part for part in parts if part)


def _doing(found: Execution) -> str:
    match found.status:
        case Status.RUNNING:
            message = f", {found.progress.message}" if found.progress.message else ""
            return f"attempt {found.attempt} is at {found.progress.fraction:.0%}{message}"
        case Status.PENDING if found.waiting_for is not None:
            is_timed = found.waiting_for.reason in TIMED
            hint = "; put swarm.clock forward, then swarm.sweep()" if is_timed else ""
            return f"{found.waiting_for.detail}{hint}"
        case Status.PAUSED if found.question is not None:
            return f"it asks {found.question.prompt!r}: answer with provide_input"
        case Status.PAUSED:
            return f"for {found.pause_reason}"
    return ""


def _failed(found: Execution) -> str:
    error = found.error
    return f"{error.type or error.kind}: {error.message}" if error is not None else ""
