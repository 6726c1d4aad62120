"""What all tests share: one real Valkey server a session, and a namespace of its own for each test."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from mindswarm_exec.embedded import start_embedded
from tests.debian import may_run


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that keeps nothing on disk. No server is a failure, never a skip."""
    with start_embedded(tmp_path_factory.mktemp("valkey"), durable=False) as server:
        yield server.url


@pytest.fixture
def namespace() -> str:
    """A prefix that no other test uses: tests share the server and never flush it."""
    return f"t{secrets.token_hex(4)}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests whose programs are not installed."""
    left_out = [item for item in items if not may_run(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
