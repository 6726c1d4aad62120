"""Supervision of child processes, with real ones."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from mindswarm_exec.cli.children import FIRST_DELAY_SECONDS, LAST_DELAY_SECONDS, Child, last_line, stop_all
from tests.eventually import eventually
from tests.process_table import is_running


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Child]:
    """A child that ends at once, in order."""
    made = Child("child", ["--version"], tmp_path / "child.log", os.environ)
    yield made
    stop_all([made], 0)


def await_end(child: Child) -> None:
    def has_ended() -> None:
        assert not child.is_alive

    eventually(has_ended, within_ms=10_000)


def test_output_goes_to_the_log(child: Child) -> None:
    child.start()
    await_end(child)
    assert "mindswarm-exec" in last_line(child.log)


def test_a_child_that_ends_is_started_again_and_each_time_later(child: Child) -> None:
    child.start()
    delays = []
    for _ in range(3):
        await_end(child)
        now = child.started_at
        line = child.supervise(now)
        assert line is not None
        assert "ended with exit code 0" in line
        assert child.restart_at is not None
        delays.append(child.restart_at - now)
        assert child.supervise(child.restart_at - 0.01) is None
        assert "runs again" in (child.supervise(child.restart_at) or "")
    assert delays == pytest.approx([FIRST_DELAY_SECONDS * 2**number for number in range(3)])
    assert max(delays) < LAST_DELAY_SECONDS


def test_a_child_that_is_asked_for_nonsense_is_known_to_refuse(tmp_path: Path) -> None:
    child = Child("child", ["nonsense"], tmp_path / "child.log", os.environ)
    child.start()
    await_end(child)
    assert child.refuses_to_run()
    assert "there is no command 'nonsense'" in child.how_it_ended()
    stop_all([child], 0)


def test_a_module_of_the_working_directory_does_not_shadow_the_librarys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, child: Child
) -> None:
    (tmp_path / "click.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    child.start()
    await_end(child)
    assert "mindswarm-exec" in last_line(child.log)


def test_a_child_that_does_not_end_when_asked_is_killed_and_named(tmp_path: Path) -> None:
    child = Child("stubborn", [], tmp_path / "child.log", os.environ)
    deaf = "import signal as s; s.signal(s.SIGTERM, s.SIG_IGN); print('deaf', flush=True); s.pause()"
    child.process = subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE)
    assert child.process.stdout is not None
    with child.process.stdout as output:
        assert output.readline() == b"deaf\n"
    process = child.process
    assert stop_all([child], 0.1) == ["stubborn"]
    assert process.returncode == -signal.SIGKILL


def test_a_child_does_not_outlive_a_parent_that_was_killed(tmp_path: Path) -> None:
    """The grandchild waits on its lifeline as every process of ours does; only the parent holds the other end."""
    pid_file = tmp_path / "pid"
    child = f"""
        import os, signal
        from mindswarm_exec.cli import lifeline
        lifeline.hold_on()
        open({str(pid_file)!r}, "w").write(str(os.getpid()))
        signal.pause()
    """
    parent = f"""
        import os, subprocess, sys, signal
        reading, writing = os.pipe()
        environment = {{**os.environ, "MINDSWARM_LIFELINE_FD": str(reading)}}
        subprocess.Popen([sys.executable, "-c", {textwrap.dedent(child)!r}], pass_fds=(reading,), env=environment)
        signal.pause()
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(parent)])

    def holds_on() -> int:
        assert pid_file.exists()
        assert pid_file.read_text()
        return int(pid_file.read_text())

    pid = eventually(holds_on, within_ms=10_000)
    process.kill()
    process.wait()

    def has_ended() -> None:
        assert not is_running(pid)

    eventually(has_ended, within_ms=10_000)
