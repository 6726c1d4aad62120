"""Histograms keep the bound that they state."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindswarm_exec.service.histogram import ERROR_BOUND, Histogram, bucket_of, middle_of

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
    (found,) = histogram_of(spans).percentiles([fraction])
    assert found is not None
    assert abs(found - exact) <= ERROR_BOUND * exact


@given(st.lists(durations), st.lists(durations))
def test_what_is_added_and_taken_away_again_leaves_what_was_there(some: list[int], others: list[int]) -> None:
    both = histogram_of(some)
    both.add(histogram_of(others))
    assert both.by_bucket == histogram_of(some + others).by_bucket
    both.subtract(histogram_of(some))
    assert both.by_bucket == histogram_of(others).by_bucket


@given(st.lists(durations), st.lists(durations), st.lists(durations))
def test_it_may_be_kept_in_between_and_reach_less_far_than_what_is_taken_away(
    some: list[int], others: list[int], gone: list[int]
) -> None:
    wide = histogram_of(others + gone)
    wide.subtract(histogram_of(gone))
    both = histogram_of(some)
    both.add(Histogram.of_kept(wide.kept))
    both = Histogram.of_kept(both.kept)
    both.subtract(Histogram.of_kept(wide.kept))
    assert both.by_bucket == histogram_of(some).by_bucket


@pytest.mark.parametrize("spans", [[], [5]])
def test_nothing_has_no_percentile(spans: list[int]) -> None:
    nothing = histogram_of(spans)
    nothing.subtract(histogram_of(spans))
    assert nothing.percentiles([0.5, 0.99]) == [None, None]


def histogram_of(spans: Iterable[int]) -> Histogram:
    found = Histogram()
    for ms in spans:
        found.count(bucket_of(ms))
    return found


@given(st.lists(durations))
def test_what_is_kept_is_what_was_counted(spans: list[int]) -> None:
    found = histogram_of(spans)
    assert Histogram.of_kept(found.kept).by_bucket == found.by_bucket
