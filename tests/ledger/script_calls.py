"""One call of every script, built by its operation, with each argument named as the script's header names it."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from mindswarm_exec.ledger import operations
from mindswarm_exec.ledger.listings import Stretch
from mindswarm_exec.ledger.operations import Operation, ScriptCall, Settlement
from mindswarm_exec.ledger.replies import Attempt
from mindswarm_exec.lifecycle import Move

#: Fields of a record, where a script takes them.
FIELDS: dict[str, Any] = {"field": "value"}


class _Named(StrEnum):
    TARGET = "its target state"


def named_calls() -> dict[str, Operation[Any]]:
    """By script: the operation that calls it. Each argument is a phrase of the header's item at its place."""
    data = "data of the event"
    anything: dict[str, Any] = dict.fromkeys(Attempt.__dataclass_fields__, "")
    names = {"execution_id": "execution_id", "nonce": "nonce", "number": "attempt number", "agent_id": "agent_id"}
    attempt = Attempt(**anything | names)
    row: Any = Move("row", ("its source states",), _Named.TARGET, "its event", True)  # type: ignore[arg-type]
    how: dict[str, Any] = {"outcome": "outcome", "counter": "counter", "delay_ms": "delay", "slot": "slot"}
    most: Any = "most"
    statuses: Any = "statuses"
    end: Any = "instant to end at"
    ended: Any = "instant of its end"
    amount: Any = "amount"
    deadline: Any = "deadline"
    priority: Any = "priority"
    slots: Any = "slots"
    retention: Any = "ms"
    delay: Any = "delay until"
    kept: Any = "events to keep"
    pinned = ("pre-assigned agent", "its class", "its demand")
    id, request = "execution_id", "request id"
    return {
        "start": operations.start(id, FIELDS, start_at_ms=delay, pinned=pinned, data=data),
        "pause": operations.pause(id, request, "reason", data),
        "resume": operations.resume(id, request, data, FIELDS, checkpoint_replaced=True),
        "resume_starved": operations.resume_starved(id, data, most),
        "provide_input": operations.provide_input(id, request, "question_id", "answer as JSON", data),
        "cancel_children": operations.cancel_children(id, "error as JSON", data, most),
        "meter": operations.meter(attempt, "report token", "meter", amount),
        "freeze": operations.freeze(attempt, data),
        "overdue": operations.overdue(id, deadline, data),
        "cancel": operations.cancel(id, request, "reason", force=True, error="error as JSON", data=data),
        "retry": operations.retry(id, request, data, FIELDS, pinned=pinned),
        "claim": operations.claim(id, "nonce", "claim token", "agent_id"),
        "report": operations.report(attempt, "report token", "event", data, FIELDS),
        "settle": operations.settle(
            attempt, "agent_id", "source", Settlement(row, data, guard=("guard", "guard"), **how), FIELDS
        ),
        "register": operations.register("agent_id", "incarnation", "profile as JSON", FIELDS),
        "set_agent_state": operations.set_agent_state(
            "agent_id", "incarnation", "state", accepts_work=True, event="event", data=data
        ),
        "sleep_if_idle": operations.sleep_if_idle("agent_id", "incarnation"),
        "pass_over": operations.pass_over("agent_id", "incarnation"),
        "renew": operations.renew("agent_id", "incarnation"),
        "pick": operations.pick(
            Stretch([statuses], "newest", end, None, ("instant to begin at", "behind this execution_id")),
            FIELDS,
            "text",
            most_seen=most,
            most=most,
        ),
        "unarchived": operations.unarchived(retention, most),
        "look": operations.look_for(
            "class_id",
            "demand",
            "project_id",
            concurrency_key="concurrency key",
            affinity_key="affinity key",
            priority=priority,
            most_agents=most,
            one_more=(slots, "agent_id", "profile"),
        ),
        "look_at_queue": operations.look_at_queue(most, most, "minutes"),  # type: ignore[arg-type]
        "due": operations.due(most, retention),
        "admit": operations.admit(id),
        "redeliver": operations.redeliver(id, "nonce"),
        "expire_lease": operations.expire_lease("agent_id", retention),
        "match_waiting": operations.match_waiting(most),
        "forget": operations.forget(retention, most, kept, only_archived=True),
        "restore": operations.restore(id, ended, FIELDS),
        "mark_archived": operations.mark_archived({"execution_id": "seq"}),
        "roll_up": operations.roll_up(most, "minutes"),  # type: ignore[arg-type]
        "keep_sum": operations.keep_sum("name", "since", "upto", "sums", "instant"),  # type: ignore[arg-type]
        "put_task": operations.put_task("task_id", "create", "event", data, "project_id", FIELDS),
    }


def arguments(operation: Operation[Any]) -> tuple[Any, ...]:
    """What the operation passes to its one script."""
    (step,) = operation.steps
    assert isinstance(step, ScriptCall)
    return step.args
