"""What an attempt in a process has used is told when it settles."""

from __future__ import annotations

import json

import pytest

from mindswarm_exec.lifecycle import OutcomeKind
from tests.isolation.attempts import LocalAttempt
from tests.isolation.conftest import Start
from workers.isolation.endings import LimitBreached
from workers.outcome import Outcome, settlement


def told_by(attempt: LocalAttempt) -> dict[str, float]:
    how, _ = settlement(attempt, Outcome(OutcomeKind.SUCCEEDED, result="1"), "wake")
    used: dict[str, float] = json.loads(how.data).get("used", {})
    return used


def test_the_cpu_time_of_a_short_handler_is_told(start: Start) -> None:
    run = start("sum", {"left": 2, "right": 3})
    assert run.result() == 5
    assert 0 <= told_by(run.attempt)["cpu_ms"] < 10_000


def test_the_cpu_time_and_the_memory_of_a_long_one_are_told(start: Start) -> None:
    run = start("spin", cpu_seconds=1)
    with pytest.raises(LimitBreached):
        run.result()
    used = told_by(run.attempt)
    assert used["cpu_ms"] >= 900
    assert used["peak_rss_mb"] > 5


def test_the_bytes_of_output_are_told(start: Start) -> None:
    run = start("print", 4096)
    run.result()
    assert told_by(run.attempt)["output_bytes"] == 4096
