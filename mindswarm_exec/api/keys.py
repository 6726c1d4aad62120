"""API keys for whoever administers the engine: made, listed and revoked beside the ledger, not over the API.

The first key has to come from somewhere; whoever reaches the ledger may do anything already.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from mindswarm_exec.embedded import ledger_url
from mindswarm_exec.service import open_services
from mindswarm_exec.service.api_keys import ApiKey, ApiKeys
from mindswarm_exec.settings import Settings

T = TypeVar("T")


def create_key(settings: Settings, project_ids: Iterable[str], name: str) -> str:
    """Make a key that opens `project_ids` ("*" opens all) and return it. It cannot be shown again."""
    return _asked(settings, lambda keys: keys.create_key(project_ids, name))


def list_keys(settings: Settings) -> list[ApiKey]:
    """Every key, by name: ids and projects, never the keys themselves."""
    return _asked(settings, lambda keys: keys.list())


def revoke_key(settings: Settings, key_id: str) -> bool:
    """Make a key open nothing from now on. False: there is no key of that id."""
    return _asked(settings, lambda keys: keys.revoke(key_id))


def _asked(settings: Settings, ask: Callable[[ApiKeys], Awaitable[T]]) -> T:
    url, _ = ledger_url(settings)

    async def run() -> T:
        async with open_services(url, settings) as services:
            return await ask(services.keys)

    return asyncio.run(run())
