"""How long an execution waited, and for what, and how long it ran: read off the events on its record. Pure.

The measured life begins when the execution was created or last brought back. roll_up.lua counts the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from mindswarm_exec.lifecycle import CREATE, MOVES, PAUSE, POSTPONE, QUEUE, RELEASE, RESUME, RETRY, START, TERMINAL
from mindswarm_exec.models.events import position
from mindswarm_exec.models.records import HistoryEntry

_ENDS = {move.event for move in MOVES if move.target in TERMINAL}
#: What each event begins. A queued execution waits for its agent to take it up.
_BEGINS = {
    CREATE.event: "lane",
    POSTPONE.event: "lane",
    RETRY.event: "lane",
    RELEASE.event: "lane",
    RESUME.event: "lane",
    QUEUE.event: "delivery",
    START.event: "running",
    PAUSE.event: "paused",
}


@dataclass(slots=True)
class Spans:
    """Milliseconds by what they were spent on: lane, delay, retry_delay, delivery, paused, running."""

    spent: dict[str, int] = field(default_factory=dict)
    #: the instant of its latest start, if it ran
    started_at_ms: int | None = None

    @property
    def waiting_ms(self) -> int:
        return sum(ms for name, ms in self.spent.items() if name not in ("running", "paused"))

    @property
    def running_ms(self) -> int | None:
        return self.spent.get("running")


def spans_of(entries: Iterable[HistoryEntry], now_ms: int, start_at_ms: int = 0) -> Spans:
    """The spans of the latest life, up to `now_ms` if it still lasts. A wait before `start_at_ms` was a delay.

    A wait for a concurrency key leaves no event: it counts as one in a lane.
    """
    walk = _Walk(start_at_ms)
    for entry in entries:
        walk.step(entry)
    walk.spend(now_ms)
    return walk.spans


class _Walk:
    """Goes from event to event: each ends what the one before began."""

    def __init__(self, start_at_ms: int) -> None:
        self.spans = Spans()
        self._phase = "over"
        self._since_ms = 0
        self._until_ms = start_at_ms
        self._delay = "delay"

    def step(self, entry: HistoryEntry) -> None:
        begun = self._begun_by(entry)
        if begun is None:
            return
        at_ms = position(entry.event_id)[0]
        if self._phase == "over":
            self.spans = Spans()
        self.spend(at_ms)
        self._phase, self._since_ms = begun, at_ms
        if entry.event_type == POSTPONE.event and (delay_ms := entry.data.get("delay_ms")):
            self._until_ms, self._delay = at_ms + int(str(delay_ms)), "retry_delay"
        if begun == "running":
            self.spans.started_at_ms = at_ms
            self.spans.spent.setdefault("running", 0)

    def spend(self, until_ms: int) -> None:
        """Add what passed since the last event; of a wait, the part before the delay is over is the delay's."""
        passed = max(0, until_ms - self._since_ms)
        if self._phase == "over":
            return
        if self._phase == "lane":
            delayed = min(passed, max(0, self._until_ms - self._since_ms))
            self._add(self._delay, delayed)
            passed -= delayed
        self._add(self._phase, passed)

    def _add(self, name: str, ms: int) -> None:
        if ms:
            self.spans.spent[name] = self.spans.spent.get(name, 0) + ms

    def _begun_by(self, entry: HistoryEntry) -> str | None:
        if entry.event_type in _ENDS:
            return "over"
        if entry.event_type == RELEASE.event and self._phase == "paused":
            return None  # the process that was frozen is gone; it stays paused
        if entry.event_type == RESUME.event and entry.data.get("in_place"):
            return "running"
        return _BEGINS.get(entry.event_type)
