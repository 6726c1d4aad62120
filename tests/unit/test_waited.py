"""Where the time went that an execution did not run: by cause, read off the moves in its record."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindswarm_exec.service.waited import waited_by_cause

BEGAN = 1_700_000_000_000

Step = tuple[int, str, dict[str, Any]]


def record(*steps: Step, **fields: Any) -> dict[str, str]:
    """A record of moves and wishes: (milliseconds after the one before, event, data)."""
    at, kept = BEGAN, {}
    for seq, (after, event, data) in enumerate(steps, 1):
        at += after
        kept[f"event:{seq}"] = f"{at}-0 execution.{event} {json.dumps(data)}"
    return kept | {name: str(value) for name, value in fields.items()}


def start_at(ms: int) -> str:
    moment = datetime.fromtimestamp((BEGAN + ms) / 1000, UTC)
    return json.dumps({"start_at": moment.isoformat()})


def test_the_lane_and_the_way_to_the_agent_are_told_apart() -> None:
    fields = record((0, "created", {}), (700, "queued", {}), (20, "started", {}))
    assert waited_by_cause(fields, BEGAN + 10_000) == {"agent": 700, "delivery": 20}


def test_what_still_waits_has_waited_up_to_now() -> None:
    assert waited_by_cause(record((0, "created", {})), BEGAN + 500) == {"agent": 500}


def test_what_has_ended_waits_no_more() -> None:
    fields = record((0, "created", {}), (300, "cancelled", {}), finished_at_ms=BEGAN + 300)
    assert waited_by_cause(fields, BEGAN + 90_000) == {"agent": 300}


def test_the_time_between_its_end_and_a_retry_by_hand_is_no_waiting() -> None:
    steps: list[Step] = [(0, "created", {}), (10, "queued", {}), (1, "started", {}), (100, "failed", {})]
    fields = record(*steps, (5000, "retry_scheduled", {}), (40, "queued", {}), (2, "started", {}))
    assert waited_by_cause(fields, BEGAN + 60_000) == {"agent": 50, "delivery": 3}


def test_a_start_time_is_waited_for_first_and_then_an_agent() -> None:
    fields = record((0, "created", {}), (1500, "queued", {}), options=start_at(1000))
    assert waited_by_cause(fields, BEGAN + 1500) == {"start_at": 1000, "agent": 500}
    assert waited_by_cause(record((0, "created", {}), options=start_at(1000)), BEGAN + 400) == {"start_at": 400}


def test_a_delay_outlasts_a_pause() -> None:
    fields = record((0, "created", {}), (200, "paused", {}), (300, "resumed", {}), options=start_at(1000))
    assert waited_by_cause(fields, BEGAN + 1200) == {"start_at": 700, "paused": 300, "agent": 200}


def test_a_retry_delay_is_waited_for_first_and_then_an_agent() -> None:
    steps: list[Step] = [(0, "created", {}), (0, "queued", {}), (0, "started", {})]
    fields = record(*steps, (100, "retry_scheduled", {"delay_ms": 2000}), (2300, "queued", {}))
    assert waited_by_cause(fields, BEGAN + 2400) == {"retry_delay": 2000, "agent": 300}


def test_a_retry_by_hand_waits_for_the_start_time_that_it_gave() -> None:
    steps: list[Step] = [(0, "created", {}), (100, "cancelled", {})]
    fields = record(*steps, (100, "retry_scheduled", {"options_changed": True}), options=start_at(1200))
    assert waited_by_cause(fields, BEGAN + 2000) == {"agent": 900, "start_at": 1000}


def test_a_retry_by_hand_forgets_the_delay_of_an_earlier_attempt() -> None:
    steps: list[Step] = [(0, "created", {}), (0, "queued", {}), (0, "started", {})]
    steps += [(0, "retry_scheduled", {"delay_ms": 60_000}), (100, "cancelled", {})]
    fields = record(*steps, (0, "retry_scheduled", {}))
    assert waited_by_cause(fields, BEGAN + 200) == {"retry_delay": 100, "agent": 100}


@pytest.mark.parametrize(
    ("wish", "data", "cause"),
    [
        ([], {"reason": "lunch"}, "paused"),
        ([], {"reason": "budget"}, "paused"),
        ([], {"reason": "input_required"}, "paused"),
        ([], {"reason": "input_required", "question_id": "q"}, "input_required"),
        ([(0, "pause_requested", {"reason": "budget", "meter": "tokens"})], {}, "budget"),
        ([(0, "pause_requested", {"reason": "budget"})], {}, "paused"),
    ],
)
def test_a_pause_is_for_its_reason_and_not_for_what_somebody_typed(
    wish: list[Step], data: dict[str, Any], cause: str
) -> None:
    steps: list[Step] = [(0, "created", {}), (0, "queued", {}), (0, "started", {}), *wish]
    fields = record(*steps, (100, "paused", data), (400, "resumed", {}), (50, "queued", {}), (0, "started", {}))
    assert waited_by_cause(fields, BEGAN + 5000) == {cause: 400, "agent": 50}


def test_a_frozen_process_that_is_lost_leaves_a_pause_and_one_that_thaws_runs() -> None:
    steps: list[Step] = [(0, "created", {}), (0, "queued", {}), (0, "started", {}), (10, "paused", {})]
    stranded = record(*steps, (100, "released", {}), (200, "resumed", {}))
    assert waited_by_cause(stranded, BEGAN + 400) == {"paused": 300, "agent": 90}
    thawed = record(*steps, (100, "resumed", {"in_place": True}))
    assert waited_by_cause(thawed, BEGAN + 400) == {"paused": 100}


def test_what_was_released_waits_for_an_agent_again() -> None:
    fields = record((0, "created", {}), (5, "queued", {}), (10_000, "released", {}))
    assert waited_by_cause(fields, BEGAN + 10_105) == {"agent": 105, "delivery": 10_000}


def test_a_concurrency_key_is_told_apart_from_the_lane() -> None:
    fields = record((0, "created", {}), (900, "queued", {}), waited_concurrency_ms=600)
    assert waited_by_cause(fields, BEGAN + 900) == {"agent": 300, "concurrency_key": 600}
    held = record((0, "created", {}), place="concurrency", held_back_at_ms=BEGAN)
    assert waited_by_cause(held, BEGAN + 250) == {"concurrency_key": 250}


# --- the sum ---------------------------------------------------------------------------------------------

#: From each state: the events that may come next, the state that follows, and whether it waits there.
NEXT: dict[str, list[tuple[str, dict[str, Any], str]]] = {
    "pending": [("queued", {}, "queued"), ("paused", {}, "paused"), ("cancelled", {}, "ended")],
    "queued": [("started", {}, "running"), ("released", {}, "pending"), ("paused", {}, "paused")],
    "running": [
        ("completed", {}, "over"),
        ("failed", {}, "ended"),
        ("retry_scheduled", {"delay_ms": 700}, "pending"),
        ("paused", {"question_id": "q"}, "paused"),
        ("pause_requested", {"meter": "tokens"}, "running"),
        ("budget", {}, "running"),
    ],
    "paused": [
        ("resumed", {}, "pending"),
        ("resumed", {"in_place": True}, "running"),
        ("released", {}, "paused"),
        ("timed_out", {}, "ended"),
    ],
    "ended": [("retry_scheduled", {"options_changed": True}, "pending"), ("retry_scheduled", {}, "pending")],
    "over": [],
}


@given(
    choices=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 100)), max_size=14),
    tail=st.integers(0, 2000),
    start=st.none() | st.integers(0, 4000),
    held=st.integers(0, 3000),
)
def test_the_causes_add_up_to_the_time_it_neither_ran_nor_had_ended(
    choices: list[tuple[int, int]], tail: int, start: int | None, held: int
) -> None:
    steps: list[Step] = [(0, "created", {})]
    state, waited = "pending", 0
    for after, pick in choices:
        if not NEXT[state]:
            break
        waited += after if state in ("pending", "queued", "paused") else 0
        event, data, follows = NEXT[state][pick % len(NEXT[state])]
        steps.append((after, event, data))
        state = follows
    waited += tail if state in ("pending", "queued", "paused") else 0
    end = BEGAN + sum(after for after, _, _ in steps)
    extra: dict[str, Any] = {} if state not in ("ended", "over") else {"finished_at_ms": end}
    if start is not None:
        extra["options"] = start_at(start)
    told = waited_by_cause(record(*steps, waited_concurrency_ms=held, **extra), end + tail)
    assert sum(told.values()) == waited
    assert all(ms > 0 for ms in told.values())
