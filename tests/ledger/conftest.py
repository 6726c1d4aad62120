"""The ledger of each test: a namespace of its own on the shared server, a clock that the test moves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mindswarm_exec.settings import Settings
from tests.ledger.world import World


@pytest.fixture
def world(valkey_url: str, namespace: str) -> Iterator[World]:
    world = World(valkey_url, Settings(namespace=namespace))
    yield world
    world.close()
