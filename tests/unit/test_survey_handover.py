"""The pause and the resume of the overview: what is told of them, and what is objected to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from mindswarm_exec.demo import report, verdict
from mindswarm_exec.demo.handover import Handover, handover
from mindswarm_exec.demo.overview_watch import OverviewWatch
from mindswarm_exec.demo.plan import OVERVIEW, Plan
from mindswarm_exec.identifiers import new_id
from mindswarm_exec.lifecycle import Status
from mindswarm_exec.models.records import Event, EventContext, Execution, HistoryEntry

ID = new_id()
#: What the record of a pause and a resume has: type, agent, milliseconds.
RECORD = (
    ("created", None, 0),
    ("queued", "m-1", 0),
    ("started", "m-1", 5),
    ("pause_requested", None, 1000),
    ("paused", "m-1", 1012),
    ("resumed", None, 9000),
    ("queued", "m-2", 9000),
    ("started", "m-2", 9010),
    ("completed", "m-2", 20_000),
)


def at(milliseconds: int) -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)


def history(*record: tuple[str, str | None, int]) -> list[HistoryEntry]:
    return [
        HistoryEntry(
            event_id=f"{seq}-0",
            seq=seq,
            event_type=f"execution.{name}",
            timestamp=at(milliseconds),
            data={"agent_id": agent, "attempt": 1} if agent else {},
        )
        for seq, (name, agent, milliseconds) in enumerate(record, 1)
    ]


def overview(**given: Any) -> Execution:
    fields: dict[str, Any] = {
        "execution_id": ID,
        "status": Status.PAUSED,
        "task_type": OVERVIEW,
        "project_id": "survey",
        "agent_id": "m-1",
        "attempt": 1,
        "priority": 7,
        "payload": {"root": "/tree", "files": [f"{number}.py" for number in range(600)], "shown_as": "of 600 files"},
        "checkpoint": {"steps": 18, "next_file": 140, "importers": {}, "visits": []},
        "created_at": at(0),
    }
    return Execution.model_validate(fields | given)


def paused(**receipt: Any) -> Execution:
    fields: dict[str, Any] = {
        "kind": "pause",
        "requested_at": at(1000),
        "acknowledged_at": at(1012),
        "checkpoint_id": "4575abd2" * 4,
        "slot_released_at": at(1012),
    }
    return overview(intent=fields | receipt)


def visit(attempt: int, first: int, files: int) -> dict[str, Any]:
    return {"attempt": attempt, "agent_id": f"m-{attempt}", "first": first, "files": files}


def completed(*visits: dict[str, Any]) -> Execution:
    done = visits or (visit(1, 0, 140), visit(2, 140, 460))
    result = {"files": 600, "importers": {"os": 9}, "visits": list(done)}
    return overview(
        status=Status.COMPLETED, agent_id="m-2", attempt=2, started_at=at(9010), finished_at=at(20_000), result=result
    )


def the_way(*visits: dict[str, Any], **receipt: Any) -> Handover:
    return handover(paused(**receipt), completed(*visits), history(*RECORD))


def test_nothing_speaks_against_an_overview_that_went_on_elsewhere_from_its_checkpoint() -> None:
    way = the_way()
    assert verdict.control_objections(way) == []
    assert (way.paused_on, way.resumed_on, way.paused_at, way.files, way.attempts) == ("m-1", "m-2", 140, 600, 2)
    assert [way.after_ms(instant) for instant in (way.resumed_at, way.started_again_at)] == [8000, 8010]


def test_the_attempt_that_a_pause_ended_is_accounted_for() -> None:
    assert verdict.objections([ID], [completed()], {ID: history(*RECORD)}) == []


@pytest.mark.parametrize(
    ("way", "words"),
    [
        (None, "never paused"),
        (the_way(acknowledged_at=None), "not acknowledged at a checkpoint"),
        (the_way(checkpoint_id=None), "not acknowledged at a checkpoint"),
        (the_way(slot_released_at=None), "still held its slot on m-1"),
        (handover(paused(), completed(), history(*RECORD[:5])), "did not go on after its pause"),
        (handover(paused(), completed(), history(*RECORD[:6], ("started", "m-1", 9000))), "went on on m-1 again"),
        (the_way(visit(1, 0, 140), visit(2, 130, 470)), "went on from file 130, not from its checkpoint at 140"),
        (the_way(visit(1, 0, 140), visit(2, 0, 600)), "began at file 0, not at 140"),
        (the_way(visit(1, 0, 140), visit(2, 140, 470)), "visited 610 files, not 600"),
        (the_way(visit(2, 0, 600)), "in a single attempt"),
    ],
)
def test_whatever_is_no_resume_from_the_checkpoint_elsewhere_is_objected_to(way: Handover | None, words: str) -> None:
    assert any(words in objection for objection in verdict.control_objections(way))


def test_the_report_shows_the_receipt_and_that_the_attempts_add_up() -> None:
    outcome = report.Outcome(Plan(Path("/tree"), (), 0), (completed(),), (), (), "m-1", the_way())
    screen = Console(file=StringIO(), width=120, markup=False)
    screen.print(report.render(outcome))
    assert isinstance(screen.file, StringIO)
    lines = [" ".join(line.split()) for line in screen.file.getvalue().splitlines()]
    assert "acknowledged 12 ms m-1 checkpoint 4575abd2 at file 140 of 600" in lines
    assert "resumed 8.01 s m-2 from file 140" in lines
    assert "completed 19.0 s m-2 2 attempts: 140 + 460 = 600 files, none twice" in lines
    told = report.document(outcome)["handover"]
    assert told["receipt"]["acknowledged_at"] == "2026-01-01T00:00:01.012Z"
    assert [one["files"] for one in told["visits"]] == [140, 460]


def event(name: str, agent_id: str | None = None, **data: Any) -> Event:
    return Event(
        event_id="1-0",
        seq=1,
        event_type=f"execution.{name}",
        timestamp=at(0),
        source="ledger",
        context=EventContext(execution_id=ID, agent_id=agent_id),
        data=data,
    )


def test_pause_and_resume_are_told_with_the_receipt_and_the_place() -> None:
    watch = OverviewWatch(ID)
    assert watch.apply(event("started", "m-1")) is None
    assert watch.apply(event("progress", "m-1", fraction=0.23, message="overview: file 140 of 600")) is None
    assert (watch.fraction, watch.agent_id) == (0.23, "m-1")
    assert watch.apply(event("pause_requested")) == ("bold magenta", "pause of survey.overview requested")
    assert watch.acknowledge(paused()) == "acknowledged after 12 ms, checkpoint at file 140 of 600, slot released"
    assert watch.apply(event("started", "m-2")) == ("bold green", "survey.overview resumed on m-2 from file 140")
    assert watch.apply(event("completed", "m-2")) == ("bold green", "survey.overview completed on m-2")


def test_a_pause_without_its_receipt_is_told_as_such() -> None:
    assert "not acknowledged" in OverviewWatch(ID).acknowledge(paused(acknowledged_at=None))
    assert "slot still taken" in OverviewWatch(ID).acknowledge(paused(slot_released_at=None))
