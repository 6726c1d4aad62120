"""API keys: who may call, and which projects a caller's key opens."""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mindswarm_exec.errors import InvalidRequest, Unauthenticated
from mindswarm_exec.identifiers import NAME_PATTERN

if TYPE_CHECKING:
    from mindswarm_exec.ledger.api_keys import ApiKeyStore

#: The project that stands for all of them; a key with it is an administrator's.
EVERY_PROJECT = "*"
_NAME = re.compile(NAME_PATTERN)
_PREFIX = "msk_"


@dataclass(frozen=True)
class ApiKey:
    """What is known of a key. `key_id` names it, opens nothing, and may be shown."""

    key_id: str
    name: str
    project_ids: frozenset[str]

    @property
    def opens_every_project(self) -> bool:
        return EVERY_PROJECT in self.project_ids


class ApiKeys:
    """Makes, checks and revokes keys.

    Only the SHA-256 of a key is kept. A slow password hash would add nothing: a key is 256 random bits, so
    there is nothing to guess, and a fast digest lets every single call be checked against the ledger, so that
    a revoked key opens nothing from that moment on.
    """

    def __init__(self, store: ApiKeyStore) -> None:
        self._store = store

    async def create_key(self, project_ids: Iterable[str], name: str) -> str:
        """Make a key that opens `project_ids` ("*" opens all) and return it. It cannot be shown again."""
        projects = frozenset(project_ids)
        if not projects:
            raise InvalidRequest("an API key needs at least one project; '*' stands for all of them.")
        if odd := sorted(each for each in projects if each != EVERY_PROJECT and not _NAME.fullmatch(each)):
            raise InvalidRequest(f"'{odd[0]}' is no project: a name of {NAME_PATTERN}, or '*' for all of them.")
        key = _PREFIX + secrets.token_urlsafe(32)
        await self._store.put(_digest(key), name, projects, int(time.time() * 1000))
        return key

    async def verify(self, key: str) -> ApiKey:
        """The key's record.

        Raises:
            Unauthenticated: no such key, or it was revoked.
        """
        digest = _digest(key)
        found = await self._store.get(digest)
        if found is None:
            raise Unauthenticated("the API key is unknown or was revoked. Ask an administrator for a new one.")
        return ApiKey(digest, found["name"], frozenset(found["projects"]))

    async def revoke(self, key_id: str) -> bool:
        """Make a key open nothing any more. False: there is no key of that id."""
        return await self._store.delete(key_id)

    async def list(self) -> list[ApiKey]:
        """Every key, by name."""
        records = [(digest, await self._store.get(digest)) for digest in await self._store.digests()]
        found = [ApiKey(digest, said["name"], frozenset(said["projects"])) for digest, said in records if said]
        return sorted(found, key=lambda key: key.name)


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
