"""Every test of the archive runs on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.archive.postgresql import PostgreSQL

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
