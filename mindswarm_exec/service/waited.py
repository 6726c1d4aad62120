"""How long an execution has waited, and for what: read off the moves in its record. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mindswarm_exec.ledger.reads import Record
from mindswarm_exec.lifecycle import PAUSE, POSTPONE, QUEUE, THAW

#: Moves after which an execution waits for an agent: those that lead to pending.
WAITS_AGAIN = ("execution.created", "execution.resumed", "execution.released", POSTPONE.event)


@dataclass(frozen=True, slots=True)
class Moved:
    """One event in the record of an execution."""

    at_ms: int
    event_type: str
    data: dict[str, Any]


def moves_of(fields: Record) -> list[Moved]:
    """The moves and wishes in the record, oldest first."""
    kept = sorted((int(name[6:]), value) for name, value in fields.items() if name.startswith("event:"))
    return [_moved(value) for _, value in kept]


def waited_by_cause(fields: Record, now_ms: int) -> dict[str, int]:
    """Milliseconds by cause, up to its end or now.

    Causes: `agent` (in its lane), `delivery` (matched, on its way to the agent), `start_at`, `retry_delay`,
    `concurrency_key`, `paused`, `input_required`, `budget`. Those that are nought are left out.
    """
    waited: Counter[str] = Counter()
    until_ms = int(fields.get("finished_at_ms", now_ms))
    for cause, began_ms, ended_ms, delay_ms in _spans(fields, until_ms):
        delayed = min(delay_ms, ended_ms - began_ms)
        if delayed > 0:
            waited["retry_delay" if cause == "retry" else "start_at"] += delayed
        waited["agent" if cause in ("retry", "start") else cause] += ended_ms - began_ms - max(0, delayed)
    held_back = int(fields.get("waited_concurrency_ms", 0))
    if fields.get("place") == "concurrency":
        held_back += now_ms - int(fields.get("held_back_at_ms", now_ms))
    waited["concurrency_key"] += held_back
    waited["agent"] -= held_back
    return {cause: ms for cause, ms in waited.items() if ms > 0}


def _spans(fields: Record, until_ms: int) -> Iterator[tuple[str, int, int, int]]:
    """(cause, from, to, delay within it) of each stretch of waiting."""
    moves = [move for move in moves_of(fields) if not move.event_type.endswith(("_requested", ".budget"))]
    ends = [move.at_ms for move in moves[1:]] + [until_ms]
    for move, ended_ms in zip(moves, ends, strict=True):
        cause, delay_ms = _cause(fields, move)
        if cause:
            yield cause, move.at_ms, max(move.at_ms, ended_ms), delay_ms


def _cause(fields: Record, move: Moved) -> tuple[str, int]:
    """What an execution waits for after a move, and the delay that is part of it; "" if it runs or has ended."""
    if move.event_type == THAW.event and move.data.get("in_place"):
        return "", 0
    if move.event_type == POSTPONE.event:
        return "retry", int(move.data.get("delay_ms", 0))
    if move.event_type == "execution.created":
        return "start", _start_delay(fields, move.at_ms)
    if move.event_type in WAITS_AGAIN:
        return "agent", 0
    if move.event_type == QUEUE.event:
        return "delivery", 0
    if move.event_type == PAUSE.event:
        reason = move.data.get("reason")
        return (str(reason) if reason in ("input_required", "budget") else "paused"), 0
    return "", 0


def _start_delay(fields: Record, created_ms: int) -> int:
    start_at = json.loads(fields.get("options") or "{}").get("start_at")
    if start_at is None:
        return 0
    return max(0, round(datetime.fromisoformat(start_at).timestamp() * 1000) - created_ms)


def _moved(stored: str) -> Moved:
    event_id, event_type, data = stored.split(" ", 2)
    return Moved(int(event_id.partition("-")[0]), event_type, json.loads(data))
