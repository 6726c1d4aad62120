"""How long an execution has waited, and for what: read off the moves in its record. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mindswarm_exec.ledger.reads import Record
from mindswarm_exec.lifecycle import CREATE, MOVES, PAUSE, POSTPONE, QUEUE, RELEASE, RESUME, RETRY, START, TERMINAL
from mindswarm_exec.models.records import PAUSES

ENDINGS = frozenset(move.event for move in MOVES if move.target in TERMINAL)
#: Stands for a cause where there is none: between its end and a retry by hand.
ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Moved:
    """One event in the record of an execution."""

    at_ms: int
    event_type: str
    data: dict[str, Any]


@dataclass(slots=True)
class _Waiting:
    """What it waits for after a move: "" while it runs. A delay outlasts a pause."""

    cause: str = ""
    delay: str = ""
    delayed_until_ms: int = 0
    wish: str = ""


def moves_of(fields: Record) -> list[Moved]:
    """The moves and wishes in the record, oldest first."""
    kept = sorted((int(name[6:]), value) for name, value in fields.items() if name.startswith("event:"))
    return [_moved(value) for _, value in kept]


def waited_by_cause(fields: Record, now_ms: int) -> dict[str, int]:
    """Milliseconds by cause, up to its end or now. They add up to the time that it neither ran nor had ended.

    Causes: `agent` (in its lane), `delivery` (matched, on its way to the agent), `start_at`, `retry_delay`,
    `concurrency_key`, `paused`, `input_required`, `budget`. Those that are nought are left out. Where a retry changed
    the options, an earlier start time is not known any more and counts as `agent`.
    """
    waited: Counter[str] = Counter()
    for cause, ms in _spans(fields, int(fields.get("finished_at_ms", now_ms))):
        waited[cause] += ms
    held_back = int(fields.get("waited_concurrency_ms", 0))
    if fields.get("place") == "concurrency":
        held_back += now_ms - int(fields.get("held_back_at_ms", now_ms))
    # the scripts measure it, on a clock that may be a millisecond off that of the events
    held_back = min(held_back, waited["agent"])
    waited["concurrency_key"] += held_back
    waited["agent"] -= held_back
    return {cause: ms for cause, ms in waited.items() if ms > 0 and cause not in ("", ENDED)}


def asked_start_ms(fields: Mapping[str, str]) -> int:
    """The start time that was asked for; 0 if none was."""
    start_at = json.loads(fields.get("options") or "{}").get("start_at")
    return 0 if start_at is None else round(datetime.fromisoformat(start_at).timestamp() * 1000)


# --- steps -----------------------------------------------------------------------------------------------


def _spans(fields: Record, until_ms: int) -> Iterator[tuple[str, int]]:
    """(cause, duration) of each stretch of waiting."""
    moves = moves_of(fields)
    start_at_ms = asked_start_ms(fields)
    gave_start_at = _last_with_options(moves)
    ends = [move.at_ms for move in moves[1:]] + [until_ms]
    waiting = _Waiting()
    for move, ended_ms in zip(moves, ends, strict=True):
        _follow(waiting, move, start_at_ms if move is gave_start_at else 0)
        lasted = max(0, ended_ms - move.at_ms)
        delayed = max(0, min(waiting.delayed_until_ms - move.at_ms, lasted)) if waiting.cause == "agent" else 0
        yield waiting.delay, delayed
        yield waiting.cause, lasted - delayed


def _follow(waiting: _Waiting, move: Moved, start_at_ms: int) -> None:
    """Bring `waiting` to what it is after a move or a wish. `start_at_ms` counts where options came with it."""
    match move.event_type:
        case "execution.pause_requested":  # no move; the pause that follows it is for its reason
            waiting.wish = "budget" if "meter" in move.data else "paused"
        case CREATE.event:
            waiting.cause, waiting.delay, waiting.delayed_until_ms = "agent", "start_at", start_at_ms
        case RETRY.event if waiting.cause == ENDED:
            waiting.cause, waiting.delay, waiting.delayed_until_ms = "agent", "start_at", start_at_ms
        case POSTPONE.event:
            until_ms = move.at_ms + int(move.data.get("delay_ms", 0))
            waiting.cause, waiting.delay, waiting.delayed_until_ms = "agent", "retry_delay", until_ms
        case PAUSE.event:
            waiting.cause = "input_required" if "question_id" in move.data else waiting.wish or "paused"
            waiting.wish = ""
        case RELEASE.event if waiting.cause in PAUSES:
            pass  # its frozen process is gone; it stays paused
        case RESUME.event | RELEASE.event:
            waiting.cause = "" if move.data.get("in_place") else "agent"
        case QUEUE.event:
            waiting.cause = "delivery"
        case START.event:
            waiting.cause = ""
        case event if event in ENDINGS:
            waiting.cause = ENDED


def _last_with_options(moves: Sequence[Moved]) -> Moved | None:
    """The move that came with the options that it has now: its creation, or a retry that changed them."""
    gave = [move for move in moves if move.event_type == CREATE.event or move.data.get("options_changed")]
    return gave[-1] if gave else None


def _moved(stored: str) -> Moved:
    event_id, event_type, data = stored.split(" ", 2)
    return Moved(int(event_id.partition("-")[0]), event_type, json.loads(data))
