"""Exit codes of `mindswarm-exec`: one table, from which `--help` and the error handling both read."""

from __future__ import annotations

from dataclasses import dataclass

from mindswarm_exec import errors


@dataclass(frozen=True, slots=True)
class Exit:
    """One row: the code, what it tells a script, and the errors that lead to it."""

    code: int
    meaning: str
    errors: tuple[type[BaseException], ...] = ()


OK = Exit(0, "done")
ENDED = Exit(
    1,
    "the execution ended without a result (failed, cancelled or timed out)",
    (errors.ExecutionNotCompleted, errors.ResultNotReady),
)
INVALID = Exit(2, "the command or request is malformed", (errors.InvalidRequest,))
NOT_FOUND = Exit(3, "no such execution, agent or task", (errors.NotFound,))
REFUSED = Exit(4, "its present state forbids it", (errors.MoveRefused, errors.StaleAttempt))
UNAVAILABLE = Exit(
    5,
    "the API or the ledger did not answer, or failed",
    (errors.ApiUnavailable, errors.LedgerUnavailable, errors.MindSwarmError),
)
FORBIDDEN = Exit(6, "the API key is missing, unknown or not for this", (errors.Unauthenticated, errors.Forbidden))
INTERRUPTED = Exit(130, "interrupted", (KeyboardInterrupt,))

EXITS = (OK, ENDED, INVALID, NOT_FOUND, REFUSED, UNAVAILABLE, FORBIDDEN, INTERRUPTED)


def exit_of(error: BaseException) -> Exit:
    """The row for an error: the one that names the nearest class it descends from."""
    for cls in type(error).__mro__:
        for row in EXITS:
            if cls in row.errors:
                return row
    return UNAVAILABLE


def help_text() -> str:
    """The table as `--help` shows it. The leading mark keeps click from rewrapping it."""
    return "\b\nExit codes:\n" + "\n".join(f"  {row.code:>3}  {row.meaning}" for row in EXITS)
