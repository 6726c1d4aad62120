"""What the end-to-end tests share: failing tests show what their processes said."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.e2e.swarm import Swarm


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        report.sections += [(f"log of {name}", log) for name, log in Swarm.logs()]
    return report


@pytest.fixture
def file(request: pytest.FixtureRequest) -> str:
    """The name of a file of the test's own, for its handlers to wait for."""
    name: str = request.node.name
    return name.replace("[", ".").replace("]", "")
