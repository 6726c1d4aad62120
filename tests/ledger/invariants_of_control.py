"""What holds after every step of wishes and whoever obeys them: frozen attempts, receipts, questions, budgets."""

from __future__ import annotations

import json

from mindswarm_exec.identifiers import attempt_id
from mindswarm_exec.lifecycle import Status
from tests.ledger.model import Model
from tests.ledger.snapshot import Record, Snapshot

#: The one meter that the machine spends.
METER = "tokens"


def check_control(snapshot: Snapshot, model: Model) -> None:
    check_frozen_attempts(snapshot)
    check_receipts(snapshot)
    check_paused_for_a_reason(snapshot)
    check_meters(snapshot, model)
    check_budget_events(snapshot, model)
    check_starved(snapshot)
    check_families(snapshot, model)


def is_held(snapshot: Snapshot, id: str) -> bool:
    """Whether a slot is held for the latest attempt, be it only by code that goes on."""
    record = snapshot.executions[id]
    if "nonce" not in record:
        return False
    return snapshot.held(record["agent_id"]).get(attempt_id(id, int(record["attempt"]))) == record["nonce"]


def check_frozen_attempts(snapshot: Snapshot) -> None:
    """A frozen execution is paused, its attempt lives, and its timeouts stand still; what was left of them is kept.

    No other paused execution has a nonce that lives, and no other has clocks that stand still.
    """
    for id, record in snapshot.executions.items():
        is_over = record.get("settled", "").startswith(record.get("nonce", "-"))
        assert not any(f"{name}_at_ms" in record for name in ("timeout", "stall")) or record["status"] == "running"
        if "frozen" in record:
            assert (record["status"], is_over, is_held(snapshot, id)) == ("paused", False, True), record
            assert "pause_ack_at_ms" not in record
            for name in ("timeout", "stall"):
                limit = {"timeout": "timeout_ms", "stall": "stall_timeout_ms"}[name]
                assert (f"{name}_left_ms" in record) == (limit in record), record
        else:
            assert "timeout_left_ms" not in record, record
            assert "stall_left_ms" not in record, record
            assert record["status"] != "paused" or is_over or "nonce" not in record, record


def check_receipts(snapshot: Snapshot) -> None:
    """A wish that stands on what is paused or has ended was obeyed, or the attempt's end got ahead of it.

    The receipt names the release of a slot exactly when none is held.
    """
    for id, record in snapshot.executions.items():
        kind = record.get("intent_kind")
        if kind is None:
            assert not [name for name in record if name.startswith("intent_")], record
            continue
        acknowledged = record.get("intent_acknowledged_at_ms")
        assert acknowledged is None or int(acknowledged) >= int(record["intent_requested_at_ms"])
        assert ("intent_slot_released_at_ms" in record) != is_held(snapshot, id), record
        assert (acknowledged is not None) == must_be_acknowledged(record, kind), record


def must_be_acknowledged(record: Record, kind: str) -> bool:
    """Whether somebody has obeyed the wish; a cancel by force asks nobody, and other ends got ahead of it."""
    match record["status"], kind:
        case "paused", "pause":
            return True
        case "cancelled", "cancel":
            was_forced = record.get("settled", "").endswith(" forced") and "started_at_ms" in record
            return not was_forced
        case (("completed" | "failed" | "timed_out" | "cancelled"), "pause"):
            return "intent_acknowledged_at_ms" in record  # it was frozen before it ended, or it was not
        case _:
            return False


def check_paused_for_a_reason(snapshot: Snapshot) -> None:
    """What is paused was asked to, or waits for an answer. A question is open only then."""
    for record in snapshot.executions.values():
        if record["status"] == "paused":
            assert "question" in record or "intent_kind" in record, record
            assert record.get("intent_kind") != "cancel" or "frozen" in record, record
        assert ("question" in record) == ("question_id" in record)
        if "question" in record:
            assert (record["status"], "frozen" in record) == ("paused", False), record


def check_meters(snapshot: Snapshot, model: Model) -> None:
    """The meter of an execution is what it and its descendants have reported."""
    for id, record in snapshot.executions.items():
        assert float(record.get(f"meter:{METER}", 0)) == model.executions[id].spent, record


def check_budget_events(snapshot: Snapshot, model: Model) -> None:
    """80 % of a budget are told of when they are crossed, and never else; only what is spent asks for a pause."""
    for id in snapshot.executions:
        known = model.executions[id]
        told = [event for event in known.events if event.event_type == "execution.budget"]
        assert len(told) == known.crossings, known
        for event in known.events:
            facts = json.loads(event.data)
            if event.event_type == "execution.pause_requested" and facts.get("reason") == "budget":
                assert facts["spent"] >= facts["limit"], facts


def check_starved(snapshot: Snapshot) -> None:
    """Whoever is asked to stand still for the budget of another is known to go on when that is raised."""
    starved = snapshot.families["starved"]
    for id, record in snapshot.executions.items():
        owner_id = record.get("budget_owner", id)
        if owner_id != id and owner_id in snapshot.executions and not Status(record["status"]).is_terminal:
            assert id in starved[owner_id], record


def check_families(snapshot: Snapshot, model: Model) -> None:
    """An execution is known as a child of its parent, as long as both are kept, and of nobody else."""
    families = snapshot.families["children"]
    for id, record in snapshot.executions.items():
        parent_id = record.get("parent_id")
        assert parent_id == model.executions[id].parent_id
        assert parent_id not in snapshot.executions or id in families[str(parent_id)]
    for parent_id, children in families.items():
        assert children <= snapshot.executions.keys()
        assert all(model.executions[child].parent_id == parent_id for child in children)


def check_cascades_are_over(snapshot: Snapshot, model: Model) -> None:
    """Once sweeps have done all there is: what was to be cancelled took its children with it.

    All of them have ended or are asked to, but for those that were retried by hand since.
    """
    for id, record in snapshot.executions.items():
        parent = snapshot.executions.get(record.get("parent_id", ""))
        if parent is None or parent.get("intent_kind") != "cancel" or model.executions[id].has_escaped:
            continue
        assert Status(record["status"]).is_terminal or record.get("intent_kind") == "cancel", record
