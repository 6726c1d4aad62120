"""`mindswarm-exec demo`: real work, a real kill -9, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import COMMAND, ROOT, environment
from tests.eventually import eventually

HARD_SECONDS = 120


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small tree with what real trees have: broken, empty and badly encoded files."""
    for number in range(12):
        body = "\n".join(f"    if a == {line}:\n        return {line}" for line in range(120))
        (tmp_path / f"module_{number}.py").write_text(f"import os\n\n\ndef decide(a):\n{body}\n")
    (tmp_path / "broken.py").write_text("def f(:\n")
    (tmp_path / "empty.py").touch()
    (tmp_path / "latin.py").write_bytes(b"x = '\xff'\n")
    return tmp_path


@pytest.fixture
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory for temporary files of a run."""
    return tmp_path_factory.mktemp("scratch")


def start(scratch: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, "demo", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        # settings of whoever runs the demo have no part in it
        env=environment(TMPDIR=str(scratch), MINDSWARM_REDIS_URL="redis://127.0.0.1:1", MINDSWARM_API_KEYS="true"),
    )


def test_every_execution_completes_once_though_one_is_paused_and_an_agent_is_killed(
    tree: Path, scratch: Path
) -> None:
    out, err = (process := start(scratch, str(tree), "--json")).communicate(timeout=HARD_SECONDS)
    assert process.returncode == 0, err
    report = json.loads(out)
    assert report["completed_exactly_once"] is True
    assert report["executions"] == 3 * 15 + 1
    assert report["killed_agent"] == "metrics-1"
    assert all(moved["to_agent"] == "metrics-2" for moved in report["moved"])
    handover = report["handover"]
    assert handover["receipt"]["acknowledged_at"] is not None
    assert (handover["paused_on"], handover["resumed_on"]) == ("metrics-1", "metrics-2")
    assert [visit["first"] for visit in handover["visits"]] == [0, handover["paused_at"]]
    assert sum(visit["files"] for visit in handover["visits"]) == 15
    assert report["most_imported"] == {"os": 12}
    assert report["worst_functions"][0]["complexity"] == 121
    assert any("broken.py: syntax error" in problem for problem in report["problems"])
    assert not list(scratch.iterdir())
    assert not left_behind(scratch)


@pytest.fixture
def surveying(tree: Path, scratch: Path) -> Iterator[subprocess.Popen[str]]:
    """A demo whose agents are at work."""
    process = start(scratch, str(tree))
    assert process.stdout is not None
    assert any("agents are ready" in line for line in process.stdout)
    yield process
    process.kill()
    process.communicate()


def test_ctrl_c_ends_it_in_order_and_leaves_nothing(surveying: subprocess.Popen[str], scratch: Path) -> None:
    surveying.send_signal(signal.SIGINT)
    surveying.communicate(timeout=30)
    assert surveying.returncode == 130
    assert not list(scratch.iterdir())
    assert not left_behind(scratch)


def test_killed_itself_it_leaves_no_process_behind(surveying: subprocess.Popen[str], scratch: Path) -> None:
    surveying.kill()

    def nothing_is_left() -> None:
        assert not left_behind(scratch)

    eventually(nothing_is_left, within_ms=30_000)


def left_behind(scratch: Path) -> dict[int, str]:
    """Processes that know the scratch directory: by their arguments or their environment."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            known = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(scratch).encode() in known and int(process.name) != os.getpid():
            found[int(process.name)] = line
    return found
