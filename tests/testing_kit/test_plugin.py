"""The plugin as another project gets it: by its entry point, and without a price where it is not used."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

A_TEST = """
from mindswarm_exec import Agent
from mindswarm_exec.testing import run

agent = Agent("greeter")


@agent.task("greet")
def greet(ctx, payload: str) -> str:
    return f"hello {payload}"


@agent.task("apart", isolation="process")
def apart(ctx, payload: str) -> str:
    return f"hello {payload}"


@agent.task("greet.async")
async def greet_async(ctx, payload: str) -> str:
    return f"hello {payload}"


def test_alone():
    assert run(greet_async, "you").result == "hello you"
    assert run(greet, "you").result == run(apart, "you").result == "hello you"


def test_on_a_swarm(swarm):
    swarm.agent(agent)
    assert swarm.start("greet", "you").result() == "hello you"
    assert swarm.start("greet.async", "you").result() == "hello you"
    assert swarm.start("apart", "you").result(30) == "hello you"
"""


def pytest_in(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("MINDSWARM_", "PYTEST_"))
    }
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", *words]
    return subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, timeout=120)


def test_the_entry_point_names_the_plugin() -> None:
    found = {point.name: point.value for point in entry_points(group="pytest11")}
    assert found["mindswarm_exec"] == "mindswarm_exec.testing.plugin"


def test_a_project_has_the_fixture_without_a_conftest(tmp_path: Path) -> None:
    (tmp_path / "test_greeter.py").write_text(A_TEST)
    ended = pytest_in(tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "2 passed" in ended.stdout


def test_a_project_that_does_not_use_it_does_not_load_the_engine(tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text(
        "import sys\n\n\ndef test_other():\n    assert not {'redis', 'pydantic', 'celery'} & set(sys.modules)\n"
    )
    ended = pytest_in(tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
