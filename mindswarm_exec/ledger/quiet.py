"""Where in the stream there is nothing of some executions: their records know at what places they moved. Pure.

So a replay of one execution costs what happened while it had news, and not what the stream holds.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise

from mindswarm_exec.models.events import position

Place = tuple[int, int]
#: After the first place, up to and with the second, there is no event of theirs.
Span = tuple[Place, Place]

#: What a record tells of its events: the moves that it keeps, how many events there were, whose task it is.
KEPT, FACTS = "event:", ("seq", "task_id")
#: The script that moves an execution also tells of its task, somewhat later in the stream; milliseconds.
TOLD_OF_TASK_WITHIN_MS = 1000


@dataclass(frozen=True)
class Quiet:
    """Spans of the stream without any event of some executions, in order."""

    spans: tuple[Span, ...] = ()

    def skip(self, cursor: str) -> str:
        """The cursor, moved over what follows it and is not theirs."""
        place = position(cursor)
        after = bisect_right(self.spans, place, key=lambda span: span[0]) - 1
        if after >= 0 and place < (end := self.spans[after][1]):
            return event_id_at(end)
        return cursor


#: Nothing is known: every event may be theirs.
NOWHERE = Quiet()


def event_id_at(place: Place) -> str:
    return "{}-{}".format(*place)


def just_before(place: Place) -> Place:
    milliseconds, count = place
    if count:
        return milliseconds, count - 1
    return (milliseconds - 1, 2**64 - 1) if milliseconds else (0, 0)


def quiet_of(records: Iterable[Mapping[str, str]], newest: Place) -> Quiet:
    """The spans without an event of any of them. `newest` is the end of the stream before the records were read."""
    found = [_spans(record, newest) for record in records]
    return Quiet(reduce(_both, found)) if found else NOWHERE


def _spans(record: Mapping[str, str], newest: Place) -> tuple[Span, ...]:
    """Those of one execution: before its first event, between two moves with no news between them, after its last.

    Where the record is unknown there are none.
    """
    pause_ms = TOLD_OF_TASK_WITHIN_MS if "task_id" in record else 0
    moves = sorted((int(name[len(KEPT) :]), value) for name, value in record.items() if name.startswith(KEPT))
    known = [(0, (0, 0)), *((seq, position(value.partition(" ")[0])) for seq, value in moves)]
    spans = [
        (_later(place, pause_ms), just_before(follower))
        for (seq, place), (next_seq, follower) in pairwise(known)
        if next_seq == seq + 1
    ]
    last_seq, last = known[-1]
    if last_seq and last_seq == int(record.get("seq", 0)):
        spans.append((_later(last, pause_ms), newest))
    return tuple(span for span in spans if span[0] < span[1])


def _later(place: Place, ms: int) -> Place:
    return (place[0] + ms, 0) if ms and place != (0, 0) else place


def _both(one: tuple[Span, ...], other: tuple[Span, ...]) -> tuple[Span, ...]:
    """What is quiet in both."""
    shared = [(max(a, c), min(b, d)) for a, b in one for c, d in other]
    return tuple(sorted(span for span in shared if span[0] < span[1]))
