"""Histograms of durations that can be added up: log-linear buckets of whole milliseconds. Pure.

Durations up to 31 ms have a bucket each. Above that, each doubling is cut into 16 buckets of equal width, so that a
bucket is at most a sixteenth as wide as its durations are long. A percentile is told as the middle of its bucket:
it is off by at most one part in 32, or 3.2 %.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

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


def percentile(counts: Mapping[int, int], fraction: float) -> float | None:
    """The duration that `fraction` of those counted do not exceed, by nearest rank; None of nothing."""
    rank = max(1, math.ceil(fraction * sum(counts.values())))
    for bucket in sorted(counts):
        rank -= counts[bucket]
        if rank <= 0:
            return middle_of(bucket)
    return None
