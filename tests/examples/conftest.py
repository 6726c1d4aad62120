"""A swarm of processes for the examples; a failing test shows what they said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.conftest import pytest_runtest_makereport as pytest_runtest_makereport
from tests.e2e.swarm import ROOT, Swarm

Typed = Callable[..., Any]


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swarm]:
    """A ledger, a dispatcher and beat, as `up` starts them; agents are the test's."""
    with Swarm(tmp_path_factory.mktemp("examples")) as swarm:
        swarm.dispatcher()
        swarm.beat()
        yield swarm


@pytest.fixture(scope="module")
def api_url(swarm: Swarm) -> str:
    return swarm.api()


@pytest.fixture(scope="module")
def typed(swarm: Swarm, api_url: str) -> Typed:
    """Type a `mindswarm-exec` command, and read the JSON that it answers."""

    def run(*words: str) -> Any:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MINDSWARM_")}
        environment |= swarm.environment | {"MINDSWARM_API_URL": api_url}
        command = [sys.executable, "-m", "mindswarm_exec.cli", *words, "--json"]
        ended = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert ended.returncode == 0, ended.stderr + ended.stdout
        return json.loads(ended.stdout)

    return run
