"""The table of moves, and the choices between its rows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindswarm_exec.lifecycle import (
    CANCEL,
    COMPLETE,
    CREATE,
    FAIL,
    LOSE,
    MOVES,
    NEWS_EVENTS,
    PAUSE,
    PENDING,
    POSTPONE,
    RELEASE,
    RETRY,
    STRAND,
    TASK_STATUS,
    TERMINAL,
    THAW,
    TIME_OUT,
    WATCHED,
    AttemptFacts,
    Choice,
    Move,
    OutcomeKind,
    Status,
    after,
    after_loss,
    moves_from,
)
from mindswarm_exec.models.options import RetryPolicy

policies = st.builds(
    RetryPolicy,
    max_attempts=st.integers(1, 1000),
    backoff=st.sampled_from(["fixed", "linear", "exponential"]),
    initial_delay_seconds=st.floats(0, 86400),
    max_delay_seconds=st.floats(0, 7 * 86400),
    multiplier=st.floats(1, 100),
    jitter=st.floats(0, 1),
)
failures = st.integers(1, 10_000)
draws = st.floats(0, 1, exclude_max=True)

# --- the table -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [status for status in Status if not status.is_terminal])
def test_every_status_that_is_not_the_end_has_a_way_to_every_kind_of_end(status: Status) -> None:
    reached, seen = {status}, set[Status]()
    while reached - seen:
        seen |= reached
        reached |= {move.target for one in seen if not one.is_terminal for move in moves_from(one)}
    assert reached >= TERMINAL


@pytest.mark.parametrize("status", sorted(TERMINAL))
def test_an_end_is_left_by_retry_alone_and_completed_by_nothing(status: Status) -> None:
    assert moves_from(status) == (() if status is Status.COMPLETED else (RETRY,))


@pytest.mark.parametrize("status", [status for status in Status if not status.is_terminal])
def test_what_has_not_ended_can_be_cancelled(status: Status) -> None:
    assert CANCEL in moves_from(status)


@pytest.mark.parametrize("status", Status)
def test_a_status_and_an_event_say_which_status_follows(status: Status) -> None:
    """So a history can be walked: rows that share an event and a source share the target.

    The event of a thaw says of itself that it is one, by its data.
    """
    targets: dict[str, set[Status]] = {}
    for move in set(moves_from(status)) - {THAW}:
        targets.setdefault(move.event, set()).add(move.target)
    assert all(len(found) == 1 for found in targets.values())


def test_rows_have_names_and_events_of_their_own_kind() -> None:
    assert len({move.name for move in MOVES}) == len(MOVES)
    assert all(move.event.startswith("execution.") for move in MOVES)
    assert not {move.event for move in MOVES} & set(NEWS_EVENTS)


def test_only_create_has_no_source_and_nothing_moves_to_where_it_is() -> None:
    assert [move for move in MOVES if not move.sources] == [CREATE]
    assert [move for move in MOVES if move.target in move.sources] == [STRAND]


def test_a_row_that_takes_a_slots_work_is_fenced() -> None:
    """What only the holder of an attempt may say needs its nonce; what anyone may do has other sources too."""
    for move in set(MOVES) - {STRAND}:
        assert move.fenced == bool(move.sources and set(move.sources) <= {Status.QUEUED, Status.RUNNING}), move


def test_clocks_run_in_no_status_that_is_at_rest() -> None:
    assert set(WATCHED) == {Status.PENDING, Status.QUEUED, Status.RUNNING, Status.PAUSED}
    assert WATCHED[Status.PAUSED] == ("cancel_grace",)


def test_a_task_has_a_status_for_each_of_its_execution() -> None:
    assert set(TASK_STATUS) == set(Status)


#: How an attempt may end that another one may mend.
RETRIED = {
    OutcomeKind.RAISED,
    OutcomeKind.TIMED_OUT,
    OutcomeKind.STALLED,
    OutcomeKind.DEFERRED,
    OutcomeKind.LIMITED,
    OutcomeKind.DIED,
}

# --- after an attempt ----------------------------------------------------------------------------------------


def facts(failed: int = 0, error_type: str = "", **policy: object) -> AttemptFacts:
    return AttemptFacts(RetryPolicy.model_validate(policy), failed, error_type)


@pytest.mark.parametrize(
    ("kind", "row"),
    [
        (OutcomeKind.SUCCEEDED, COMPLETE),
        (OutcomeKind.RAISED, FAIL),
        (OutcomeKind.TIMED_OUT, TIME_OUT),
        (OutcomeKind.STALLED, TIME_OUT),
        (OutcomeKind.CANCELLED, CANCEL),
        (OutcomeKind.PAUSED, PAUSE),
        (OutcomeKind.HANDED_BACK, RELEASE),
        (OutcomeKind.REFUSED, FAIL),
    ],
)
def test_without_retries_an_outcome_decides_the_row(kind: OutcomeKind, row: Move) -> None:
    assert after(kind, facts()) == Choice(row)


@pytest.mark.parametrize("kind", OutcomeKind)
def test_only_what_failed_or_ran_too_long_is_tried_again(kind: OutcomeKind) -> None:
    is_retried = after(kind, facts(max_attempts=2)).move is POSTPONE
    assert is_retried == (kind in RETRIED)


def test_the_last_attempt_is_not_followed_by_another() -> None:
    assert after(OutcomeKind.RAISED, facts(failed=1, max_attempts=3)).move is POSTPONE
    assert after(OutcomeKind.RAISED, facts(failed=2, max_attempts=3)).move is FAIL


def test_the_delay_is_that_of_this_failure() -> None:
    policy = {"max_attempts": 9, "initial_delay_seconds": 1, "multiplier": 2, "jitter": 0}
    delays = [after(OutcomeKind.RAISED, facts(failed=failed, **policy)).delay_ms for failed in range(4)]
    assert delays == [1000, 2000, 4000, 8000]


@given(kind=st.sampled_from(OutcomeKind), policy=policies, failed=st.integers(0, 2000), draw=draws)
def test_every_choice_leaves_running_and_only_a_postponement_waits(
    kind: OutcomeKind, policy: RetryPolicy, failed: int, draw: float
) -> None:
    choice = after(kind, AttemptFacts(policy, failed), lambda: draw)
    assert Status.RUNNING in choice.move.sources
    assert choice.move is POSTPONE or choice.delay_ms == 0
    assert choice.move is not POSTPONE or choice.move.target is PENDING


@given(most=st.integers(1, 100))
def test_an_execution_is_given_up_with_its_last_permitted_loss(most: int) -> None:
    assert [after_loss(lost, most).move for lost in (most - 1, most, most + 1)] == [RELEASE, LOSE, LOSE]


# --- retry policies ------------------------------------------------------------------------------------------


@given(policy=policies, failed=failures, draw=draws)
def test_a_delay_lies_within_the_jitter_below_the_backoff_and_the_maximum(
    policy: RetryPolicy, failed: int, draw: float
) -> None:
    longest = policy.delay_ms(failed, 0.0)
    assert longest <= round(policy.max_delay_seconds * 1000)
    assert round(longest * (1 - policy.jitter)) - 1 <= policy.delay_ms(failed, draw) <= longest


@given(policy=policies, failed=failures)
def test_a_later_failure_never_waits_less(policy: RetryPolicy, failed: int) -> None:
    assert policy.delay_ms(failed, 0.0) <= policy.delay_ms(failed + 1, 0.0)


@pytest.mark.parametrize(
    ("backoff", "delays"),
    [
        ("fixed", [2000, 2000, 2000, 2000]),
        ("linear", [2000, 4000, 6000, 8000]),
        ("exponential", [2000, 6000, 10_000, 10_000]),
    ],
)
def test_backoffs_grow_as_they_are_named_up_to_the_maximum(backoff: str, delays: list[int]) -> None:
    policy = RetryPolicy.model_validate(
        {"backoff": backoff, "initial_delay_seconds": 2, "multiplier": 3, "max_delay_seconds": 10, "jitter": 0}
    )
    assert [policy.delay_ms(failed, 0.5) for failed in (1, 2, 3, 4)] == delays


@pytest.mark.parametrize(
    ("policy", "error_type", "is_allowed"),
    [
        ({}, "ValueError", True),
        ({"retry_on": ["ValueError"]}, "ValueError", True),
        ({"retry_on": ["OSError"]}, "ValueError", False),
        ({"retry_on": ["handler_error"]}, "ValueError", True),
        ({"no_retry_on": ["ValueError"]}, "ValueError", False),
        ({"no_retry_on": ["OSError"]}, "ValueError", True),
        ({"retry_on": ["ValueError"], "no_retry_on": ["ValueError"]}, "ValueError", False),
    ],
)
def test_errors_are_retried_by_type_or_kind_and_what_is_ruled_out_never(
    policy: dict[str, object], error_type: str, is_allowed: bool
) -> None:
    found = RetryPolicy.model_validate({"max_attempts": 2, **policy})
    assert found.allows("handler_error", error_type, 1) is is_allowed


@given(policy=policies, failed=failures)
def test_no_more_attempts_are_allowed_than_there_may_be(policy: RetryPolicy, failed: int) -> None:
    assert policy.allows("handler_error", "ValueError", failed) is (failed < policy.max_attempts)
