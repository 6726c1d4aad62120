"""The sentences for what the ledger refuses. Pure."""

from __future__ import annotations

from mindswarm_exec.errors import AlreadyAnswered, MoveRefused, PauseNotObeyed, UnknownExecution
from mindswarm_exec.ledger.replies import BudgetSpent, ParentOver, ParentUnknown
from mindswarm_exec.lifecycle import RUNNING, Move, Status, moves_from


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


def parent_refused(parent_id: str | None, reply: ParentUnknown | ParentOver) -> UnknownExecution | MoveRefused:
    """A child was submitted to what is no execution, has ended or is to be cancelled."""
    if isinstance(reply, ParentUnknown):
        return UnknownExecution.of(parent_id or "")
    return MoveRefused(
        f"cannot start a child of execution {parent_id}: it is {reply.status}, or it is to be cancelled. "
        "Start it without parent_id, if it is still wanted.",
        execution_id=parent_id,
        found=reply.status,
    )


def awaits_input(execution_id: str) -> MoveRefused:
    """A resume of an execution that waits for an answer."""
    return MoveRefused(
        f"cannot resume execution {execution_id}: it waits for an answer. Give it with "
        "mindswarm.execution.provideInput, or cancel it.",
        execution_id=execution_id,
        found="input_required",
    )


def pause_not_obeyed(execution_id: str) -> PauseNotObeyed:
    """A new checkpoint for a handler that was asked to pause and still runs."""
    return PauseNotObeyed(
        f"cannot replace the checkpoint of execution {execution_id}: it was asked to pause and still runs, so its "
        "handler would not see another. Wait until its status is paused, then resume it with the checkpoint; or "
        "resume it without one to withdraw the pause.",
        execution_id=execution_id,
        found="running",
    )


def waits_for_no_input(execution_id: str, found: str) -> MoveRefused:
    """An answer to an execution that has asked nothing."""
    return MoveRefused(
        f"cannot answer execution {execution_id}: it is {found} and waits for no input.",
        execution_id=execution_id,
        found=found,
    )


def already_answered(execution_id: str, question_id: str) -> AlreadyAnswered:
    """A second answer to one question."""
    return AlreadyAnswered(
        f"question {question_id} of execution {execution_id} has its answer already; the first one counts.",
        execution_id=execution_id,
        question_id=question_id,
    )


def another_question(execution_id: str, asked: str, other: str) -> MoveRefused:
    """An answer to a question that is not the one that is open."""
    return MoveRefused(
        f"cannot answer question {asked} of execution {execution_id}: it waits for the answer to {other}. "
        "Look at `question` of the execution, and answer that.",
        execution_id=execution_id,
        question_id=asked,
        open_question_id=other,
    )


def budget_is_spent(execution_id: str, reply: BudgetSpent) -> MoveRefused:
    """A resume of an execution whose budget is as spent as before."""
    owner = "its own" if reply.execution_id == execution_id else f"the one of its ancestor {reply.execution_id}"
    return MoveRefused(
        f"cannot resume execution {execution_id}: of the budget of {reply.meter}, {owner}, {reply.spent:g} of "
        f"{reply.limit:g} are spent. Resume {reply.execution_id} with a larger one in `meters`.",
        execution_id=execution_id,
        budget_of=reply.execution_id,
        meter=reply.meter,
        spent=reply.spent,
        limit=reply.limit,
    )


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _participle(move: Move) -> str:
    return {"pause": "paused", "resume": "resumed", "cancel": "cancelled", "retry": "retried"}.get(
        move.name, f"moved by {move.name}"
    )


def _advice(move: Move, found: str) -> str:
    ways = [row.name for row in moves_from(Status(found)) if row.name in ("resume", "retry", "cancel")]
    if move.name == "retry" and found == "completed":
        return " Start a new execution to run it again."
    if move.name == "resume" and found == RUNNING:
        return " It has no pause to withdraw."
    return f" What can be done now: {', '.join(ways)}." if ways else ""
