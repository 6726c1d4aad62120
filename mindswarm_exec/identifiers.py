"""Names and ids: what they look like, and how new ones are made."""

from __future__ import annotations

import os
import re
import secrets
import time
from typing import Annotated

from pydantic import StringConstraints

#: Agent names become queue names, and queue names are raw Redis keys: nothing else is safe in them.
AGENT_ID_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"
#: Task types, projects, keys and tags: printable ASCII without spaces, quotes or backslashes.
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}$"
UUID_PATTERN = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"

AgentId = Annotated[str, StringConstraints(pattern=AGENT_ID_PATTERN)]
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
ExecutionId = Annotated[str, StringConstraints(pattern=UUID_PATTERN)]

_UUID = re.compile(UUID_PATTERN)
_NONCE = re.compile(r"[0-9a-f]{32}")


def new_id() -> str:
    """Make a UUIDv7: ids made later sort later, to the millisecond. Source: RFC 9562 §5.7."""
    value = int(time.time() * 1000) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def is_id(text: str) -> bool:
    return _UUID.fullmatch(text) is not None


def new_nonce() -> str:
    """Make a nonce: 128 random bits as 32 hexadecimal digits."""
    return secrets.token_hex(16)


def is_nonce(text: str) -> bool:
    return _NONCE.fullmatch(text) is not None


def attempt_id(execution_id: str, attempt: int) -> str:
    """Name one attempt. It is the Celery task id, and the member of the agent's set of held attempts."""
    return f"{execution_id}.{attempt}"


def execution_of(attempt: str) -> str:
    """The execution that an attempt id belongs to."""
    return attempt.partition(".")[0]
