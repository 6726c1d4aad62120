"""Tables as people see them: in a narrow terminal and in a wide one, no word is cut that tells something."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from rich.console import Console, RenderableType

from mindswarm_exec.cli import tables
from mindswarm_exec.cli.event_lines import history_table
from mindswarm_exec.lifecycle import Status
from mindswarm_exec.models.records import (
    AgentRecord,
    DepthOfClass,
    Execution,
    HistoryEntry,
    MetricGroup,
    MetricWindow,
    Percentiles,
    QueueStatus,
)

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
EXECUTION_ID = "01a206da-156f-7184-b76a-e052fa4e166e"
WIDTHS = pytest.mark.parametrize("width", [80, 120])


def drawn(table: RenderableType, width: int) -> str:
    out = StringIO()
    Console(file=out, width=width).print(table)
    return out.getvalue()


def an_execution() -> Execution:
    return Execution(
        execution_id=EXECUTION_ID,
        status="cancelled",
        task_type="words.count",
        project_id="default",
        agent_id="counter",
        priority=5,
        created_at=NOW,
        started_at=NOW,
        finished_at=NOW,
    )


def a_group() -> MetricGroup:
    spans = Percentiles(p50=4, p90=28_200, p99=100_000)
    return MetricGroup(
        key="words.count",
        count=10_000,
        completed=9990,
        failed=10,
        cancelled=0,
        timed_out=0,
        success_rate=0.999,
        throughput_per_minute=166.7,
        mean_waiting_ms=4,
        mean_running_ms=4,
        waiting_ms=spans,
        running_ms=spans,
    )


def an_agent() -> AgentRecord:
    return AgentRecord(
        agent_id="counter",
        state="sleeping",
        task_types={"words.count": {}},
        capabilities=("text",),
        labels={},
        max_concurrent=3,
        load=1,
        held=(EXECUTION_ID,),
        registered_at=NOW,
        incarnation="i",
    )


@WIDTHS
def test_a_listing_of_executions_cuts_nothing(width: int) -> None:
    shown = drawn(tables.executions([an_execution()], NOW, width), width)
    assert "…" not in shown
    for told in (EXECUTION_ID, "cancelled", "words.count", "counter", "now"):
        assert told in shown


def test_the_time_that_it_took_does_not_grow_while_it_is_paused() -> None:
    later = NOW + timedelta(hours=1)
    paused = an_execution().model_copy(update={"status": Status.PAUSED, "finished_at": None})
    assert tables.running_ms(paused, later) is None
    assert tables.running_ms(paused.model_copy(update={"status": Status.RUNNING}), later) == 3_600_000


@WIDTHS
def test_the_metrics_of_a_window_cut_nothing(width: int) -> None:
    group_by = "task_type"
    found = MetricWindow(window="1h", group_by=group_by, since=NOW, until=NOW, groups=(a_group(),))
    shown = drawn(tables.window(found, width), width)
    assert "…" not in shown
    for told in ("TASK TYPE", "words.count", "10000", "167", "99.9%", "4 ms", "1m 40s"):
        assert told in shown
    assert ("completed 9990" in shown) == (width == 120)


@WIDTHS
def test_agents_cut_nothing_and_have_no_empty_column(width: int) -> None:
    shown = drawn(tables.agents([an_agent()], NOW), width)
    assert "LABELS" not in shown
    for told in ("☾ sleeping", "words.count", "text", "…fa4e166e"):
        assert told in shown


@WIDTHS
def test_classes_of_the_queue_are_told_apart_by_what_they_need(width: int) -> None:
    classes = [
        DepthOfClass(task_type="words.count", needs=needs, waiting=1, suitable_agents=0, free_agents=0)
        for needs in (("gpu",), ("gpu_mb >= 16000",), ("not counter",))
    ]
    found = QueueStatus(
        by_state={},
        by_priority={},
        by_class=tuple(classes),
        waiting=3,
        delayed=0,
        held_by_concurrency=0,
        slots_total=0,
        slots_taken=0,
        agents={},
    )
    shown = drawn(tables.queue(found), width)
    assert "…" not in shown
    for told in ("words.count", "gpu_mb", "16000", "counter"):
        assert told in shown


@WIDTHS
def test_a_record_tells_who_asked_and_every_event_by_its_name(width: int) -> None:
    actor = {"name": "ann", "via": "cli", "address": "10.0.0.7"}
    entry = HistoryEntry(
        event_id="1-0", seq=106, event_type="execution.pause_requested", timestamp=NOW, data={"actor": actor}
    )
    shown = drawn(history_table([entry]), width)
    assert "pause_requested" in shown
    assert "by ann (cli from 10.0.0.7)" in shown
