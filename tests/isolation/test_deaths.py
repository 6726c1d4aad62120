"""The agent dies, the zygote dies: nothing is left running, and work goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.swarm import ROOT
from tests.eventually import eventually, must_hold
from tests.isolation.attempts import LocalAttempt, Run, assert_gone, await_noted, await_word, noted
from tests.isolation.conftest import SETTINGS, TARGET
from workers.attempt import Wish
from workers.isolation.endings import ProcessDied
from workers.isolation.process import ProcessIsolation
from workers.isolation.tree import Census, look_at, send


@pytest.fixture
def own() -> Iterator[ProcessIsolation]:
    """A zygote that a test may kill."""
    found = ProcessIsolation(TARGET, SETTINGS)
    yield found
    found.stop()


@pytest.mark.parametrize("is_frozen", [False, True])
@pytest.mark.parametrize(("task_type", "count"), [("family", 2), ("apart", 2), ("swarm", 202)])
def test_a_killed_agent_leaves_nothing_alive(tmp_path: Path, task_type: str, count: int, is_frozen: bool) -> None:
    words = [sys.executable, "-m", "tests.isolation.agent_process", task_type, str(tmp_path / "pids")]
    agent = subprocess.Popen(words, cwd=ROOT)
    pids = await_noted(tmp_path / "pids", count)
    below = Census(agent.pid).take()
    assert below.keys() >= {pid for pid, word in pids.items() if word == "handler"}
    if is_frozen:
        for pid in pids:
            send(pid, signal.SIGSTOP)
    agent.kill()
    agent.wait()
    eventually(lambda: assert_gone({*below, *pids, *noted(tmp_path / "pids")}))


@pytest.mark.parametrize("task_type", ["family", "apart"])
def test_a_killed_zygote_ends_its_attempts_by_name_and_is_started_anew(
    own: ProcessIsolation, tmp_path: Path, task_type: str
) -> None:
    run = Run(own, LocalAttempt(task_type, str(tmp_path / "pids")))
    pids = await_noted(tmp_path / "pids", 2)
    zygote = _zygote_of(pids)
    os.kill(zygote, signal.SIGKILL)
    with pytest.raises(ProcessDied, match="zygote"):
        run.result()
    assert_gone([*pids, zygote])
    assert Run(own, LocalAttempt("sum", {"left": 1, "right": 1})).result() == 2


@pytest.mark.parametrize("survivor", ["warden", "zygote"])
@pytest.mark.parametrize(("task_type", "count"), [("family", 2), ("apart", 2), ("swarm", 202)])
def test_an_agent_killed_together_with_one_of_its_helpers_leaves_nothing_alive(
    tmp_path: Path, task_type: str, count: int, survivor: str
) -> None:
    words = [sys.executable, "-m", "tests.isolation.agent_process", task_type, str(tmp_path / "pids")]
    agent = subprocess.Popen(words, cwd=ROOT)
    pids = await_noted(tmp_path / "pids", count)
    below = Census(agent.pid).take()
    zygote = _zygote_of(pids)
    warden = below[zygote].parent
    killed = [agent.pid, zygote if survivor == "warden" else warden]
    for number in (signal.SIGSTOP, signal.SIGKILL):  # neither sees the other go
        for pid in killed:
            os.kill(pid, number)
    agent.wait()
    eventually(lambda: assert_gone({*below, *pids, *noted(tmp_path / "pids")}))


def test_a_killed_warden_costs_its_attempts_and_no_more(own: ProcessIsolation, tmp_path: Path) -> None:
    run = Run(own, LocalAttempt("apart", str(tmp_path / "pids")))
    pids = await_noted(tmp_path / "pids", 2)
    zygote = look_at(_zygote_of(pids))
    assert zygote is not None
    os.kill(zygote.parent, signal.SIGKILL)
    eventually(lambda: assert_gone([zygote.parent]))
    assert Run(own, LocalAttempt("sum", {"left": 1, "right": 1})).result() == 2
    with pytest.raises(ProcessDied, match="zygote"):
        run.result()
    assert_gone([*pids, zygote.pid])


def test_a_stuck_zygote_does_not_hold_up_a_kill(own: ProcessIsolation, tmp_path: Path) -> None:
    run = Run(own, LocalAttempt("tidy", str(tmp_path / "words")))
    await_word(tmp_path / "words", "began")
    pids = noted(tmp_path / "words")
    os.kill(_zygote_of(pids), signal.SIGSTOP)
    run.end_on(Wish.CANCEL)
    assert_gone(pids)
    assert Run(own, LocalAttempt("sum", {"left": 1, "right": 1})).result() == 2


def test_what_leaves_its_attempt_is_ended_while_the_attempt_goes_on(own: ProcessIsolation, tmp_path: Path) -> None:
    run = Run(own, LocalAttempt("swarm", str(tmp_path / "pids")))
    pids = await_noted(tmp_path / "pids", 202)
    eventually(lambda: assert_gone(pid for pid, word in pids.items() if word == "daemon"))
    eventually(lambda: must_hold(_living(pids) >= 201))
    assert not run.is_over
    run.end_on(Wish.CANCEL)


def test_a_stopped_isolation_leaves_nothing_and_can_be_started_again(own: ProcessIsolation, tmp_path: Path) -> None:
    run = Run(own, LocalAttempt("tidy", str(tmp_path / "words")))
    await_word(tmp_path / "words", "began")
    own.stop()
    with pytest.raises(ProcessDied):
        run.result()
    assert_gone(noted(tmp_path / "words"))
    assert Run(own, LocalAttempt("sum", {"left": 1, "right": 1})).result() == 2


def _zygote_of(pids: dict[int, str]) -> int:
    handler = next(pid for pid, word in pids.items() if word in ("handler", "began"))
    process = look_at(handler)
    assert process is not None
    return process.parent


def _living(pids: dict[int, str]) -> int:
    return sum(process is not None and not process.is_zombie for process in map(look_at, pids))
