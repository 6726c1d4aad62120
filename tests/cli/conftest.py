"""One `mindswarm-exec up` for all tests of the command line, started as a user would."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from mindswarm_exec.cli.main import run as run_command
from mindswarm_exec.cli.stack import free_port
from mindswarm_exec.settings import Settings
from tests.api.hand_agent import HandAgent
from tests.api.running_api import RunningApi
from tests.eventually import eventually

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "mindswarm_exec.cli"]


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


def environment(**ours: str) -> dict[str, str]:
    """This process's environment without any setting of the engine or the terminal but `ours`."""
    foreign = ("MINDSWARM_", "COLUMNS", "LINES")
    theirs = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {**theirs, **ours}


def command(*arguments: str, stdin: str = "", **ours: str) -> Said:
    """Run one command to its end: the entry point itself, in this process, which saves half a second each."""
    out, err = StringIO(), StringIO()
    with (
        mock.patch.dict(os.environ, environment(**ours), clear=True),
        mock.patch("sys.stdin", StringIO(stdin)),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        code = run_command(list(arguments))
    return Said(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def api_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Everything on this machine, with an agent `worker` of two slots."""
    data = tmp_path_factory.mktemp("up")
    arguments = ["--port", str(free_port()), "--data-dir", str(data), "--json"]
    agents = ["--agent", "worker=tests.cli.sample_agents:worker"]
    with (data / "up.err").open("w") as errors:
        process = subprocess.Popen(
            [*COMMAND, "up", *arguments, *agents],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=ROOT,
            env=environment(MINDSWARM_DRAIN_GRACE_SECONDS="1"),
        )
    assert process.stdout is not None
    try:
        url = next((news["api_url"] for news in map(json.loads, process.stdout) if news["event"] == "ready"), None)
        assert url, (data / "up.err").read_text()
        await_agent(url, "worker")
        yield str(url)
    finally:
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
        assert process.wait(30) == 0


@pytest.fixture
def run(api_url: str) -> Callable[..., Said]:
    """Run commands against the running API."""

    def run_there(*arguments: str, stdin: str = "", **ours: str) -> Said:
        return command(*arguments, stdin=stdin, MINDSWARM_API_URL=api_url, **ours)

    return run_there


@pytest.fixture
def settings(valkey_url: str, namespace: str) -> Settings:
    return Settings(redis_url=valkey_url, namespace=namespace, api_port=0)


@pytest.fixture
def by_hand(settings: Settings) -> Iterator[HandAgent]:
    """An agent `coder` that does what the test says."""
    agent = HandAgent(settings)
    yield agent
    agent.close()


@pytest.fixture
def ask(settings: Settings) -> Iterator[Callable[..., Said]]:
    """Run commands against an API of this test's own."""
    api = RunningApi(settings)
    api.start()

    def ask_there(*arguments: str, stdin: str = "", **ours: str) -> Said:
        return command(*arguments, stdin=stdin, MINDSWARM_API_URL=api.url, **ours)

    yield ask_there
    api.stop()


def await_agent(url: str, name: str) -> None:
    def is_awake() -> None:
        said = command("agents", "--json", MINDSWARM_API_URL=url)
        assert said.code == 0, said.err
        assert (name, "awake") in [(agent["agent_id"], agent["state"]) for agent in said.document["agents"]]

    eventually(is_awake, within_ms=30_000, every_ms=100)
