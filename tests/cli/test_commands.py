"""Every command against a running engine, as a user or a script would use it."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable

import pytest

from mindswarm_exec.identifiers import new_id
from tests.cli.conftest import COMMAND, Said
from tests.eventually import eventually

Run = Callable[..., Said]


@pytest.fixture
def held(run: Run) -> str:
    """An execution that runs until it is stopped."""
    execution_id = str(run("start", "sample.hold", "--json").document["execution_id"])
    await_status(run, execution_id, "running")
    return execution_id


def await_status(run: Run, execution_id: str, wanted: str) -> None:
    def has_it() -> None:
        assert run("get", execution_id, "--json").document["status"] == wanted

    eventually(has_it, within_ms=15_000, every_ms=50)


def test_start_with_watch_shows_output_and_result_and_exits_0(run: Run) -> None:
    said = run("start", "sample.greet", '{"name": "Ada"}', "--watch", "--priority", "high", "--tag", "first")
    assert said.code == 0, said.err
    assert "completed on worker" in said.out
    assert "hello [bold]Ada[/bold] \\x1b[31m" in said.out, "output of handlers is shown as text, not obeyed"


def test_start_with_watch_and_json_is_a_line_an_event_and_the_execution_last(run: Run) -> None:
    said = run("start", "sample.greet", "-", "--watch", "--json", stdin='{"name": "Bo"}')
    assert said.code == 0
    *events, execution = said.lines
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["event_type"] == "execution.completed"
    assert execution["result"] == "hello Bo"
    assert said.err == ""


def test_an_execution_that_fails_is_exit_code_1_and_says_why(run: Run) -> None:
    said = run("start", "sample.fail", "--watch")
    assert said.code == 1
    assert "ValueError" in said.out
    assert "\x1b" not in said.out


def test_a_watch_says_at_once_why_it_waits(run: Run) -> None:
    said = run("start", "sample.great", "--watch", "--queue-timeout", "1")
    assert said.code == 1
    assert "no registered agent implements it (did you mean 'sample.greet'?)" in said.err


def test_the_same_idempotency_key_is_the_same_execution(run: Run) -> None:
    first, second = (run("start", "sample.hold", "--idempotency-key", "once", "--json").document for _ in range(2))
    assert first["execution_id"] == second["execution_id"]
    run("cancel", first["execution_id"], "--force")


def test_pause_resume_and_cancel_say_what_has_become_of_it(run: Run, held: str) -> None:
    assert run("pause", held, "--reason", "lunch").code == 0
    await_status(run, held, "paused")
    assert "is paused" in run("pause", held).err
    assert run("resume", held).code == 0
    await_status(run, held, "running")
    assert run("cancel", held, "--json").document["execution_id"] == held
    await_status(run, held, "cancelled")


def test_what_its_state_forbids_is_exit_code_4(run: Run, held: str) -> None:
    run("cancel", held)
    await_status(run, held, "cancelled")
    said = run("pause", held)
    assert (said.code, said.out) == (4, "")
    assert "cancelled" in said.err


def test_retry_brings_a_failed_execution_back(run: Run) -> None:
    execution_id = run("start", "sample.fail", "--watch", "--json").lines[-1]["execution_id"]
    said = run("retry", execution_id, "--priority", "9", "--json")
    assert said.document["priority"] == 9
    await_status(run, execution_id, "failed")


@pytest.mark.parametrize(
    "verb", ["get", "history", "explain", "metrics", "pause", "resume", "cancel", "retry", "watch"]
)
def test_an_unknown_execution_is_exit_code_3(run: Run, verb: str) -> None:
    execution_id = new_id()
    said = run(verb, execution_id)
    assert (said.code, said.out) == (3, "")
    assert execution_id in said.err


@pytest.mark.parametrize("verb", ["get", "history", "pause", "watch"])
@pytest.mark.parametrize("name", ["nonsense", "../etc", "", "x" * 5000, "é\x1b[31m", "{}"])
def test_what_is_no_id_is_a_sentence(run: Run, verb: str, name: str) -> None:
    said = run(verb, name)
    assert said.code in (2, 3)
    assert said.err.startswith("mindswarm-exec: ")
    assert "\x1b" not in said.err


def test_an_unknown_agent_is_exit_code_3_with_the_nearest_name(run: Run) -> None:
    said = run("agent-sleep", "worke")
    assert said.code == 3
    assert "Did you mean 'worker'?" in said.err


def test_an_agent_sleeps_and_wakes(run: Run) -> None:
    assert run("agent-sleep", "worker", "--json").document["state"] == "sleeping"
    assert "'worker' is " in run("agent-wake", "worker").out
    eventually(lambda: _says(run("agents").out, "awake"))
    assert "'worker' is awake." in run("agent-wake", "worker").out


def _says(said: str, words: str) -> None:
    assert words in said


def test_a_misspelt_task_type_waits_and_says_what_was_probably_meant(run: Run) -> None:
    said = run("start", "sample.gret", "--json")
    assert said.document["waiting_for"]["nearest"] == "sample.greet"
    execution_id = said.document["execution_id"]
    assert "sample.greet" in run("explain", execution_id).out
    assert run("cancel", execution_id).code == 0


def test_looking_is_one_json_document_each(run: Run, held: str) -> None:
    looks = (
        ["get", held],
        ["list", "--status", "running"],
        ["list", "--agent", "worker", "--since", "1h", "--limit", "1"],
        ["history", held],
        ["history", "--task-type", "sample.greet"],
        ["explain", held],
        ["queue"],
        ["agents"],
        ["agents", "worker"],
        ["metrics", held],
        ["metrics", "--window", "5m", "--group-by", "status"],
    )
    for look in looks:
        said = run(*look, "--json")
        assert (said.code, said.err) == (0, ""), look
        assert isinstance(said.document, dict), look
        shown = run(*look)
        assert shown.code == 0, shown.err
        assert shown.out.strip(), look
    run("cancel", held)


def test_ids_in_a_listing_are_whole_however_narrow_the_terminal(run: Run, held: str) -> None:
    assert held in run("list", "--status", "running", COLUMNS="60").out
    run("cancel", held)


def test_pages_follow_one_another(run: Run) -> None:
    for number in range(3):
        run("start", "sample.greet", json.dumps({"name": str(number)}), "--watch", "--json")
    first = run("list", "--limit", "1", "--json").document
    second = run("list", "--limit", "1", "--cursor", first["next_cursor"], "--json").document
    assert first["executions"][0]["execution_id"] != second["executions"][0]["execution_id"]


def test_watching_an_ended_execution_tells_its_record_and_its_exit(run: Run) -> None:
    execution_id = run("start", "sample.fail", "--watch", "--json").lines[-1]["execution_id"]
    said = run("watch", execution_id, "--json")
    assert said.code == 1
    assert [line["event_type"] for line in said.lines[:-1]][-1] == "execution.failed"


def test_a_reader_that_leaves_early_is_no_error_of_ours(run: Run, api_url: str) -> None:
    for arguments in ("list --json", "list", "watch --from 0 --json"):
        script = f"{' '.join(COMMAND)} {arguments} --api-url {api_url} | head -1; exit ${{PIPESTATUS[0]}}"
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False, timeout=60)
        assert done.stderr == "", arguments
        # a short answer may have been written before the reader left
        assert done.returncode in (0, 128 + signal.SIGPIPE), arguments
