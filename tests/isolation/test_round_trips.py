"""A handler in a process gets what it is sent, and its answer comes back."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from mindswarm_exec import ExecutionCancelled
from mindswarm_exec.agent import InvalidPayload
from mindswarm_exec.context import RetryAfter, SafePointReached
from tests.eventually import eventually, must_hold
from tests.isolation.attempts import LocalAttempt, Run, assert_gone, await_noted, noted
from tests.isolation.conftest import SETTINGS, TARGET, Start
from tests.isolation.handlers import agent
from workers.attempt import Wish
from workers.isolation.endings import HandlerFailed, ProcessDied
from workers.isolation.process import ProcessIsolation


@pytest.mark.parametrize("task_type", ["sum", "sum.async"])
def test_a_result_comes_back(start: Start, task_type: str) -> None:
    assert start(task_type, {"left": 2, "right": 3}).result() == 5


def test_a_handler_runs_in_a_group_of_its_own_and_knows_its_attempt(start: Start) -> None:
    run = start("whoami", checkpoint={"next": 3})
    found = run.result()
    assert found["pid"] == found["group"] != os.getpid()
    assert found["execution_id"] == run.attempt.execution_id
    assert found["started_at"] == run.attempt.started_at.isoformat()
    assert (found["tags"], found["attempt"], found["state"]) == (["blue"], 2, {"next": 3})


def test_an_error_comes_back_by_class_and_text(start: Start) -> None:
    with pytest.raises(HandlerFailed, match="no luck: ü") as found:
        start("raise", "no luck: ü").result()
    assert found.value.type == "OwnError"


def test_an_exit_of_the_handler_is_its_error(start: Start) -> None:
    with pytest.raises(HandlerFailed) as found:
        start("exit", 3).result()
    assert found.value.type == "SystemExit"


def test_a_payload_that_does_not_fit_is_refused_by_field(start: Start) -> None:
    with pytest.raises(InvalidPayload, match="payload of 'sum': right is missing"):
        start("sum", {"left": 2}).result()


def test_a_result_that_is_no_json_is_an_error_of_the_handler(start: Start) -> None:
    with pytest.raises(HandlerFailed, match="not JSON") as found:
        start("result.strange").result()
    assert found.value.type == "TypeError"


def test_a_result_that_is_too_large_is_refused_before_it_is_sent(start: Start) -> None:
    with pytest.raises(HandlerFailed) as found:
        start("result.large", 40_000_000).result()
    assert found.value.type == "PayloadTooLarge"
    assert len(start("result.large", 1_000_000).result()) == 1_000_000


def test_calls_of_the_context_reach_the_attempt(start: Start) -> None:
    run = start("report")
    assert run.result() == {"next": 7}
    assert run.attempt.told == [(0.5, "half")]
    assert run.attempt.checkpoint_state == {"next": 7}
    said = [run.attempt.text(stream) for stream in ("notes", "stdout", "stderr")]
    assert said == ["streamed ü", "printed ü\n", "wrong\n"]


def test_concurrent_calls_of_an_async_handler_each_get_their_answer(start: Start) -> None:
    run = start("report.async")
    assert "next" in run.result()
    assert [event for event, _ in run.attempt.events] == ["execution.checkpoint"] * 5


def test_questions_budgets_and_children_are_the_attempt_s(start: Start) -> None:
    run = start("ask.and.spend")
    assert run.result() == {"answer": True, "child": 5}
    assert run.attempt.calls == [
        ("meter", "tokens", 2.5),
        ("start_child", "sum", {"left": 1}, {"priority": "high"}, "once"),
        ("ask", "Go on?", {"type": "boolean"}, "Go on?"),
        ("child_outcome", "the child"),
    ]


def test_an_error_of_a_call_keeps_its_class_and_facts(start: Start) -> None:
    assert start("ask.wrong").result() == "no budget has that name. name"


def test_a_handler_that_asks_for_another_time_says_when_and_why(start: Start) -> None:
    with pytest.raises(RetryAfter) as found:
        start("later").result()
    assert (found.value.seconds, found.value.reason) == (7.0, "busy")


def test_a_call_that_the_engine_refuses_raises_its_error_in_the_handler(start: Start) -> None:
    assert start("checkpoint.bad").result() == "PayloadTooLarge"


def test_a_pause_stops_a_handler_at_its_next_checkpoint(start: Start) -> None:
    run = start("checkpoint.loop")
    eventually(lambda: must_hold(run.attempt.checkpoint_id))
    assert isinstance(run.end_on(Wish.PAUSE), SafePointReached)


def test_a_copy_that_the_handler_forked_does_not_speak_for_it(start: Start) -> None:
    assert start("fork.returns").result() == "the handler"


def test_an_exit_code_without_an_answer_is_named(start: Start) -> None:
    with pytest.raises(ProcessDied, match="code 5") as found:
        start("exit.hard", 5).result()
    assert found.value.measured == {"exit_code": 5}


def test_a_signal_that_nobody_here_sent_is_named(start: Start) -> None:
    with pytest.raises(ProcessDied, match="SIGSEGV") as found:
        start("signal", signal.SIGSEGV).result()
    assert found.value.measured == {"signal": "SIGSEGV"}


def test_a_handler_that_garbles_its_channel_ends_alone(start: Start) -> None:
    with pytest.raises(ProcessDied, match="what no handler sends"):
        start("junk").result()
    assert start("sum", {"left": 2, "right": 3}).result() == 5


def test_what_a_handler_leaves_behind_is_killed(start: Start, tmp_path: Path) -> None:
    assert start("leftovers", str(tmp_path / "pids")).result() == "done"
    assert_gone(await_noted(tmp_path / "pids", 1))


def test_a_cancel_before_the_process_exists_starts_nothing() -> None:
    isolation = ProcessIsolation(TARGET, SETTINGS)
    attempt = LocalAttempt("tidy", "/nowhere/at/all")
    attempt.wish_for(Wish.CANCEL)
    with pytest.raises(ExecutionCancelled):
        isolation.run(agent.handlers["tidy"], attempt)
    isolation.stop()


def test_an_agent_that_cannot_be_loaded_is_named() -> None:
    isolation = ProcessIsolation("tests.isolation.no_such_module:agent", SETTINGS)
    with pytest.raises(ProcessDied, match="no_such_module"):
        Run(isolation, LocalAttempt("report")).result()
    isolation.stop()


def test_attempts_leave_no_descriptors_behind(start: Start) -> None:
    zygote = start("whoami").result()["parent"]

    def held() -> list[int]:
        return [len(os.listdir(f"/proc/{pid}/fd")) for pid in (os.getpid(), zygote)]

    before = held()
    for run in [start("sum", {"left": number, "right": 1}) for number in range(12)]:
        run.result()

    def none_is_left() -> None:  # another test's leavings may be collected meanwhile, so there may be fewer
        now = held()
        assert all(held_now <= was for held_now, was in zip(now, before, strict=True)), (now, before)

    eventually(none_is_left)  # the process that forks lets go of one after its handler's result is here


def test_a_cancel_at_any_moment_of_the_start_is_heard(start: Start, tmp_path: Path) -> None:
    """However early it comes, the handler is told, or never begins; what was not told would be killed untidied."""
    for number in range(30):
        run = start("tidy", str(tmp_path / str(number)))
        ends = time.monotonic() + number / 3000
        while time.monotonic() < ends:
            pass
        assert isinstance(run.end_on(Wish.CANCEL), ExecutionCancelled)
        words = set(noted(tmp_path / str(number)).values())
        assert words in (set(), {"tidied"})
