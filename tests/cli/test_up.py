"""`mindswarm-exec up` keeps everything running, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mindswarm_exec.cli.stack import free_port
from tests.cli.conftest import COMMAND, ROOT, await_agent, command, environment
from tests.eventually import eventually
from tests.process_table import is_running

AGENT = "worker=tests.cli.sample_agents:worker"


class Up:
    """A running `up` and the news that it has told."""

    def __init__(self, data: Path, *arguments: str, **settings: str) -> None:
        given = ["--port", str(free_port()), "--data-dir", str(data), "--agent", AGENT, "--json", *arguments]
        self.process = subprocess.Popen(
            [*COMMAND, "up", *given],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment(MINDSWARM_DRAIN_GRACE_SECONDS="1", **settings),
        )

    def news(self, event: str) -> dict[str, Any]:
        """The next news of a kind."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            told: dict[str, Any] = json.loads(line)
            if told["event"] == event:
                return told
        raise AssertionError(self.process.stderr.read() if self.process.stderr else "")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.communicate(timeout=30)
        return self.process.returncode


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    started = Up(tmp_path)
    yield started
    started.stop()


def test_a_child_that_dies_is_started_again_and_all_end_together(up: Up, tmp_path: Path) -> None:
    ready = up.news("ready")
    await_agent(ready["api_url"], "worker")
    os.kill(ready["pids"]["agent worker"], signal.SIGKILL)
    assert "agent worker was ended by SIGKILL" in up.news("news")["message"]
    assert "agent worker runs again" in up.news("news")["message"]
    server = json.loads((tmp_path / "server.json").read_text())["pid"]
    os.kill(server, signal.SIGKILL)
    assert "Valkey had ended and runs again" in up.news("news")["message"]
    pids = [*ready["pids"].values(), json.loads((tmp_path / "server.json").read_text())["pid"]]
    assert up.stop(signal.SIGINT) == 0
    assert not [pid for pid in pids if is_running(pid)]


def test_a_second_one_on_the_port_says_that_the_first_is_there(up: Up, tmp_path: Path) -> None:
    port = up.news("ready")["api_url"].rpartition(":")[2]
    said = command("up", "--port", port, "--data-dir", str(tmp_path / "second"))
    assert said.code == 2
    assert "An API of MindSwarm Exec runs there already: use that one" in said.err


def test_what_runs_survives_a_restart_of_everything(up: Up, tmp_path: Path) -> None:
    url = up.news("ready")["api_url"]
    started = command("start", "later.type", "--json", MINDSWARM_API_URL=url).document
    assert up.stop() == 0
    again = Up(tmp_path)
    try:
        url = again.news("ready")["api_url"]
        found = command("get", started["execution_id"], "--json", MINDSWARM_API_URL=url).document
        assert found["status"] == "pending"
    finally:
        again.stop()


def test_with_a_ledger_of_its_own_it_has_an_archive_beside_it(up: Up, tmp_path: Path) -> None:
    assert command("history", "--api-url", up.news("ready")["api_url"]).code == 0
    assert (tmp_path / "archive.db").is_file(), "made at the first question"


def test_an_agent_that_does_not_exist_ends_it_with_a_sentence(tmp_path: Path) -> None:
    said = command("up", "--port", str(free_port()), "--data-dir", str(tmp_path), "--agent", "absent_module:agent")
    assert said.code == 2
    assert "absent_module" in said.err
    server = json.loads((tmp_path / "server.json").read_text())["pid"]
    assert not is_running(server)


def test_a_port_that_is_taken_is_a_sentence_and_starts_nothing(tmp_path: Path, up: Up) -> None:
    port = up.news("ready")["api_url"].rpartition(":")[2]
    said = command("up", "--port", port, "--data-dir", str(tmp_path / "other"))
    assert said.code == 2
    assert f"port {port}" in said.err
    assert not (tmp_path / "other" / "server.json").exists()


def test_a_ledger_that_does_not_answer_is_named_while_it_waits(tmp_path: Path) -> None:
    starting = Up(tmp_path, MINDSWARM_REDIS_URL="redis://127.0.0.1:1")
    told = starting.news("news")["message"]
    assert "the API is not ready" in told
    assert "MINDSWARM_REDIS_URL" in told
    assert starting.stop(signal.SIGINT) == 130


def test_killed_itself_it_hands_its_work_back_and_leaves_nothing(up: Up, tmp_path: Path) -> None:
    ready = up.news("ready")
    url = ready["api_url"]
    await_agent(url, "worker")
    execution_id = command("start", "sample.hold", "--json", MINDSWARM_API_URL=url).document["execution_id"]
    await_running(url, execution_id, attempt=1)
    pids = [*ready["pids"].values(), json.loads((tmp_path / "server.json").read_text())["pid"]]
    up.process.kill()

    def nothing_is_left() -> None:
        assert not [pid for pid in pids if is_running(pid)]

    eventually(nothing_is_left, within_ms=30_000)
    again = Up(tmp_path)
    try:
        found = await_running(again.news("ready")["api_url"], execution_id, attempt=2)
        assert found["lost_attempts"] == 0, "the agent could still speak to the ledger when it drained"
    finally:
        again.stop()


def test_ctrl_c_while_it_starts_leaves_nothing_behind(tmp_path: Path) -> None:
    starting = Up(tmp_path)
    assert starting.news("starting")

    def has_server() -> int:
        assert (tmp_path / "server.json").exists()
        return int(json.loads((tmp_path / "server.json").read_text())["pid"] or -1)

    eventually(has_server, within_ms=10_000)
    assert starting.stop(signal.SIGINT) == 130
    assert not is_running(has_server())


def await_running(url: str, execution_id: str, attempt: int) -> dict[str, Any]:
    def check() -> dict[str, Any]:
        found: dict[str, Any] = command("get", execution_id, "--json", MINDSWARM_API_URL=url).document
        assert (found["status"], found["attempt"]) == ("running", attempt)
        return found

    return eventually(check, within_ms=30_000, every_ms=100)
