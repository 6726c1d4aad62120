"""Instants, durations and foreign text as people see them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindswarm_exec.cli import cells
from mindswarm_exec.lifecycle import Status

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("milliseconds", "shown"),
    [
        (None, "–"),
        (0, "0 ms"),
        (999, "999 ms"),
        (1250, "1.25 s"),
        (59_940, "59.9 s"),
        (125_000, "2m 05s"),
        (3_599_900, "1h 00m"),
        (11_400_000, "3h 10m"),
        (200_000_000, "2d 7h"),
    ],
)
def test_a_duration_has_three_digits_or_so(milliseconds: float | None, shown: str) -> None:
    assert cells.duration(milliseconds) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "now"), (4, "4s ago"), (-20, "in 20s"), (7200, "2h ago"), (90_000, "1d ago")]
)
def test_an_instant_is_told_as_people_say_it(seconds: int, shown: str) -> None:
    assert cells.relative(NOW - timedelta(seconds=seconds), NOW) == shown


def test_every_state_has_a_mark_of_its_own() -> None:
    marks = [cells.STATUS_MARKS[status][0] for status in Status]
    assert len(set(marks)) == len(Status)


@given(st.text())
def test_foreign_text_cannot_move_the_cursor_or_change_colours(text: str) -> None:
    assert cells.clean(text).isprintable()


@given(st.text(min_size=1), st.integers(1, 20))
def test_cut_text_fits_and_says_that_it_was_cut(text: str, limit: int) -> None:
    shown = cells.clean(text, limit)
    assert len(shown) <= limit
    assert shown == cells.clean(text) or shown.endswith("…")


@given(st.floats(-1, 2), st.integers(1, 40))
def test_a_bar_always_has_its_width(fraction: float, width: int) -> None:
    assert len(cells.bar(fraction, width)) == width


def test_a_bar_is_empty_full_or_between() -> None:
    assert (cells.bar(0, 4), cells.bar(1, 4), cells.bar(0.5, 4)) == ("    ", "████", "██  ")
