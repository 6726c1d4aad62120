"""A program as a handler: what it is given, what its end means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mindswarm_exec import Agent
from mindswarm_exec.agent import InvalidPayload
from mindswarm_exec.context import ExecutionCancelled
from mindswarm_exec.errors import InvalidRequest
from tests.eventually import eventually, must_hold
from tests.isolation.attempts import assert_gone, await_noted, await_word
from tests.isolation.conftest import Start
from tests.isolation.handlers import agent
from workers.attempt import Wish
from workers.isolation.endings import HandlerFailed, LimitBreached


def test_a_command_completes_with_its_code_and_output(start: Start) -> None:
    run = start("say", {"text": "hello; rm -rf $HOME ü"})
    assert run.result() == {"exit_code": 0, "stdout": "hello; rm -rf $HOME ü\n", "stderr": ""}
    assert run.attempt.text("stdout") == "hello; rm -rf $HOME ü\n"


def test_a_command_has_the_directory_and_the_variables_that_it_asks_for(start: Start) -> None:
    assert start("shell", {"script": "pwd; echo $GREETING"}).result()["stdout"] == "/\nhello\n"


def test_output_arrives_by_whole_lines_while_the_command_runs(start: Start) -> None:
    run = start("shell", {"script": "for i in 1 2 3; do printf a; printf 'b\\n'; done; read x < /dev/zero & wait"})
    eventually(lambda: must_hold(run.attempt.text("stdout") == "ab\nab\nab\n"))
    pieces = [data["text"] for _, data in run.attempt.events]
    assert all(piece.endswith("\n") for piece in pieces)
    run.end_on(Wish.CANCEL)


def test_another_ok_code_completes_and_the_rest_fail_with_what_was_said_last(start: Start) -> None:
    assert start("shell", {"script": "exit 3"}).result()["exit_code"] == 3
    with pytest.raises(HandlerFailed, match=r"/bin/sh exited with code 4: the reason$") as found:
        start("shell", {"script": "echo more >&2; echo the reason >&2; exit 4"}).result()
    assert (found.value.type, found.value.measured) == ("CommandFailed", {"exit_code": 4})


def test_a_signal_that_killed_a_command_is_named(start: Start) -> None:
    with pytest.raises(HandlerFailed, match="killed by SIGSEGV") as found:
        start("shell", {"script": "kill -SEGV $$"}).result()
    assert found.value.type == "CommandFailed"


@pytest.mark.parametrize("task_type", ["no.such.program", "no.such.directory"])
def test_what_does_not_exist_is_a_typed_failure(start: Start, task_type: str) -> None:
    with pytest.raises(HandlerFailed, match="/no/such/") as found:
        start(task_type).result()
    assert found.value.type == "CommandNotFound"


def test_a_result_keeps_the_end_of_long_output(start: Start) -> None:
    result = start("shell", {"script": "seq 1 100000"}).result()
    assert len(result["stdout"]) == 64 * 1024
    assert result["stdout"].endswith("\n100000\n")


def test_a_command_is_held_to_its_limits(start: Start) -> None:
    with pytest.raises(LimitBreached) as found:
        start("shell", {"script": "while :; do :; done"}, cpu_seconds=0.3).result()
    assert found.value.kind == "cpu_limit"


def test_a_cancel_ends_a_command_and_what_it_started(start: Start, tmp_path: Path) -> None:
    script = f'sleep 3600 & echo "child $!" > {tmp_path}/pids; wait'
    run = start("shell", {"script": script})
    pids = await_noted(tmp_path / "pids", 1)
    assert isinstance(run.end_on(Wish.CANCEL), ExecutionCancelled)
    assert_gone(pids)


def test_a_command_that_cleans_up_on_sigterm_may(start: Start, tmp_path: Path) -> None:
    script = f"trap 'echo tidied >> {tmp_path}/words; exit 9' TERM; echo began > {tmp_path}/words; sleep 3600 & wait"
    run = start("shell", {"script": script})
    await_word(tmp_path / "words", "began")
    assert isinstance(run.end_on(Wish.CANCEL), ExecutionCancelled)
    await_word(tmp_path / "words", "tidied")


@pytest.mark.parametrize(
    ("task_type", "payload", "problem"),
    [
        ("say", {"text": "-rf"}, "begins with '-'"),
        ("say", {"text": -5}, "begins with '-'"),
        ("say", {"text": "a\0b"}, "NUL"),
        ("say", {}, "text is missing"),
        ("say", {"text": "a", "more": 1}, "more is not a field"),
        ("say", {"text": True}, "text"),
        ("say", {"text": ["a"]}, "text"),
        ("say", None, "must be"),
        ("no.payload", {"text": "a"}, "text is not a field"),
    ],
)
def test_a_payload_that_does_not_fit_the_placeholders_is_refused(
    start: Start, task_type: str, payload: Any, problem: str
) -> None:
    with pytest.raises(InvalidPayload, match=problem):
        start(task_type, payload).result()


def test_a_dash_is_an_argument_after_two_dashes(start: Start) -> None:
    assert start("say.guarded", {"text": "-rf"}).result()["stdout"] == "-rf\n"


def test_numbers_and_any_name_may_fill_a_placeholder(start: Start) -> None:
    assert start("numbers", {"copy": 1.5, "json": -2}).result()["stdout"] == "1.5 x-2"


@pytest.mark.parametrize("payload", [None, {}])
def test_a_command_without_placeholders_needs_no_payload(start: Start, payload: Any) -> None:
    assert start("no.payload", payload).result()["exit_code"] == 0


def test_the_schema_of_a_command_names_its_placeholders() -> None:
    info = agent.handlers["numbers"].info()
    assert info.payload_schema is not None
    assert info.payload_schema["required"] == ["copy", "json"]
    assert info.payload_schema["additionalProperties"] is False
    assert info.result_schema is not None
    assert set(info.result_schema["properties"]) == {"exit_code", "stdout", "stderr"}


@pytest.mark.parametrize("argv", [[], "ls -l", ["{program}", "-l"], ["ls", 5], [""]])
def test_an_argument_list_that_cannot_be_run_safely_is_refused(argv: Any) -> None:
    with pytest.raises(InvalidRequest):
        Agent("one").command("list", argv)


def test_a_command_does_not_take_the_name_of_a_handler() -> None:
    one = Agent("one")
    one.command("list", ["ls"])
    with pytest.raises(InvalidRequest, match="twice"):
        one.command("list", ["ls"])
