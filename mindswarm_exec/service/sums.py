"""What ended in a span of time, added up by name: the sums that rollups are made of. Pure.

A sum is kept as JSON: {"lost": n, "names": {name: {measure: amount, "waited": [histogram], "ran": […]}}}.
What one roll-up has counted comes from roll_up.lua with a field for each bucket: {name: {"waited.<bucket>": n}}.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import from_json

from mindswarm_exec.lifecycle import TERMINAL, Status
from mindswarm_exec.models.records import MetricGroup
from mindswarm_exec.service.histogram import Histogram

#: What is told of durations: the fields of `Percentiles`.
FRACTIONS = (0.5, 0.9, 0.99)
_GROUPS = TypeAdapter(tuple[MetricGroup, ...])


@dataclass(slots=True)
class Tally:
    """What is counted of one name: its ends by status, sums of milliseconds, and durations."""

    amounts: dict[str, int] = field(default_factory=dict)
    waited: Histogram = field(default_factory=Histogram)
    ran: Histogram = field(default_factory=Histogram)

    @property
    def is_empty(self) -> bool:
        return not self.amounts and not self.waited.total and not self.ran.total

    def add(self, other: Tally) -> None:
        for measure, amount in other.amounts.items():
            self.amounts[measure] = self.amounts.get(measure, 0) + amount
        self.waited.add(other.waited)
        self.ran.add(other.ran)

    def subtract(self, other: Tally) -> None:
        left = {measure: amount - other.amounts.get(measure, 0) for measure, amount in self.amounts.items()}
        self.amounts = {measure: amount for measure, amount in left.items() if amount}
        self.waited.subtract(other.waited)
        self.ran.subtract(other.ran)

    def count(self, counted: Mapping[str, int]) -> None:
        """Add what one roll-up has counted."""
        for measure, amount in counted.items():
            kind, _, bucket = measure.partition(".")
            match kind if bucket else "":
                case "waited":
                    self.waited.count(int(bucket), amount)
                case "ran":
                    self.ran.count(int(bucket), amount)
                case _:
                    self.amounts[measure] = self.amounts.get(measure, 0) + amount


@dataclass(slots=True)
class Sum:
    """What ended from `since` up to `upto`: instants in ms. Of a minute, `upto` is the number of its roll-ups."""

    since: int
    upto: int
    lost: int = 0
    tallies: dict[str, Tally] = field(default_factory=dict)

    def add(self, other: Sum) -> None:
        """Take over what the other has counted; the span is the caller's to say."""
        self.lost += other.lost
        for name, tally in other.tallies.items():
            mine = self.tallies.setdefault(name, tally)
            if mine is not tally:
                mine.add(tally)

    def subtract(self, other: Sum) -> None:
        """Count no longer what the other has, all of which was added before."""
        self.lost -= other.lost
        for name, tally in other.tallies.items():
            mine = self._tally(name)
            mine.subtract(tally)
            if mine.is_empty:
                del self.tallies[name]

    def count(self, counted: str) -> None:
        """Add what one roll-up has counted in this minute."""
        said = from_json(counted)
        self.lost += said.get("lost", 0)
        for name, measures in said["names"].items():
            self._tally(name).count(measures)

    def _tally(self, name: str) -> Tally:
        return self.tallies.setdefault(name, Tally())

    @property
    def text(self) -> str:
        names = {
            name: {**tally.amounts, "waited": tally.waited.kept, "ran": tally.ran.kept}
            for name, tally in self.tallies.items()
        }
        return json.dumps({"lost": self.lost, "names": names}, separators=(",", ":"))

    @classmethod
    def of_text(cls, since: int, upto: int, text: str) -> Sum:
        """The sum that was kept as `text`."""
        said = from_json(text)
        return cls(since, upto, said["lost"], {name: _tally(measures) for name, measures in said["names"].items()})


def _tally(measures: dict[str, Any]) -> Tally:
    waited, ran = (Histogram.of_kept(measures.pop(name)) for name in ("waited", "ran"))
    return Tally(measures, waited, ran)


def groups_of(found: Sum, span_ms: int) -> tuple[MetricGroup, ...]:
    """What is told of each name, by name."""
    # made in one go: hundreds of groups, one by one, would take longer than all else
    return _GROUPS.validate_python([_group(name, found.tallies[name], span_ms) for name in sorted(found.tallies)])


def _group(name: str, tally: Tally, span_ms: int) -> dict[str, object]:
    amounts = tally.amounts
    ends = {status: amounts.get(status, 0) for status in TERMINAL}
    count = sum(ends.values())
    judged = count - ends[Status.CANCELLED]
    slots_ms = amounts.get("slots_ms")
    return {
        "key": name,
        "count": count,
        "completed": ends[Status.COMPLETED],
        "failed": ends[Status.FAILED],
        "cancelled": ends[Status.CANCELLED],
        "timed_out": ends[Status.TIMED_OUT],
        "success_rate": ends[Status.COMPLETED] / judged if judged else None,
        "throughput_per_minute": count * 60_000 / span_ms,
        "mean_waiting_ms": _mean(amounts.get("waited_ms", 0), tally.waited),
        "mean_running_ms": _mean(amounts.get("ran_ms", 0), tally.ran),
        "waiting_ms": _percentiles(tally.waited),
        "running_ms": _percentiles(tally.ran),
        "utilisation": amounts.get("busy_ms", 0) / slots_ms if slots_ms else None,
    }


def _mean(total_ms: int, counted: Histogram) -> float | None:
    number = counted.total
    return total_ms / number if number else None


def _percentiles(counted: Histogram) -> dict[str, float | None]:
    p50, p90, p99 = counted.percentiles(FRACTIONS)
    return {"p50": p50, "p90": p90, "p99": p99}
