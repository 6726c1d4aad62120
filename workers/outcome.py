"""How an attempt ended, as a value, and what is recorded of it. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass

from pydantic import JsonValue

from mindswarm_exec.context import RetryAfter
from mindswarm_exec.ledger.operations import Settlement
from mindswarm_exec.lifecycle import COMPLETED, FAILED, POSTPONE, TIMED_OUT, AttemptFacts, Move, OutcomeKind, after
from mindswarm_exec.models.records import Failure, Question
from workers.attempt import RunningAttempt, storable

MAX_ERROR_MESSAGE = 2000
#: Endings that tell against the agent they happened on.
FAILINGS = (
    OutcomeKind.RAISED,
    OutcomeKind.TIMED_OUT,
    OutcomeKind.STALLED,
    OutcomeKind.LIMITED,
    OutcomeKind.DIED,
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """`result` is JSON text, set if it succeeded; `failure` is set if it ended abnormally."""

    kind: OutcomeKind
    result: str | None = None
    failure: Failure | None = None
    #: what the handler asked for with `retry_after`
    delay_ms: int = 0


def succeeded(result: str) -> Outcome:
    return Outcome(OutcomeKind.SUCCEEDED, result=result)


def raised(error: BaseException, kind: OutcomeKind = OutcomeKind.RAISED) -> Outcome:
    """The handler ended with an error of its own."""
    failure = Failure(kind=kind.value, type=type(error).__name__, message=_told(error))
    return Outcome(kind, failure=failure)


def failed(type_name: str, message: str, measured: dict[str, JsonValue]) -> Outcome:
    """The handler ended with an error of its own in another process."""
    told = storable(message[:MAX_ERROR_MESSAGE])
    failure = Failure(kind=OutcomeKind.RAISED.value, type=type_name, message=told, measured=measured)
    return Outcome(OutcomeKind.RAISED, failure=failure)


def _told(error: BaseException) -> str:
    """The message of an error of the handler's, which may be no text or fail to be told."""
    try:
        return storable(str(error)[:MAX_ERROR_MESSAGE])
    except Exception as failure:  # noqa: BLE001  an error's __str__ is the handler's code
        return f"its message cannot be told ({type(failure).__name__})"


def limited(kind: str, message: str, measured: dict[str, JsonValue]) -> Outcome:
    """A resource limit ended it; `kind` names which. Past its wall time it has timed out."""
    outcome = OutcomeKind.TIMED_OUT if kind == OutcomeKind.TIMED_OUT else OutcomeKind.LIMITED
    return Outcome(outcome, failure=Failure(kind=kind, message=message, measured=measured))


def died(message: str, measured: dict[str, JsonValue]) -> Outcome:
    """The process of the handler ended without an answer."""
    failure = Failure(kind=OutcomeKind.DIED.value, message=message, measured=measured)
    return Outcome(OutcomeKind.DIED, failure=failure)


def deferred(running: RunningAttempt, asked: RetryAfter) -> Outcome:
    """The handler asked to be tried again later."""
    told = f": {asked.reason}" if asked.reason else ""
    most = running.options.retry_policy.max_attempts
    message = f"the handler asked to be tried again in {asked.seconds:g} s{told}"
    failure = Failure(
        kind=OutcomeKind.DEFERRED.value,
        message=storable(message[:MAX_ERROR_MESSAGE]),
        measured={"attempts": running.held.failed_attempts + 1, "max_attempts": most},
    )
    return Outcome(OutcomeKind.DEFERRED, failure=failure, delay_ms=round(asked.seconds * 1000))


def overran(running: RunningAttempt, kind: OutcomeKind, elapsed_seconds: float) -> Outcome:
    """A timeout ended it; the failure names the measured value and the limit."""
    is_stall = kind is OutcomeKind.STALLED
    limit = running.options.stall_timeout_seconds if is_stall else running.timeout_seconds
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
    return "0" if kind in FAILINGS else ""


def _where_it_paused(running: RunningAttempt, fields: dict[str, str | int | float]) -> dict[str, JsonValue]:
    """Store what a paused attempt waits for, and from where it goes on; what the event says of it."""
    data: dict[str, JsonValue] = {}
    if running.checkpoint_id:
        fields["intent_checkpoint_id"] = data["checkpoint_id"] = running.checkpoint_id
    if running.parked:
        fields.update(running.parked)
        question = Question.model_validate_json(running.parked["question"])
        data |= {"reason": "input_required", "question_id": question.question_id, "prompt": question.prompt}
    return data


def settlement(
    running: RunningAttempt, outcome: Outcome, slot: str
) -> tuple[Settlement, dict[str, str | int | float]]:
    """The row that follows, and the fields to store with it."""
    facts = AttemptFacts(
        retry_policy=running.options.retry_policy,
        failed_attempts=running.held.failed_attempts,
        error_type=outcome.failure.type if outcome.failure else "",
        failure_kind=outcome.failure.kind if outcome.failure else "",
        delay_ms=outcome.delay_ms,
    )
    choice = after(outcome.kind, facts)
    fields: dict[str, str | int | float] = {}
    data: dict[str, JsonValue] = {"attempt": running.attempt, "agent_id": running.agent_id}
    if outcome.result is not None:
        fields["result"] = outcome.result
        if running.held.failed_attempts:
            fields["error"] = ""  # of an earlier attempt: it was overcome
    if outcome.failure is not None:
        stored = outcome.failure.model_dump(mode="json", exclude_defaults=True)
        fields["error"] = json.dumps(stored)
        data["error"] = stored
    if outcome.kind is OutcomeKind.PAUSED:
        data |= _where_it_paused(running, fields)
    if choice.delay_ms:
        data["delay_ms"] = choice.delay_ms
    if running.used:
        data["used"] = dict(running.used)
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
