"""The live picture: what is told of the overview, and that it fits a low terminal."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from mindswarm_exec.demo.board import NEWS_KEPT, Board
from mindswarm_exec.demo.live import FULL_ROWS, display_for, draw
from mindswarm_exec.models.records import AgentRecord, QueueStatus
from tests.unit.test_survey_board import ONE, event
from tests.unit.test_survey_handover import paused


def board() -> Board:
    made = Board(total=4)
    made.submit_overview({ONE: "overview of 600 files"})
    made.apply(event("execution.progress", agent_id="m-1", fraction=0.25, message="overview: file 140 of 600"), 1)
    made.apply(event("execution.output", agent_id="m-1", text="f has complexity 40"), 1)
    made.apply(event("execution.paused", agent_id="m-1"), 2)
    made.acknowledge(paused(), 2)
    for number in range(NEWS_KEPT):
        made.tell(3, f"news {number}")
    return made


def picture(rows: int) -> str:
    screen = Console(file=StringIO(), width=120, height=rows, force_terminal=True, color_system=None)
    with display_for(screen, board(), lambda: 3.0) as display:
        display.refresh()
    assert isinstance(screen.file, StringIO)
    return screen.file.getvalue()


def test_a_paused_overview_shows_the_checkpoint_it_stands_at() -> None:
    assert "25%   overview  ‖ paused at file 140 of 600" in picture(40)


@pytest.mark.parametrize("rows", [24, FULL_ROWS - 1, FULL_ROWS, 50])
def test_the_picture_fits_a_terminal_of_any_usual_height(rows: int) -> None:
    """What does not fit is cut off at the bottom, and there is the news."""
    made = board()
    made.poll([agent(f"m-{number}") for number in range(4)], waiting(high=1, normal=40, low=9))
    screen = Console(file=StringIO(), width=120, color_system=None)
    screen.print(draw(made, 3.0, rows), end="")
    assert isinstance(screen.file, StringIO)
    lines = screen.file.getvalue().rstrip("\n").split("\n")
    assert len(lines) <= rows
    assert lines[-1].endswith(f"news {NEWS_KEPT - 1}")
    assert any("has complexity 40" in line for line in lines) is (rows >= FULL_ROWS)


def agent(name: str) -> AgentRecord:
    return AgentRecord(agent_id=name, state="awake", task_types={}, max_concurrent=3, load=1, incarnation="1")


def waiting(high: int, normal: int, low: int) -> QueueStatus:
    return QueueStatus(
        by_state={},
        by_priority={"7": high, "5": normal, "2": low},
        waiting=high + normal + low,
        delayed=0,
        held_by_concurrency=0,
        slots_total=12,
        slots_taken=4,
        agents={},
    )
