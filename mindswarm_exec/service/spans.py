"""How long an execution waited and ran in each of its lives: read off the events on its record. Pure.

A life begins when the execution is created or brought back, and ends as it ends. roll_up.lua measures the same. For
what it waited is told by `waited.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mindswarm_exec.lifecycle import CREATE, MOVES, PAUSE, POSTPONE, RELEASE, RESUME, RETRY, START, TERMINAL
from mindswarm_exec.models.events import position
from mindswarm_exec.models.records import HistoryEntry

OVER, WAITS, RUNS, HELD = "over", "waits", "runs", "held"
_BEGINS = {CREATE.event: WAITS, POSTPONE.event: WAITS, RETRY.event: WAITS, RELEASE.event: WAITS, RESUME.event: WAITS}
_BEGINS |= {START.event: RUNS, PAUSE.event: HELD}
_BEGINS |= {move.event: OVER for move in MOVES if move.target in TERMINAL}


@dataclass(slots=True)
class Life:
    """Milliseconds. While it was paused it neither waited nor ran; `running_ms` is None if it never ran."""

    waiting_ms: int = 0
    running_ms: int | None = None

    def spend(self, phase: str, ms: int) -> None:
        if phase == WAITS:
            self.waiting_ms += ms
        elif phase == RUNS:
            self.running_ms = (self.running_ms or 0) + ms


def lives_of(entries: Iterable[HistoryEntry], now_ms: int) -> list[Life]:
    """Its lives, the first one first; one that still lasts is read at `now_ms`."""
    lives: list[Life] = []
    phase, since_ms = OVER, 0
    for entry in entries:
        begun = _begun_by(entry, phase)
        if begun is None:
            continue
        at_ms = position(entry.event_id)[0]
        if phase == OVER:
            lives.append(Life())
        lives[-1].spend(phase, at_ms - since_ms)
        phase, since_ms = begun, at_ms
    if lives:
        lives[-1].spend(phase, max(0, now_ms - since_ms))
    return lives


def _begun_by(entry: HistoryEntry, phase: str) -> str | None:
    """The phase that an event begins; None if it goes on."""
    if entry.event_type == RELEASE.event and phase == HELD:
        return None  # the process that was frozen is gone; it stays paused
    if entry.event_type == RESUME.event and entry.data.get("in_place"):
        return RUNS
    return _BEGINS.get(entry.event_type)
