"""API keys at rest: by the digest of a key, what it is called and which projects it opens."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mindswarm_exec.ledger.faces import translated_errors
from mindswarm_exec.ledger.keys import Keys

if TYPE_CHECKING:
    from redis.asyncio import Redis


class ApiKeyStore:
    """Keeps one hash a key. Knows digests only; the keys themselves never come here."""

    def __init__(self, client: Redis, namespace: str) -> None:
        self._client = client
        self._keys = Keys(namespace)

    async def put(self, digest: str, name: str, project_ids: frozenset[str], created_at_ms: int) -> None:
        fields: dict[Any, Any] = {
            "name": name,
            "projects": json.dumps(sorted(project_ids)),
            "created_at_ms": created_at_ms,
        }
        with translated_errors():
            await self._client.hset(self._keys.of("api_key", digest), mapping=fields)

    async def get(self, digest: str) -> dict[str, Any] | None:
        """`name`, `projects` (a list) and `created_at_ms` of the key with this digest, or None."""
        with translated_errors():
            found = await self._client.hgetall(self._keys.of("api_key", digest))
        record = {_text(field): _text(value) for field, value in found.items()}
        if not record:
            return None
        return {
            "name": record["name"],
            "projects": json.loads(record["projects"]),
            "created_at_ms": int(record["created_at_ms"]),
        }

    async def delete(self, digest: str) -> bool:
        """Whether there was such a key."""
        with translated_errors():
            return bool(await self._client.delete(self._keys.of("api_key", digest)))

    async def digests(self) -> list[str]:
        """The digests of all keys. Walks the key space: for people, not for each call."""
        prefix = self._keys.of("api_key", "*").removesuffix("*")
        with translated_errors():
            # a set: SCAN may name a key twice
            names = {_text(name) async for name in self._client.scan_iter(prefix + "*", count=1000)}
        return sorted(name.removeprefix(prefix) for name in names)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
