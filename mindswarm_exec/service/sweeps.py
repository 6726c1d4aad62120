"""Sweeps: whatever has passed its deadline is moved on.

A sweep costs what is due, not what exists. Two at once do no harm: each step is guarded by the nonce or the
deadline that it was decided on. Choices are pure (`lifecycle`, `step_for`); the ledger carries them out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from mindswarm_exec.ledger import operations, reads
from mindswarm_exec.ledger.answers import Followed
from mindswarm_exec.ledger.faces import SyncLedger
from mindswarm_exec.ledger.operations import Operation, Settlement
from mindswarm_exec.ledger.replies import Done, DueExecution, LostAttempt, Offline, Settled, Wake
from mindswarm_exec.lifecycle import (
    CANCEL,
    FAILED,
    PAUSED,
    PENDING,
    POSTPONE,
    QUEUED,
    RELEASE,
    RUNNING,
    STRAND,
    TIME_OUT,
    AttemptFacts,
    OutcomeKind,
    after,
    after_loss,
)
from mindswarm_exec.models.options import ExecutionOptions
from mindswarm_exec.models.records import Failure
from mindswarm_exec.service.actors import acting_as, latest_actor
from mindswarm_exec.service.control import CANCELLED_ON_REQUEST, cancellation_of_children, resumption_of_starved
from mindswarm_exec.service.lost_spans import tell_lost, traced_records
from mindswarm_exec.service.submission import DEFAULT_MAX_LOST_ATTEMPTS
from mindswarm_exec.settings import Settings

#: Messages that may go unclaimed before the attempt is taken back from the agent.
MOST_DELIVERIES = 3
#: Deadlines handled in one sweep; more are left to the next, a second later.
MOST_DUE = 500
SOURCE = "sweep"
#: Sweep periods without any sweep after which others sweep in beat's place.
SILENT_PERIODS = 3
#: Leases without any sweep after which it was not the agents that were away.
PATIENCE_LEASES = 0.5


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep did. `wakes` are messages that the caller should publish."""

    moved: int = 0
    agents_lost: tuple[str, ...] = ()
    #: agents that were to wake and did not open in time
    passed_over: tuple[str, ...] = ()
    #: agents whose lease begins anew, for the ledger was away
    agents_spared: tuple[str, ...] = ()
    wakes: tuple[Wake, ...] = field(default=())


def sweep(ledger: SyncLedger, *, patient: bool = True) -> Swept:
    """Move on everything that is due now. Raises LedgerUnavailable.

    After a long time without any sweep, agents and handlers get time to be heard of again, if it is `patient`.
    """
    due = ledger.run(operations.due(MOST_DUE, _patience_ms(ledger.settings) if patient else None))
    lost_agents, passed_over, wakes, moved = [], [], [], 0
    retention_ms = round(ledger.settings.offline_agent_retention_seconds * 1000)
    for agent_id in due.agents:
        if isinstance(ledger.run(operations.pass_over(agent_id)), Done):
            passed_over.append(agent_id)
        reply = ledger.run(operations.expire_lease(agent_id, retention_ms))
        if isinstance(reply, Offline) and reply.lost:
            lost_agents.append(agent_id)
            wakes += settle_lost(ledger, agent_id, reply.lost, "its agent was not heard of for a lease")
            moved += len(reply.lost)
    steps = [step for one in due.executions if (step := step_for(one, due.now_ms)) is not None]
    if steps:
        for answer in ledger.run_many(steps):
            if isinstance(answer, Done | Settled):
                moved += 1
                wakes += answer.wakes
    for parent_id in due.parents:
        wakes += _followed(ledger, parent_id, cancellation_of_children)
    for owner_id in due.raised:
        wakes += _followed(ledger, owner_id, resumption_of_starved)
    return Swept(moved, tuple(lost_agents), tuple(passed_over), due.spared, tuple(wakes))


def _patience_ms(settings: Settings) -> int:
    seconds = max(PATIENCE_LEASES * settings.lease_seconds, SILENT_PERIODS * settings.sweep_seconds)
    return round(seconds * 1000)


def _followed(ledger: SyncLedger, leader: str, others: Callable[[str], Operation[Followed]]) -> tuple[Wake, ...]:
    """Do with others what was done with one, in the name of who asked for that."""
    record = ledger.run(reads.execution(leader))
    with acting_as(latest_actor(record or {})):
        return ledger.run(others(leader))[1]


def settle_lost(ledger: SyncLedger, agent_id: str, lost: Iterable[LostAttempt], why: str) -> list[Wake]:
    """Move on the attempts of a process that is gone: back to wait, or to `failed` after too many losses."""
    attempts = list(lost)
    records = traced_records(ledger, attempts)
    steps = [_loss(agent_id, one, why) for one in attempts]
    answers = ledger.run_many(steps) if steps else []
    for one, answer in zip(attempts, answers, strict=True):
        if isinstance(answer, Settled):
            tell_lost(agent_id, one, records.get(one.execution_id))
    return [wake for answer in answers for wake in answer.wakes]


