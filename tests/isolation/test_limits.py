"""What an attempt may use is enforced on its whole tree; only that attempt ends, with its cause and the measure."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.eventually import eventually
from tests.isolation.attempts import LocalAttempt, Run, assert_gone, await_noted, noted
from tests.isolation.conftest import Start
from workers.attempt import Wish
from workers.isolation.endings import LimitBreached
from workers.isolation.process import ProcessIsolation
from workers.isolation.tree import Census


def test_memory_that_a_grandchild_takes_bit_by_bit_is_counted(start: Start) -> None:
    with pytest.raises(LimitBreached) as found:
        start("hoard.below", memory_mb=150).result()
    breach = found.value
    assert breach.kind == "memory_limit"
    assert breach.measured["limit_mb"] == 150
    assert 150 < breach.measured["used_mb"] < 400  # type: ignore[operator]
    assert str(breach) == f"used {breach.measured['used_mb']} MB of 150 MB"


def test_one_huge_allocation_fails_at_once_and_is_a_breach(start: Start) -> None:
    with pytest.raises(LimitBreached) as found:
        start("hoard.at_once", memory_mb=200).result()
    assert found.value.kind == "memory_limit"
    assert found.value.measured["limit_mb"] == 200


def test_processor_time_is_bounded(start: Start) -> None:
    with pytest.raises(LimitBreached) as found:
        start("spin", cpu_seconds=0.5).result()
    assert found.value.kind == "cpu_limit"
    assert 0.5 <= found.value.measured["used_seconds"] < 2.5  # type: ignore[operator]


def test_wall_time_is_bounded(start: Start, tmp_path: Path) -> None:
    with pytest.raises(LimitBreached) as found:
        start("tidy", str(tmp_path / "pids"), wall_seconds=0.4).result()
    assert found.value.kind == "timeout"
    assert found.value.measured["limit_seconds"] == 0.4
    assert found.value.measured["elapsed_ms"] >= 400  # type: ignore[operator]
    assert_gone(noted(tmp_path / "pids"))


def test_a_gigabyte_of_prints_ends_at_the_limit_of_output(start: Start) -> None:
    run = start("print", 1 << 30)
    with pytest.raises(LimitBreached) as found:
        run.result()
    assert found.value.kind == "output_limit"
    assert found.value.measured["limit_mb"] == 2
    assert len(run.attempt.text("stdout")) < 32 << 20


def test_what_a_handler_streams_counts_as_output(start: Start) -> None:
    with pytest.raises(LimitBreached) as found:
        start("stream", 3 << 20, output_mb=1).result()
    assert found.value.kind == "output_limit"


def test_output_within_the_limit_arrives_whole(start: Start) -> None:
    run = start("print", 1 << 20)
    run.result()
    assert len(run.attempt.text("stdout")) == 1 << 20


def test_a_slow_reader_holds_the_handler_up_instead_of_filling_the_memory(isolation: ProcessIsolation) -> None:
    attempt = LocalAttempt("print", 16 << 20, output_mb=20)
    attempt.reader.clear()
    run = Run(isolation, attempt)
    pid = eventually(lambda: _blocked_child(isolation), 10_000)
    assert attempt.text("stdout").count("\n") <= 64  # one piece: the rest waits in bounded buffers, or unwritten
    assert not run.is_over
    attempt.reader.set()
    run.result()
    assert len(attempt.text("stdout")) == 16 << 20
    assert_gone([pid])


def test_200_deaf_children_and_a_daemon_end_with_their_attempt_and_nothing_else_does(
    start: Start, tmp_path: Path
) -> None:
    other = start("tidy", str(tmp_path / "other"))
    (neighbour,) = await_noted(tmp_path / "other", 1)
    with pytest.raises(LimitBreached) as found:
        start("swarm", str(tmp_path / "pids"), max_processes=150).result()
    assert found.value.kind == "process_limit"
    assert found.value.measured["processes"] > 150  # type: ignore[operator]
    assert_gone(noted(tmp_path / "pids"))
    assert neighbour in noted(tmp_path / "other")
    assert not other.is_over
    other.end_on(Wish.CANCEL)


def test_a_cancel_ends_200_deaf_children_and_a_daemon(start: Start, tmp_path: Path) -> None:
    run = start("swarm", str(tmp_path / "pids"))
    pids = await_noted(tmp_path / "pids", 202)
    run.end_on(Wish.CANCEL)
    assert_gone(pids)
    assert_gone(noted(tmp_path / "pids"))


def _blocked_child(isolation: ProcessIsolation) -> int:
    """The one process of the zygote's that waits to write into a full pipe."""
    waiting = [pid for pid in Census(os.getpid()).take() if _waits_in(pid) in ("pipe_write", "anon_pipe_write")]
    assert len(waiting) == 1
    return waiting[0]


def _waits_in(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/wchan").read_text()
    except OSError:
        return ""
