"""What all tests share: one real Valkey server a session, and a namespace of its own for each test."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from mindswarm_exec.embedded import start_embedded


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that keeps nothing on disk. No server is a failure, never a skip."""
    with start_embedded(tmp_path_factory.mktemp("valkey"), durable=False) as server:
        yield server.url


@pytest.fixture
def namespace() -> str:
    """A prefix that no other test uses: tests share the server and never flush it."""
    return f"t{secrets.token_hex(4)}"
