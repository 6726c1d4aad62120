"""The ledger of each test: a namespace of its own on the shared server, a clock that the test moves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mindswarm_exec.settings import Settings
from tests.ledger.explained import Explained
from tests.ledger.world import World


@pytest.fixture
def world(valkey_url: str, namespace: str) -> Iterator[World]:
    world = World(valkey_url, Settings(namespace=namespace))
    yield world
    world.close()


@pytest.fixture(scope="module")
def explained(valkey_url: str, request: pytest.FixtureRequest) -> Iterator[Explained]:
    """One for the examples of a module, which empty it as they begin."""
    explained = Explained(valkey_url, Settings(namespace=request.path.stem.replace("_", "-")))
    yield explained
    explained.close()
