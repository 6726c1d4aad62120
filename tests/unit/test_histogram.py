"""Histograms keep the bound that they state."""

from __future__ import annotations

import math
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from mindswarm_exec.service.histogram import ERROR_BOUND, bucket_of, middle_of, percentile

durations = st.integers(0, 10**12)


def test_the_stated_bound_is_at_most_five_percent() -> None:
    assert ERROR_BOUND <= 0.05


@given(durations)
def test_the_middle_of_a_bucket_is_within_the_bound_of_what_it_counts(ms: int) -> None:
    assert abs(middle_of(bucket_of(ms)) - ms) <= ERROR_BOUND * ms


@given(durations)
def test_buckets_are_in_the_order_of_what_they_count(ms: int) -> None:
    assert bucket_of(ms + 1) - bucket_of(ms) in (0, 1)


@given(st.lists(durations, min_size=1), st.sampled_from([0.5, 0.9, 0.99]))
def test_a_percentile_is_within_the_bound_of_the_exact_one(spans: list[int], fraction: float) -> None:
    exact = sorted(spans)[math.ceil(fraction * len(spans)) - 1]
    found = percentile(Counter(map(bucket_of, spans)), fraction)
    assert found is not None
    assert abs(found - exact) <= ERROR_BOUND * exact


def test_nothing_has_no_percentile() -> None:
    assert percentile({}, 0.5) is None
