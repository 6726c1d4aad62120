"""The pytest plugin. It imports the engine only where a test asks for a fixture."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from mindswarm_exec.testing.swarm import Swarm


@pytest.fixture(scope="session")
def swarm_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a ledger for this session: an embedded server that keeps nothing on disk."""
    from mindswarm_exec.embedded import start_embedded

    with start_embedded(tmp_path_factory.mktemp("swarm"), durable=False) as server:
        yield server.url


@pytest.fixture
def swarm_settings() -> dict[str, Any]:
    """Settings of the engine that differ from the defaults, by field name. Override it where a test needs some."""
    return {}


@pytest.fixture
def swarm(swarm_server: str, swarm_settings: dict[str, Any]) -> Iterator[Swarm]:
    """A swarm of the test's own: nothing in it is seen by another test."""
    from mindswarm_exec.testing.swarm import Swarm

    with Swarm(swarm_server, **swarm_settings) as swarm:
        yield swarm
