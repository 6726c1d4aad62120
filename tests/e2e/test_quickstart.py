"""The quickstart, typed as it stands: the commands of its page, in its order, in an empty directory."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mindswarm_exec.cli.stack import free_port
from tests.eventually import eventually

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "index.md").read_text(encoding="utf-8").partition("## Read on")[0]
BLOCK = re.compile(r"^```python(?: runnable)?\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PYTHON = BLOCK.findall(PAGE)
#: Each block of commands, as one text for a shell.
COMMANDS = [
    block.strip()
    for block in re.findall(r"(?:^ {4}\S.*\n(?: {4,}.*\n)*)", re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL), re.M)
]
INSTALL, UP, *THEN = COMMANDS
#: The address that the page names, for which the test has one of its own.
ADDRESS = "127.0.0.1:8420"


class Desk:
    """An empty directory of a new user, and two terminals in it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        (directory / "words.py").write_text(PYTHON[0])
        own = {name: value for name, value in os.environ.items() if not name.startswith("MINDSWARM_")}
        address = {"MINDSWARM_API_PORT": str(self.port), "MINDSWARM_API_URL": f"http://127.0.0.1:{self.port}"}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.environment = own | address | {"PATH": path, "PYTHONPATH": str(ROOT)}
        self.up = subprocess.Popen(
            ["bash", "-c", f"exec {UP}"], cwd=directory, env=self.environment, stdout=subprocess.PIPE, text=True
        )

    def typed(self, commands: str) -> str:
        """What a shell prints for commands of the page. Each has to succeed."""
        text = re.sub(r"\bID\b", self.latest, commands.replace(ADDRESS, f"127.0.0.1:{self.port}"))
        return self._said(["bash", "-euc", text])

    def run(self, program: str) -> str:
        return self._said([sys.executable, "-c", program])

    def first_line_of(self, program: str) -> str:
        """What a program without end prints first."""
        command = [sys.executable, "-u", "-c", program]
        with subprocess.Popen(
            command, cwd=self.directory, env=self.environment, stdout=subprocess.PIPE, text=True
        ) as running:
            assert running.stdout is not None
            try:
                return running.stdout.readline().rstrip("\n")
            finally:
                running.kill()

    @property
    def ledger_port(self) -> int:
        return int(json.loads((self.directory / ".mindswarm" / "server.json").read_text())["port"])

    @property
    def latest(self) -> str:
        """The id of the execution that was started last."""
        entries = json.loads(self._said(["mindswarm-exec", "list", "--json"]))["executions"]
        return str(entries[0]["execution_id"]) if entries else ""

    def status(self) -> str:
        return str(json.loads(self._said(["mindswarm-exec", "get", self.latest, "--json"]))["status"])

    def _said(self, command: list[str]) -> str:
        ended = subprocess.run(
            command, cwd=self.directory, env=self.environment, capture_output=True, text=True, timeout=60
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout + ended.stderr

    def close(self) -> None:
        self.up.terminate()
        self.up.communicate(timeout=30)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    desk = Desk(tmp_path_factory.mktemp("desk"))
    try:
        assert desk.up.stdout is not None
        while "ready" not in (line := desk.up.stdout.readline()):
            assert line, "it has ended"
        yield desk
    finally:
        desk.close()


def test_the_commands_of_the_quickstart_do_what_the_page_says(desk: Desk) -> None:
    assert INSTALL == "pip install '.[all]'"
    watched, controlled, called = THEN
    eventually(lambda: _contains(desk.typed("mindswarm-exec agents"), "counter"), within_ms=20_000)
    said = desk.typed(watched)
    assert "completed on counter" in said
    assert "awake" in said
    start, pause, *looks = controlled.splitlines()
    desk.typed(start)
    desk.typed(pause)
    eventually(lambda: _contains(desk.status(), "paused"), within_ms=20_000)
    said = desk.typed("\n".join(looks))
    assert " resumed " in said
    eventually(lambda: _contains(desk.status(), "cancelled"), within_ms=20_000)
    assert desk.run(PYTHON[1]) == "[4, 2]\n"
    assert json.loads(desk.typed(called))["result"]["task_type"] == "words.count"


#: By page: what its program with a client prints in the end.
CLIENTS = {
    "README.md": r"^\[4, 2\]$",
    "docs/from-celery.md": r"^\[2\]$",
    "docs/events.md": r"^\d+ execution\.completed ",
    "docs/control.md": r"^[0-9a-f-]{36}$",
}


@pytest.mark.parametrize("page", CLIENTS)
def test_programs_of_other_pages_run_against_the_same_engine(desk: Desk, page: str) -> None:
    program, *_ = programs_of(page, "from mindswarm_exec.client")
    assert re.search(CLIENTS[page], desk.run(program).splitlines()[-1])


def test_a_program_that_follows_the_events_of_many_hears_them_from_the_first_on(desk: Desk) -> None:
    _, endless = programs_of("docs/events.md", "from mindswarm_exec.client")
    assert re.fullmatch(r"\d+-\d+ Agent counter registered\.", desk.first_line_of(endless))


def test_a_celery_program_submits_as_the_reference_says(desk: Desk) -> None:
    (program,) = programs_of("docs/rpc.md", "from celery")
    said = desk.run(program.replace("127.0.0.1:6379", f"127.0.0.1:{desk.ledger_port}"))
    assert said == f"{desk.latest}\n"


def programs_of(page: str, beginning: str) -> list[str]:
    blocks = BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))
    return [block for block in blocks if block.startswith(beginning)]


def _contains(text: str, wanted: str) -> None:
    assert wanted in text
