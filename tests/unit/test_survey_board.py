"""The board follows the events, whatever order and however often they come."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from mindswarm_exec.demo.board import Board
from mindswarm_exec.lifecycle import Status
from mindswarm_exec.models.records import Event, EventContext, QueueStatus

ONE, TWO = "0" * 35 + "1", "0" * 35 + "2"


def event(kind: str, execution_id: str | None = ONE, agent_id: str | None = None, **data: Any) -> Event:
    return Event(
        event_id="1-0",
        seq=1,
        event_type=kind,
        timestamp=datetime(2026, 1, 1, tzinfo=UTC),
        source="ledger",
        context=EventContext(execution_id=execution_id, agent_id=agent_id),
        data=data,
    )


def board(*events: Event, total: int = 2) -> Board:
    made = Board(total)
    made.submit({ONE: "metrics a.py", TWO: "metrics b.py"})
    for number, one in enumerate(events):
        made.apply(one, number)
    return made


def test_an_execution_is_counted_for_the_agent_that_completed_it() -> None:
    made = board(event("execution.started", agent_id="m-1"), event("execution.completed", agent_id="m-1"))
    assert made.done_by == {"m-1": 1}
    assert (made.ended, made.fraction, made.is_over) == (1, 0.5, False)


def test_a_repeated_or_late_event_changes_nothing() -> None:
    completed = event("execution.completed", agent_id="m-1")
    made = board(completed, completed, event("execution.started", agent_id="m-1"))
    assert made.completed == 1
    assert made.states[ONE] is Status.COMPLETED


def test_released_work_is_told_with_who_lost_it_and_where_it_ended() -> None:
    made = board(
        event("execution.started", agent_id="m-1"),
        event("execution.released"),
        event("execution.completed", agent_id="m-2"),
    )
    assert made.released == {ONE: "m-1"}
    assert made.rescued == {ONE: "m-2"}
    assert [line.text for line in made.news] == [
        "released from m-1: metrics a.py",
        "completed on m-2 instead: metrics a.py",
    ]


def test_the_queue_tells_the_end_where_events_were_missed() -> None:
    made = board(event("execution.completed", agent_id="m-1"))
    queue = QueueStatus(
        by_state={"completed": 1, "failed": 1},
        by_priority={"5": 3},
        waiting=0,
        delayed=0,
        held_by_concurrency=0,
        slots_total=0,
        slots_taken=0,
        agents={},
    )
    assert not made.is_over
    made.poll([], queue)
    assert made.is_over
    assert made.deepest == {5: 3}


def test_progress_says_what_an_agent_does_and_output_is_kept_apart_from_news() -> None:
    made = board(
        event("execution.progress", agent_id="m-1", fraction=0.5, message="function 3 of 9"),
        event("execution.output", agent_id="m-1", text="f has complexity 40\n"),
    )
    assert made.doing == {"m-1": "function 3 of 9"}
    assert made.output[-1].text == "f has complexity 40"
