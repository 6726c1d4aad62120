"""Histograms of durations that can be added up: log-linear buckets of whole milliseconds. Pure.

Durations up to 31 ms have a bucket each. Above that, each doubling is cut into 16 buckets of equal width, so that a
bucket is at most a sixteenth as wide as its durations are long. A percentile is told as the middle of its bucket:
it is off by at most one part in 32, or 3.2 %.
"""

from __future__ import annotations

import operator
import struct
from binascii import a2b_base64, b2a_base64
from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import cache
from itertools import accumulate, chain

#: Buckets for each doubling.
STEPS = 16
#: The largest relative error of a percentile.
ERROR_BOUND = 1 / (2 * STEPS)
#: Widths in bytes that counts are kept in, and the names that `struct` has for them.
WIDTHS = {1: "B", 2: "H", 4: "I", 8: "Q"}
#: What a histogram is kept as, in JSON: text where its buckets lie close together, or numbers.
Kept = str | list[int]


def bucket_of(ms: int) -> int:
    """The bucket of a duration. Mirrored by roll_up.lua."""
    if ms < 2 * STEPS:
        return ms
    shift = ms.bit_length() - STEPS.bit_length()
    return shift * STEPS + (ms >> shift)


@cache
def middle_of(bucket: int) -> float:
    """The duration that stands for a bucket."""
    if bucket < 2 * STEPS:
        return float(bucket)
    shift = bucket // STEPS - 1
    lowest = (bucket - shift * STEPS) << shift
    return lowest + ((1 << shift) - 1) / 2


class Histogram:
    """How many durations are in each bucket.

    The buckets in use lie close together, so their counts are a list. Of what was kept as a few pairs, thin, the list
    is only made when more is asked than to add it to another.
    """

    __slots__ = ("_counts", "_first", "_thin")

    def __init__(self) -> None:
        self._first = 0
        self._counts: list[int] = []
        #: buckets and their counts in turn, the lowest first, which are not in the list
        self._thin: list[int] = []

    @property
    def total(self) -> int:
        self._spread()
        return sum(self._counts)

    @property
    def by_bucket(self) -> dict[int, int]:
        """The counts that are not nought."""
        self._spread()
        return {bucket: number for bucket, number in enumerate(self._counts, self._first) if number}

    def count(self, bucket: int, number: int = 1) -> None:
        """Count `number` durations of one bucket."""
        self._spread()
        self._reach(bucket, bucket + 1)
        self._counts[bucket - self._first] += number

    def add(self, other: Histogram) -> None:
        """Count what the other has counted too."""
        self._combine(operator.add, other)

    def subtract(self, other: Histogram) -> None:
        """Count no longer what the other has counted, all of which was counted here."""
        self._combine(operator.sub, other)

    def percentiles(self, fractions: Sequence[float]) -> list[float | None]:
        """For each fraction the duration that so many of those counted do not exceed, by nearest rank."""
        self._spread()
        ranks = list(accumulate(self._counts))
        if not ranks or not ranks[-1]:
            return [None] * len(fractions)
        first, total = self._first, ranks[-1]
        return [middle_of(first + bisect_left(ranks, fraction * total)) for fraction in fractions]

    # --- as it is kept -----------------------------------------------------------------------------------

    @property
    def kept(self) -> Kept:
        """A letter of WIDTHS, the first bucket, ":" and the counts in Base64, or buckets and counts in turn."""
        pairs = self.by_bucket
        if 4 * len(pairs) < len(self._counts) + STEPS:
            return list(chain.from_iterable(pairs.items()))
        letter = next(letter for width, letter in WIDTHS.items() if max(self._counts) < 256**width)
        packed = struct.pack(f"<{len(self._counts)}{letter}", *self._counts)
        return f"{letter}{self._first}:{b2a_base64(packed, newline=False).decode()}"

    @classmethod
    def of_kept(cls, kept: Kept) -> Histogram:
        """The histogram that was kept so."""
        found = cls()
        if isinstance(kept, list):
            found._thin = kept
            return found
        first, _, packed = kept[1:].partition(":")
        counts = a2b_base64(packed)
        found._first = int(first)
        found._counts = list(counts) if kept[0] == "B" else _unpacked(kept[0], counts)
        return found

    # --- steps -------------------------------------------------------------------------------------------

    def _combine(self, combine: Callable[[int, int], int], other: Histogram) -> None:
        """Combine the counts of the same buckets."""
        self._spread()
        if other._thin:
            self._combine_thin(combine, other._thin)
        if not other._counts:
            return
        self._reach(other._first, other._first + len(other._counts))
        start = other._first - self._first
        end = start + len(other._counts)
        self._counts[start:end] = map(combine, self._counts[start:end], other._counts)

    def _combine_thin(self, combine: Callable[[int, int], int], thin: list[int]) -> None:
        self._reach(thin[0], thin[-2] + 1)
        counts, first = self._counts, self._first
        for bucket, number in zip(thin[::2], thin[1::2], strict=True):
            counts[bucket - first] = combine(counts[bucket - first], number)

    def _spread(self) -> None:
        """Have all counts in the list."""
        if self._thin:
            thin, self._thin = self._thin, []
            self._combine_thin(operator.add, thin)

    def _reach(self, first: int, end: int) -> None:
        """Have a count, if only of nought, for each bucket from `first` up to `end`."""
        if not self._counts:
            self._first = first
        if first < self._first:
            self._counts[:0] = [0] * (self._first - first)
            self._first = first
        self._counts += [0] * (end - self._first - len(self._counts))


def _unpacked(letter: str, packed: bytes) -> list[int]:
    return list(struct.unpack(f"<{len(packed) // struct.calcsize(letter)}{letter}", packed))
