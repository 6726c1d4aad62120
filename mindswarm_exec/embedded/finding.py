"""Finding the server of a directory by asking it: what answers must prove that it is the one."""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from mindswarm_exec.embedded.directory import DataDirectory
from mindswarm_exec.embedded.ports import HOST, PORTS

PROBE_SECONDS = 1.0


class Found(NamedTuple):
    """A server that answered and proved to be the one of the directory."""

    port: int
    pid: int
    is_durable: bool
    is_ready: bool  # False: it loads its AOF


def find(directory: DataDirectory, port: int, expected_pid: int) -> Found | None:
    """Ask at `port`: None unless the server on `directory` answers there; pid 0 if it is not known yet."""
    if port not in PORTS:
        return None
    # A stranger may answer anything: ValueError is no number or no UTF-8, KeyError what is left out.
    with suppress(redis.RedisError, OSError, ValueError, KeyError), connect(port) as client:
        config = client.config_get("dir", "appendonly")
        pid = int(client.info("server")["process_id"])
        if config["dir"] != str(directory) or expected_pid not in (0, pid):
            return None
        return Found(port, pid, config["appendonly"] == "yes", _is_ready(client))
    return None


def connect(port: int) -> redis.Redis:
    """A client that neither waits long nor tries again."""
    once = Retry(NoBackoff(), 0)
    return redis.Redis(HOST, port, decode_responses=True, socket_timeout=PROBE_SECONDS, retry=once)


def _is_ready(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.BusyLoadingError:
        return False
