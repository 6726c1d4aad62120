"""Folding: what roll-ups have counted in each minute is added up over hours, days and windows up to now.

Only the script that counts has to count each end once. A sum here is worked out from minutes that are over, to which
nothing is added any more, and says how far it reaches: whoever finds one that falls short adds what is missing, and
keeps it. So it may be worked out twice, by two at once, or not at all by one that dies: what is kept is right as far
as it says. An answer is put together from the sum of the window up to the open minute, and what was counted in that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mindswarm_exec.ledger import operations, reads
from mindswarm_exec.ledger.operations import Operation
from mindswarm_exec.ledger.plans import Plan
from mindswarm_exec.ledger.replies import Rolled
from mindswarm_exec.service.sums import Sum
from mindswarm_exec.settings import Settings

GROUPS = ("agent", "task_type", "project", "status")
MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
PERIODS_MS = {"minute": MINUTE_MS, "hour": HOUR_MS, "day": DAY_MS}
#: What the sum of a period is added up from.
PARTS = {"hour": "minute", "day": "hour"}
#: Roll-ups of one minute that are read one by one; with more of them their sum is kept.
MOST_LOOSE = 4
#: What was counted in a minute outlives its sum by this: somebody may have looked for the sum before it was kept.
LINGER_MS = 600_000
#: A period by name, and its start in Unix milliseconds.
Period = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Window:
    """A span up to now, which begins where a period of the kind `edge` does."""

    length_ms: int
    edge: str

    def since_ms(self, now_ms: int) -> int:
        edge_ms = PERIODS_MS[self.edge]
        return (now_ms - self.length_ms) // edge_ms * edge_ms

    @property
    def reach_ms(self) -> int:
        """How far a kept sum is moved on; one that is older is worked out anew: what leaves it may be forgotten."""
        return max(PERIODS_MS[self.edge], HOUR_MS)


WINDOWS = {
    "5m": Window(300_000, "minute"),
    "1h": Window(HOUR_MS, "minute"),
    "24h": Window(DAY_MS, "hour"),
    "7d": Window(7 * DAY_MS, "hour"),
    "30d": Window(30 * DAY_MS, "day"),
}


class Folder:
    """The sums of one group, as of one roll-up."""

    def __init__(self, group: str, rolled: Rolled, settings: Settings) -> None:
        self._group = group
        self._rolled = rolled
        self._known: dict[str, Sum | None] = {}
        self._kept_ms = {
            "minute": round(settings.rollup_minutes_retention_seconds * 1000),
            "hour": round(settings.rollup_hours_retention_seconds * 1000),
            "day": round(settings.rollup_days_retention_seconds * 1000),
        }

    def fold(self) -> Plan[None]:
        """Keep the sums of the hours that are over, and of their days."""
        days = sorted({hour // DAY_MS * DAY_MS for hour in hours_over(self._rolled)})
        yield from self._sums("day", days)

    def open_minute(self) -> Plan[Sum]:
        """What is counted in the open minute so far."""
        (found,) = yield from self._sums("minute", [self._rolled.minute_ms])
        return found

    def window(self, name: str) -> Plan[Sum | None]:
        """What ended within a window, up to what is counted; None if sums reach further than the roll-up by now."""
        window, kept_as, open_ms = WINDOWS[name], f"{name}:{self._group}", self._rolled.minute_ms
        since_ms = window.since_ms(self._rolled.now_ms)
        yield from self._meet([kept_as, self._name(("minute", open_ms))])
        kept = self._known[kept_as]
        if kept is not None and kept.since < kept.upto and kept.upto > open_ms:
            return None
        found = yield from self._moved(kept_as, window, since_ms, max(since_ms, open_ms))
        if open_ms >= since_ms:
            found.add((yield from self.open_minute()))
        return found

    # --- steps -------------------------------------------------------------------------------------------

    def _moved(self, name: str, window: Window, since_ms: int, until_ms: int) -> Plan[Sum]:
        """The kept sum of a window, moved to where the window is now; without one that is near, a new sum."""
        (kept,) = yield from self._kept([name])
        if kept is None or not _is_near(kept, window, since_ms, until_ms):
            kept = Sum(since_ms, since_ms)
        leaving = covering(kept.since, since_ms)
        coming = covering(kept.upto, until_ms)
        if not leaving and not coming:
            return kept
        parts = yield from self._of([*coming, *leaving])
        for part in parts[: len(coming)]:
            kept.add(part)
        for part in parts[len(coming) :]:
            kept.subtract(part)
        kept.since, kept.upto = since_ms, until_ms
        yield [self._keep(name, kept, self._rolled.now_ms + 2 * window.reach_ms)]
        return kept

    def _of(self, periods: Sequence[Period]) -> Plan[list[Sum]]:
        """The sums of some periods, in their order."""
        found: dict[Period, Sum] = {}
        for period in PERIODS_MS:
            starts = [start for name, start in periods if name == period]
            sums = (yield from self._sums(period, starts)) if starts else []
            found |= {(period, start): one for start, one in zip(starts, sums, strict=True)}
        return [found[one] for one in periods]

    def _sums(self, period: str, starts: Sequence[int]) -> Plan[list[Sum]]:
        """The sums of periods of one kind, as far as their parts are over; what was missing is added, and kept."""
        kept = yield from self._kept([self._name((period, start)) for start in starts])
        sums = [
            one or Sum(start, 0 if period == "minute" else start) for one, start in zip(kept, starts, strict=True)
        ]
        if period == "minute":
            grown = yield from self._count_loose(sums)
        else:
            grown = yield from self._grow(period, sums)
        yield [operation for one in grown for operation in self._keeping(period, one)]
        return sums

    def _count_loose(self, minutes: Sequence[Sum]) -> Plan[list[Sum]]:
        """Add what was counted in minutes since their sums were kept; those to keep: much was, or they are over."""
        loose = yield [reads.counted(self._group, one.since, one.upto) for one in minutes]
        for one, counted in zip(minutes, loose, strict=True):
            for each in counted:
                one.count(each)
            one.upto += len(counted)
        return [
            one
            for one, counted in zip(minutes, loose, strict=True)
            if len(counted) > MOST_LOOSE or (counted and one.since < self._rolled.minute_ms)
        ]

    def _grow(self, period: str, sums: Sequence[Sum]) -> Plan[list[Sum]]:
        """Add the parts that are over and missing; those that have grown."""
        part = PARTS[period]
        missing = [(one, start) for one in sums for start in self._missing(period, one)]
        parts = yield from self._sums(part, [start for _, start in missing])
        for (one, start), found in zip(missing, parts, strict=True):
            one.add(found)
            one.upto = start + PERIODS_MS[part]
        return [one for one in sums if any(one is other for other, _ in missing)]

    def _missing(self, period: str, one: Sum) -> Iterable[int]:
        """The parts that are over and not in the sum; in an hour without anything unfolded there are none."""
        end_ms = min(one.since + PERIODS_MS[period], self._rolled.minute_ms)
        unfolded = [hour for hour in self._rolled.unfolded if one.upto - HOUR_MS < hour < end_ms]
        if period == "hour":
            return range(one.upto, end_ms, MINUTE_MS) if one.since in unfolded else ()
        return [hour for hour in unfolded if hour >= one.upto and hour + HOUR_MS <= end_ms]

    # --- what is kept ------------------------------------------------------------------------------------

    def _meet(self, names: Sequence[str]) -> Plan[None]:
        """Read what is kept under these names in one go; it is asked for soon."""
        found = yield [reads.summed(name) for name in names]
        self._known |= {name: Sum.of_text(*one) if one else None for name, one in zip(names, found, strict=True)}

    def _kept(self, names: Sequence[str]) -> Plan[list[Sum | None]]:
        yield from self._meet([name for name in names if name not in self._known])
        return [self._known.pop(name) for name in names]

    def _keeping(self, period: str, one: Sum) -> Iterable[Operation[Any]]:
        """Keep the sum of a period. Of a minute that is over, it stands for all that was counted."""
        forgotten_at_ms = max(one.since + PERIODS_MS[period], self._rolled.now_ms) + self._kept_ms[period]
        yield self._keep(self._name((period, one.since)), one, forgotten_at_ms)
        if period == "minute" and one.since < self._rolled.minute_ms:
            yield operations.forget_counted(self._group, one.since, LINGER_MS)

    def _keep(self, name: str, one: Sum, forgotten_at_ms: int) -> Operation[bool]:
        return operations.keep_sum(name, one.since, one.upto, one.text, forgotten_at_ms)

    def _name(self, period: Period) -> str:
        return f"{period[0]}:{period[1]}:{self._group}"


def fold_all(rolled: Rolled, settings: Settings) -> Plan[None]:
    """Fold the hours that are over, for all groups, and note it."""
    over = hours_over(rolled)
    if not over:
        return
    for group in GROUPS:
        yield from Folder(group, rolled, settings).fold()
    yield [operations.note_folded(over)]


def hours_over(rolled: Rolled) -> list[int]:
    """The hours that are over and not folded."""
    return [hour for hour in rolled.unfolded if hour + HOUR_MS <= rolled.minute_ms]


def covering(since_ms: int, until_ms: int) -> list[Period]:
    """The fewest periods that make up a span of full minutes. Pure."""
    periods: list[Period] = []
    while since_ms < until_ms:
        fitting = [
            (name, length_ms)
            for name, length_ms in PERIODS_MS.items()
            if length_ms <= until_ms - since_ms and since_ms % length_ms == 0
        ]
        name, length_ms = fitting[-1]
        periods.append((name, since_ms))
        since_ms += length_ms
    return periods


def _is_near(kept: Sum, window: Window, since_ms: int, until_ms: int) -> bool:
    """Whether the window has moved on from a kept sum, and not far."""
    return since_ms - window.reach_ms <= kept.since <= since_ms <= kept.upto <= until_ms
