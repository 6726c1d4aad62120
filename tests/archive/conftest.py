"""Every test of the archive runs on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mindswarm_exec.settings import Settings
from tests.archive.postgresql import PostgreSQL
from tests.ledger.world import World

POSTGRESQL = pytest.param("postgresql", marks=pytest.mark.needs_program("postgres"))


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    with PostgreSQL() as server:
        yield server


@pytest.fixture(params=["sqlite", POSTGRESQL])
def archive_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'archive.db'}"
    server: PostgreSQL = request.getfixturevalue("postgresql")
    return server.new_database()


@pytest.fixture
def world(valkey_url: str, namespace: str, archive_url: str) -> Iterator[World]:
    """A ledger that forgets at once."""
    settings = Settings(namespace=namespace, retention_seconds=0.001, archive_url=archive_url, redis_url=valkey_url)
    world = World(valkey_url, settings)
    world.open_agent()
    yield world
    world.close()