def _loss(agent_id: str, one: LostAttempt, why: str) -> Operation[Any]:
    data: dict[str, Any] = {"agent_id": agent_id, "attempt": one.number, "reason": "agent_lost"}
    if one.status is QUEUED:  # it never ran, so it cannot be what brought the agent down
        return operations.settle(one, agent_id, SOURCE, Settlement(RELEASE, json.dumps(data)), {})
    if one.status is PAUSED:  # it was frozen: an ordinary pause is left, from its latest checkpoint
        return operations.settle(one, agent_id, SOURCE, Settlement(STRAND, json.dumps(data)), {})
    move = after_loss(one.lost_attempts + 1, one.max_lost_attempts or DEFAULT_MAX_LOST_ATTEMPTS).move
    fields: dict[str, str | int | float] = {}
    if move.target is FAILED:
        message = f"{one.lost_attempts + 1} attempts were lost with their agents; {why}"
        error = Failure(kind="agent_lost", message=message, measured={"lost_attempts": one.lost_attempts + 1})
        fields["error"] = error.model_dump_json(exclude_defaults=True)
        data["error"] = error.model_dump(mode="json", exclude_defaults=True)
    how = Settlement(move, json.dumps(data), outcome="0", counter="lost_attempts")
    return operations.settle(one, agent_id, SOURCE, how, fields)


def step_for(due: DueExecution, now_ms: int) -> Operation[Any] | None:
    """What a due execution needs; None if its deadline has moved meanwhile. Pure."""
    if due.status is QUEUED and _passed(due.delivery_at_ms, now_ms):
        return _undelivered(due)
    for name, kind in (("timeout", OutcomeKind.TIMED_OUT), ("stall", OutcomeKind.STALLED)):
        if due.status is RUNNING and _passed(getattr(due, f"{name}_at_ms"), now_ms):
            return _overran(due, f"{name}_at_ms", kind)
    if due.status in (RUNNING, PAUSED) and _passed(due.cancel_grace_at_ms, now_ms):
        return _unresponsive(due)
    if due.pause_ack_at_ms is not None and due.status is RUNNING and due.pause_ack_at_ms <= now_ms:
        data = json.dumps({"agent_id": due.agent_id, "unacknowledged": True})
        return operations.overdue(due.execution_id, due.pause_ack_at_ms, data)
    if _passed(due.queue_timeout_at_ms, now_ms) and due.status in (PENDING, QUEUED):
        return _waited_too_long(due)
    if due.status is PENDING and _passed(due.eligible_at_ms, now_ms):
        return operations.admit(due.execution_id)
    return None


def _passed(at_ms: int | None, now_ms: int) -> bool:
    return at_ms is not None and at_ms <= now_ms


def _undelivered(due: DueExecution) -> Operation[Any]:
    if due.deliveries < MOST_DELIVERIES:
        return operations.redeliver(due.execution_id, due.nonce)
    data = json.dumps({"agent_id": due.agent_id, "attempt": due.number, "reason": "undelivered"})
    how = Settlement(RELEASE, data, guard=("delivery_at_ms", str(due.delivery_at_ms)))
    return operations.settle(due, due.agent_id, SOURCE, how, {})


def _overran(due: DueExecution, name: str, kind: OutcomeKind) -> Operation[Any]:
    """The agent did not enforce a timeout itself: it is fenced; its slot stays taken until its code ends."""
    options = ExecutionOptions.model_validate_json(due.options)
    choice = after(kind, AttemptFacts(options.retry_policy, due.failed_attempts))
    limit = options.run_seconds if kind is OutcomeKind.TIMED_OUT else options.stall_timeout_seconds
    error = Failure(
        kind=kind.value,
        message=f"ran past its limit of {limit:g} s, and its agent did not stop it",
        measured={"limit_seconds": limit},
    )
    data: dict[str, Any] = {"agent_id": due.agent_id, "attempt": due.number}
    data["error"] = error.model_dump(mode="json", exclude_defaults=True)
    how = Settlement(
        choice.move,
        json.dumps(data),
        slot="keep",
        outcome="0",
        counter="failed_attempts" if choice.move in (POSTPONE, TIME_OUT) else "",
        delay_ms=choice.delay_ms,
        guard=(name, str(getattr(due, name))),
    )
    fields = {"error": error.model_dump_json(exclude_defaults=True)}
    return operations.settle(due, due.agent_id, SOURCE, how, fields)


def _unresponsive(due: DueExecution) -> Operation[Any]:
    """Neither the handler nor its agent obeyed a cancel in time: it is fenced; its slot waits for its code to end."""
    data = json.dumps({"agent_id": due.agent_id, "attempt": due.number, "unresponsive": True})
    guard = ("cancel_grace_at_ms", str(due.cancel_grace_at_ms))
    error = CANCELLED_ON_REQUEST.model_dump_json(exclude_defaults=True)
    return operations.settle(
        due, due.agent_id, SOURCE, Settlement(CANCEL, data, slot="keep", guard=guard), {"error": error}
    )


def _waited_too_long(due: DueExecution) -> Operation[Any]:
    options = ExecutionOptions.model_validate_json(due.options)
    error = Failure(
        kind="queue_timeout",
        message=f"no agent took it up within {options.queue_timeout_seconds:g} s",
        measured={"limit_seconds": options.queue_timeout_seconds},
    )
    stored = error.model_dump_json(exclude_defaults=True)
    guard = ("queue_timeout_at_ms", str(due.queue_timeout_at_ms))
    how = Settlement(TIME_OUT, f'{{"error":{stored}}}', guard=guard)
    return operations.settle(due, due.agent_id, SOURCE, how, {"error": stored})
