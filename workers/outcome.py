"""How an attempt ended, as a value, and what is recorded of it. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from pydantic import JsonValue

from mindswarm_exec.ledger.operations import Settlement
from mindswarm_exec.lifecycle import COMPLETED, FAILED, POSTPONE, TIMED_OUT, AttemptFacts, Move, OutcomeKind, after
from mindswarm_exec.models.records import Failure
from workers.attempt import RunningAttempt, storable

MAX_ERROR_MESSAGE = 2000


@dataclass(frozen=True, slots=True)
class Outcome:
    """`result` is JSON text, set if it succeeded; `failure` is set if it ended abnormally."""

    kind: OutcomeKind
    result: str | None = None
    failure: Failure | None = None
    facts: dict[str, JsonValue] = field(default_factory=dict)


def succeeded(result: str) -> Outcome:
    return Outcome(OutcomeKind.SUCCEEDED, result=result)


def raised(error: BaseException, kind: OutcomeKind = OutcomeKind.RAISED) -> Outcome:
    """The handler ended with an error of its own."""
    failure = Failure(kind=kind.value, type=type(error).__name__, message=_told(error))
    return Outcome(kind, failure=failure)


def _told(error: BaseException) -> str:
    """The message of an error of the handler's, which may be no text or fail to be told."""
    try:
        return storable(str(error)[:MAX_ERROR_MESSAGE])
    except Exception as failure:  # noqa: BLE001  an error's __str__ is the handler's code
        return f"its message cannot be told ({type(failure).__name__})"


def overran(running: RunningAttempt, kind: OutcomeKind, elapsed_seconds: float) -> Outcome:
    """A timeout ended it; the failure names the measured value and the limit."""
    is_stall = kind is OutcomeKind.STALLED
    limit = running.options.stall_timeout_seconds if is_stall else running.options.timeout_seconds
    what = "gave no sign of life for" if is_stall else "ran"
    measured: dict[str, JsonValue] = {"elapsed_ms": round(elapsed_seconds * 1000), "limit_seconds": limit}
    message = f"{what} {elapsed_seconds:.1f} s of {limit:g} s allowed"
    return Outcome(kind, failure=Failure(kind=kind.value, message=message, measured=measured))


def cancelled(running: RunningAttempt) -> Outcome:
    return Outcome(OutcomeKind.CANCELLED, failure=Failure(kind="cancelled_by", message="cancelled on request"))


def _verdict(kind: OutcomeKind, move: Move) -> str:
    """What the outcome says of the agent: "1", "0", or nothing, as for a payload that no agent could take."""
    if move.target is COMPLETED:
        return "1"
    failed = kind in (OutcomeKind.RAISED, OutcomeKind.TIMED_OUT, OutcomeKind.STALLED)
    return "0" if failed else ""


def settlement(
    running: RunningAttempt, outcome: Outcome, slot: str
) -> tuple[Settlement, dict[str, str | int | float]]:
    """The row that follows, and the fields to store with it."""
    facts = AttemptFacts(
        retry_policy=running.options.retry_policy,
        failed_attempts=running.held.failed_attempts,
        error_type=outcome.failure.type if outcome.failure else "",
    )
    choice = after(outcome.kind, facts)
    fields: dict[str, str | int | float] = {}
    data: dict[str, JsonValue] = {"attempt": running.attempt, "agent_id": running.agent_id, **outcome.facts}
    if outcome.result is not None:
        fields["result"] = outcome.result
    if outcome.failure is not None:
        stored = outcome.failure.model_dump(mode="json", exclude_defaults=True)
        fields["error"] = json.dumps(stored)
        data["error"] = stored
    if outcome.kind is OutcomeKind.PAUSED and running.checkpoint_id:
        fields["intent_checkpoint_id"] = running.checkpoint_id
    if choice.delay_ms:
        data["delay_ms"] = choice.delay_ms
    spent = choice.move is POSTPONE or choice.move.target in (FAILED, TIMED_OUT)
    how = Settlement(
        move=choice.move,
        data=json.dumps(data),
        slot=slot,
        outcome=_verdict(outcome.kind, choice.move),
        counter="failed_attempts" if spent else "",
        delay_ms=choice.delay_ms,
    )
    return how, fields
