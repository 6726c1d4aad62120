"""APIs to test against: without keys, and with them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mindswarm_exec.settings import Settings
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
