"""What the end-to-end tests share: failing tests show what their processes said."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from mindswarm_exec.embedded import start_embedded
from tests.e2e.controlled_swarm import ControlledSwarm
from tests.e2e.swarm import Swarm


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        report.sections += [(f"log of {name}", log) for name, log in Swarm.logs()]
    return report


@pytest.fixture(scope="package")
def controlled_swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlledSwarm]:
    """The swarm that the tests of control share; each leaves its agents `one` and `two` as it found them."""
    with ControlledSwarm(tmp_path_factory.mktemp("controlled")) as swarm:
        yield swarm


@pytest.fixture
def swarm(controlled_swarm: ControlledSwarm) -> Iterator[ControlledSwarm]:
    """The shared swarm. Whatever a test did, its agents hold nothing when its handlers have ended."""
    yield controlled_swarm
    controlled_swarm.await_load("one", 0)
    controlled_swarm.await_load("two", 0)


@pytest.fixture
def file(request: pytest.FixtureRequest) -> str:
    """The name of a file of the test's own, for its handlers to wait for."""
    name: str = request.node.name
    return name.replace("[", ".").replace("]", "")


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    """A directory on which no embedded server is left running, even by a test that fails."""
    directory = tmp_path / "data"
    yield directory
    with start_embedded(directory, durable=False) as last:
        assert last.owned
