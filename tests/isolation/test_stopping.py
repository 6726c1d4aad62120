"""Wishes reach a process: it cleans up, or is killed; it is frozen and goes on."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from mindswarm_exec import ExecutionCancelled
from mindswarm_exec.context import SafePointReached
from tests.eventually import eventually, must_hold
from tests.isolation.attempts import assert_gone, await_noted, await_word, noted
from tests.isolation.conftest import Start
from workers.attempt import Wish
from workers.isolation.tree import look_at


@pytest.mark.parametrize("task_type", ["tidy", "tidy.async"])
@pytest.mark.parametrize("wish", [Wish.CANCEL, Wish.TIMEOUT, Wish.LOST])
def test_finally_blocks_run_when_a_handler_is_stopped(
    start: Start, tmp_path: Path, task_type: str, wish: Wish
) -> None:
    run = start(task_type, str(tmp_path / "words"))
    await_word(tmp_path / "words", "began")
    assert isinstance(run.end_on(wish), ExecutionCancelled)
    await_word(tmp_path / "words", "tidied")


def test_a_deaf_handler_is_killed_after_the_grace(start: Start, tmp_path: Path) -> None:
    run = start("deaf", str(tmp_path / "words"))
    await_word(tmp_path / "words", "began")
    began = time.monotonic()
    assert isinstance(run.end_on(Wish.CANCEL), ExecutionCancelled)
    assert 1.0 <= time.monotonic() - began < 10
    await_word(tmp_path / "words", "heard")
    assert_gone(noted(tmp_path / "words"))


def test_a_forced_kill_waits_for_no_grace(start: Start, tmp_path: Path) -> None:
    run = start("deaf", str(tmp_path / "words"))
    await_word(tmp_path / "words", "began")
    assert isinstance(run.end_on(Wish.KILL), ExecutionCancelled)
    assert "heard" not in (tmp_path / "words").read_text()


def test_a_frozen_handler_stands_still_and_goes_on(start: Start, tmp_path: Path) -> None:
    run = start("count", str(tmp_path / "count"), wall_seconds=600)
    pid = _counting(tmp_path / "count")
    run.attempt.wish_for(Wish.PAUSE)
    eventually(lambda: must_hold(run.attempt.is_frozen))
    used, reached = _cpu_seconds(pid), (tmp_path / "count").read_text()
    eventually(lambda: must_hold(_state(pid) == "T"))
    for _ in range(20):  # two hundred milliseconds of a busy process are 20 ticks of its clock
        time.sleep(0.01)
    assert (_cpu_seconds(pid), (tmp_path / "count").read_text()) == (used, reached)
    run.attempt.withdraw_pause()
    eventually(lambda: must_hold((tmp_path / "count").read_text() not in ("", reached)))
    assert run.attempt.freezes == 1
    run.end_on(Wish.CANCEL)


def test_a_pause_that_was_withdrawn_freezes_nothing(start: Start, tmp_path: Path) -> None:
    run = start("count", str(tmp_path / "count"))
    pid = _counting(tmp_path / "count")
    run.attempt.may_freeze = False
    run.attempt.wish_for(Wish.PAUSE)
    eventually(lambda: must_hold(run.attempt.freezes))
    run.attempt.withdraw_pause()
    eventually(lambda: must_hold(_state(pid) != "T"))
    run.end_on(Wish.CANCEL)


def test_a_frozen_handler_can_be_cancelled_and_cleans_up(start: Start, tmp_path: Path) -> None:
    run = start("tidy", str(tmp_path / "words"))
    await_word(tmp_path / "words", "began")
    run.attempt.wish_for(Wish.PAUSE)
    eventually(lambda: must_hold(run.attempt.is_frozen))
    assert isinstance(run.end_on(Wish.CANCEL), ExecutionCancelled)
    await_word(tmp_path / "words", "tidied")


def test_the_grandchildren_of_a_frozen_handler_stand_still_too(start: Start, tmp_path: Path) -> None:
    run = start("family", str(tmp_path / "pids"))
    pids = await_noted(tmp_path / "pids", 2)
    run.attempt.wish_for(Wish.PAUSE)
    eventually(lambda: must_hold(all(_state(pid) == "T" for pid in pids)))
    run.end_on(Wish.KILL)
    assert_gone(pids)


def test_no_wall_time_passes_while_frozen(start: Start, tmp_path: Path) -> None:
    run = start("tidy", str(tmp_path / "words"), wall_seconds=1.5)
    await_word(tmp_path / "words", "began")
    run.attempt.wish_for(Wish.PAUSE)
    eventually(lambda: must_hold(run.attempt.is_frozen))
    ends = time.monotonic() + 1.6
    eventually(lambda: must_hold(time.monotonic() > ends))
    assert not run.is_over
    run.end_on(Wish.CANCEL)


def test_a_handler_with_checkpoints_is_frozen_only_if_the_next_one_is_late(start: Start, tmp_path: Path) -> None:
    run = start("tidy", str(tmp_path / "words"), checkpoint={"next": 1})
    await_word(tmp_path / "words", "began")
    began = time.monotonic()
    run.attempt.wish_for(Wish.PAUSE)
    eventually(lambda: must_hold(run.attempt.is_frozen))
    assert time.monotonic() - began >= 0.3
    run.end_on(Wish.CANCEL)


def test_a_handler_that_checkpoints_in_time_is_not_frozen(start: Start) -> None:
    run = start("checkpoint.loop", checkpoint={"next": 1})
    assert isinstance(run.end_on(Wish.PAUSE), SafePointReached)
    assert run.attempt.freezes == 0


def _counting(path: Path) -> int:
    def check() -> int:
        assert path.exists()
        return int(path.read_text().split()[0])

    def found() -> int:
        try:
            return check()
        except (ValueError, IndexError) as error:  # just being written
            raise AssertionError from error

    return eventually(found, 20_000)


def _state(pid: int) -> str:
    process = look_at(pid)
    return process.state if process else ""


def _cpu_seconds(pid: int) -> float:
    process = look_at(pid)
    assert process is not None
    return process.cpu_seconds
