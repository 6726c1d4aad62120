"""Reading what scripts answer: from the words on the wire to the classes of `replies`. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mindswarm_exec.identifiers import execution_of
from mindswarm_exec.ledger.replies import (
    Absent,
    Accepted,
    AgentUnknown,
    Alive,
    AnotherQuestion,
    Answered,
    Attempt,
    AttemptTrace,
    AwaitsInput,
    BudgetSpent,
    Claimed,
    Done,
    Due,
    DueExecution,
    Exhausted,
    Existing,
    Expired,
    Fenced,
    Forgotten,
    HeldAttempt,
    LostAttempt,
    Metered,
    NotObeyed,
    Offline,
    ParentOver,
    ParentUnknown,
    Refused,
    Registered,
    Renewed,
    Reported,
    Settled,
    Taken,
    TaskUnknown,
    Wake,
)
from mindswarm_exec.lifecycle import Status
from mindswarm_exec.models.trace_context import TraceContext

Started = Accepted | Existing | AgentUnknown | TaskUnknown | ParentUnknown | ParentOver
Controlled = Done | Absent | Refused
Resumed = Controlled | AwaitsInput | NotObeyed | BudgetSpent
#: How many are still to follow, and the messages to publish for those that did.
Followed = tuple[int, tuple[Wake, ...]]
InputTaken = Controlled | Answered | AnotherQuestion


def wakes(flat: Sequence[Any]) -> tuple[Wake, ...]:
    return tuple(_wake(*flat[i : i + 6]) for i in range(0, len(flat), 6))


def _wake(agent_id: str, execution_id: str, nonce: str, attempt: str, task_type: str, priority: str) -> Wake:
    return Wake(agent_id, execution_id, nonce, attempt, task_type, int(priority))


def _attempt(values: Sequence[Any]) -> Attempt:
    (execution_id, nonce, number, task_type, project_id, task_id, payload, options) = values[:8]
    checkpoint, failed, lost, intent, agent_id, *traced = values[8:]
    return Attempt(
        execution_id=execution_id,
        nonce=nonce,
        number=int(number),
        task_type=task_type,
        project_id=project_id,
        task_id=task_id,
        payload=payload,
        options=options or "{}",
        checkpoint=checkpoint,
        failed_attempts=int(failed or 0),
        lost_attempts=int(lost or 0),
        intent=intent or "",
        agent_id=agent_id,
        trace=_trace(*traced) if traced else None,
    )


def _trace(traceparent: str, tracestate: str | None, since_ms: str, started_at_ms: str | None) -> AttemptTrace:
    # an answer that is given again may come after a retry by hand, which forgets when the attempt started
    return AttemptTrace(TraceContext(traceparent, tracestate), int(started_at_ms or since_ms) - int(since_ms))


def _lost(flat: Sequence[str]) -> tuple[LostAttempt, ...]:
    found = []
    for i in range(0, len(flat), 5):
        attempt, nonce, status, lost, most = flat[i : i + 5]
        number = int(attempt.partition(".")[2])
        most_lost = int(most) if most else None
        found.append(LostAttempt(execution_of(attempt), number, nonce, Status(status), int(lost), most_lost))
    return tuple(found)


def read_started(reply: Any) -> Started:
    match reply[0]:
        case "ok":
            return Accepted(Status(reply[1]), int(reply[2]), wakes(reply[3]))
        case "existing":
            return Existing(reply[1])
        case "unknown_agent":
            return AgentUnknown()
        case "unknown_task":
            return TaskUnknown()
        case "unknown_parent":
            return ParentUnknown()
        case "parent_over":
            return ParentOver(reply[1])
    raise AssertionError(reply)


def read_controlled(reply: Any) -> Controlled:
    match reply[0]:
        case "ok":
            return Done(reply[1], wakes(reply[2]))
        case "absent":
            return Absent()
        case "refused":
            return Refused(reply[1])
    raise AssertionError(reply)


def read_leading(reply: Any) -> Controlled:
    """Of a verb that others are to follow."""
    if reply[0] == "ok":
        return Done(reply[1], wakes(reply[2]), int(reply[3]))
    return read_controlled(reply)


def read_followed(reply: Any) -> Followed:
    return int(reply[1]), wakes(reply[2])


def read_resumed(reply: Any) -> Resumed:
    match reply[0]:
        case "awaits_input":
            return AwaitsInput()
        case "not_obeyed":
            return NotObeyed()
        case "budget_spent":
            return BudgetSpent(reply[1], reply[2], float(reply[3]), float(reply[4]))
    return read_leading(reply)


def read_input_taken(reply: Any) -> InputTaken:
    match reply[0]:
        case "answered":
            return Answered()
        case "another_question":
            return AnotherQuestion(reply[1])
    return read_controlled(reply)


def _read_gone(reply: Any) -> Absent | Fenced:
    """The words by which an attempt learns that it speaks for nothing any more."""
    match reply[0]:
        case "absent":
            return Absent()
        case "fenced":
            return Fenced()
    raise AssertionError(reply)


def read_metered(reply: Any) -> Metered | Exhausted | Absent | Fenced:
    match reply[0]:
        case "ok":
            return Metered(reply[1], float(reply[2]))
        case "exhausted":
            return Exhausted(float(reply[1]), float(reply[2]))
    return _read_gone(reply)


def read_frozen(reply: Any) -> Done | Absent | Fenced | Refused:
    match reply[0]:
        case "ok":
            return Done("")
        case "refused":
            return Refused(reply[1])
    return _read_gone(reply)


def read_retried(reply: Any) -> Controlled | AgentUnknown:
    return AgentUnknown() if reply[0] == "unknown_agent" else read_controlled(reply)


def read_agent_state(reply: Any) -> Done | Absent | Fenced | Refused:
    return Fenced() if reply[0] == "fenced" else read_controlled(reply)


def read_claimed(reply: Any) -> Claimed | Absent | Fenced | Taken:
    match reply[0]:
        case "ok":
            return Claimed(_attempt(reply[1]))
        case "taken":
            return Taken()
    return _read_gone(reply)


def read_reported(reply: Any) -> Reported | Absent | Fenced:
    return Reported(reply[1]) if reply[0] == "ok" else _read_gone(reply)


def read_settled(reply: Any) -> Settled | Absent | Fenced | Refused:
    match reply[0]:
        case "ok":
            following = _attempt(reply[2]) if reply[2] else None
            return Settled(Status(reply[1]), following, wakes(reply[3]))
        case "absent":
            return Absent(wakes(reply[1]))
        case "fenced":
            return Fenced(wakes(reply[1]), reply[2])
        case "refused":
            return Refused(reply[1], wakes(reply[2]))
    raise AssertionError(reply)


def read_registered(reply: Any) -> Registered:
    return Registered(_lost(reply[1]))


def read_renewed(reply: Any) -> Renewed | Fenced | Expired:
    match reply[0]:
        case "ok":
            return Renewed(int(reply[1]), reply[2], _held(reply[3]))
        case "fenced":
            return Fenced()
        case "expired":
            return Expired()
    raise AssertionError(reply)


def _held(flat: Sequence[str]) -> tuple[HeldAttempt, ...]:
    found = []
    for i in range(0, len(flat), 4):
        attempt, nonce, status, intent = flat[i : i + 4]
        number = int(attempt.partition(".")[2])
        found.append(HeldAttempt(execution_of(attempt), number, nonce, Status(status) if status else None, intent))
    return tuple(found)


def read_expired(reply: Any) -> Alive | Offline | Forgotten:
    match reply[0]:
        case "alive":
            return Alive()
        case "offline":
            return Offline(_lost(reply[1]))
        case "forgotten":
            return Forgotten()
    raise AssertionError(reply)


def read_due(reply: Any) -> Due:
    now_ms, agents, executions, parents, raised, spared = reply
    found = tuple(_due_execution(facts) for facts in executions)
    return Due(int(now_ms), tuple(agents), found, tuple(parents), tuple(raised), tuple(spared))


def _due_execution(facts: Sequence[Any]) -> DueExecution:
    execution_id, status, nonce, number, agent_id, failed, deliveries, options, *instants = facts
    return DueExecution(
        execution_id,
        Status(status),
        nonce or "",
        int(number or 0),
        agent_id or "",
        int(failed or 0),
        int(deliveries or 0),
        options or "{}",
        *(int(instant) if instant else None for instant in instants),
    )
