"""Histograms of durations that can be added up: log-linear buckets of whole milliseconds. Pure.

Durations up to 31 ms have a bucket each. Above that, each doubling is cut into 16 buckets of equal width, so that a
bucket is at most a sixteenth as wide as its durations are long. A percentile is told as the middle of its bucket:
it is off by at most one part in 32, or 3.2 %.
"""

from __future__ import annotations

import math
import operator
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain

#: Buckets for each doubling.
STEPS = 16
#: The largest relative error of a percentile.
ERROR_BOUND = 1 / (2 * STEPS)


def bucket_of(ms: int) -> int:
    """The bucket of a duration. Mirrored by roll_up.lua."""
    if ms < 2 * STEPS:
        return ms
    shift = ms.bit_length() - STEPS.bit_length()
    return shift * STEPS + (ms >> shift)


def middle_of(bucket: int) -> float:
    """The duration that stands for a bucket."""
    if bucket < 2 * STEPS:
        return float(bucket)
    shift = bucket // STEPS - 1
    lowest = (bucket - shift * STEPS) << shift
    return lowest + ((1 << shift) - 1) / 2


@dataclass(slots=True)
class Histogram:
    """How many durations are in each bucket, from `first` on: the buckets in use lie close together."""

    first: int = 0
    counts: list[int] = field(default_factory=list)

    @property
    def total(self) -> int:
        return sum(self.counts)

    def count(self, bucket: int, number: int = 1) -> None:
        """Count `number` durations of one bucket."""
        self._reach(bucket, bucket + 1)
        self.counts[bucket - self.first] += number

    def add(self, other: Histogram) -> None:
        """Count what the other has counted too."""
        self._combine(operator.add, other)

    def subtract(self, other: Histogram) -> None:
        """Count no longer what the other has counted, all of which was counted here."""
        self._combine(operator.sub, other)

    @property
    def listed(self) -> list[int]:
        """As it is kept: the first bucket and the counts; if most are nought, -1 and the others by bucket."""
        if 2 * (len(self.counts) - self.counts.count(0)) > len(self.counts):
            return [self.first, *self.counts]
        return [-1, *chain.from_iterable(pair for pair in enumerate(self.counts, self.first) if pair[1])]

    @classmethod
    def of_listed(cls, listed: list[int]) -> Histogram:
        """The histogram that was kept so."""
        if listed[0] != -1:
            return cls(listed[0], listed[1:])
        if len(listed) == 1:
            return cls()
        first, last = listed[1], listed[-2]
        counts = [0] * (last - first + 1)
        for place in range(1, len(listed), 2):
            counts[listed[place] - first] = listed[place + 1]
        return cls(first, counts)

    def percentiles(self, fractions: Sequence[float]) -> list[float | None]:
        """For each fraction the duration that so many of those counted do not exceed, by nearest rank."""
        ranks = list(accumulate(self.counts))
        if not ranks or not ranks[-1]:
            return [None] * len(fractions)
        total = ranks[-1]
        return [middle_of(self.first + bisect_left(ranks, math.ceil(fraction * total))) for fraction in fractions]

    def _combine(self, combine: Callable[[int, int], int], other: Histogram) -> None:
        """Combine the counts of the same buckets."""
        self._reach(other.first, other.first + len(other.counts))
        start = other.first - self.first
        end = start + len(other.counts)
        self.counts[start:end] = map(combine, self.counts[start:end], other.counts)

    def _reach(self, first: int, end: int) -> None:
        """Have a count, if only of nought, for each bucket from `first` up to `end`."""
        if first == end:
            return
        if not self.counts:
            self.first = first
        if first < self.first:
            self.counts[:0] = [0] * (self.first - first)
            self.first = first
        self.counts += [0] * (end - self.first - len(self.counts))
