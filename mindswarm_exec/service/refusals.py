"""The sentences for what the ledger refuses. Pure."""

from __future__ import annotations

from mindswarm_exec.errors import MoveRefused
from mindswarm_exec.lifecycle import MOVES, RUNNING, Move


def refusal(move: Move, execution_id: str, found: str) -> MoveRefused:
    """The error of a move that the execution's present state forbids."""
    allowed = [status.value for status in move.sources]
    return MoveRefused(
        f"cannot {move.name} execution {execution_id}: it is {found}. Only {_listed(allowed)} executions can be "
        f"{_participle(move)}.{_advice(move, found)}",
        execution_id=execution_id,
        move=move.name,
        found=found,
        allowed=allowed,
    )


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _participle(move: Move) -> str:
    return {"pause": "paused", "resume": "resumed", "cancel": "cancelled", "retry": "retried"}.get(
        move.name, f"moved by {move.name}"
    )


def _advice(move: Move, found: str) -> str:
    ways = [row.name for row in MOVES if found in row.sources and row.name in ("resume", "retry", "cancel")]
    if move.name == "retry" and found == "completed":
        return " Start a new execution to run it again."
    if move.name == "resume" and found == RUNNING:
        return " It has no pause to withdraw."
    return f" What can be done now: {', '.join(ways)}." if ways else ""
