"""APIs to test against: without keys, and with them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mindswarm_exec.client import AsyncExecutionClient, ExecutionClient
from mindswarm_exec.direct import DirectClient
from mindswarm_exec.settings import Settings
from tests.api.hand_agent import HandAgent
from tests.api.running_api import RunningApi


@pytest.fixture
def settings(valkey_url: str, namespace: str) -> Settings:
    return Settings(redis_url=valkey_url, namespace=namespace, api_port=0, max_request_bytes=100_000, max_batch=10)


@pytest.fixture
def api(settings: Settings) -> Iterator[RunningApi]:
    api = RunningApi(settings)
    api.start()
    yield api
    api.stop()


@pytest.fixture
def guarded_api(settings: Settings) -> Iterator[RunningApi]:
    """An API that asks for keys."""
    api = RunningApi(settings.model_copy(update={"api_keys": True}))
    api.start()
    yield api
    api.stop()


@pytest.fixture
def agent(settings: Settings) -> Iterator[HandAgent]:
    agent = HandAgent(settings)
    yield agent
    agent.close()


class Awaited:
    """AsyncExecutionClient with the face of its sync twin."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        async def call(*args: Any, **kwargs: Any) -> Any:
            async with AsyncExecutionClient(self._url) as client:
                return await getattr(client, verb)(*args, **kwargs)

        return lambda *args, **kwargs: asyncio.run(call(*args, **kwargs))


@pytest.fixture(params=["http", "async", "direct"])
def door(request: pytest.FixtureRequest, api: RunningApi) -> Iterator[Any]:
    """Each client in turn: what is promised of one holds for all."""
    if request.param == "async":
        yield Awaited(api.url)
        return
    assert api.settings.redis_url is not None
    opened = {
        "http": lambda: ExecutionClient(api.url),
        "direct": lambda: DirectClient(api.settings.redis_url or "", api.settings),
    }[request.param]()
    with opened as client:
        yield client
