"""What the tests of the event stream share: a client of the server, and who writes events as scripts do."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from tests.event_writer import EventWriter


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def client(valkey_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(valkey_url) as client:
        yield client


@pytest.fixture
def writer(client: Redis, namespace: str) -> EventWriter:
    return EventWriter(client, namespace)
