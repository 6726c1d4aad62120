"""The embedded server as its users see it: started or attached to, watched over, and stopped by its owner."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

import redis

from mindswarm_exec.embedded import lifeline
from mindswarm_exec.embedded.directory import DataDirectory
from mindswarm_exec.embedded.finding import Found, connect, find
from mindswarm_exec.embedded.lock import Lock
from mindswarm_exec.embedded.ports import candidates, url_of
from mindswarm_exec.embedded.starting import POLL_SECONDS, Launch, Process, start_or_attach
from mindswarm_exec.settings import Settings

STOP_SECONDS = 10.0


def ledger_url(settings: Settings) -> tuple[str, EmbeddedServer | None]:
    """Name the ledger: `MINDSWARM_REDIS_URL` if it is set, else an embedded server under `data_dir`.

    An embedded server does not end before this process, whichever of the two has named it.
    """
    if settings.redis_url:
        _hold_if_embedded(settings.redis_url, DataDirectory(settings.data_dir))
        return settings.redis_url, None
    server = start_embedded(settings.data_dir)
    return server.url, server


def start_embedded(
    data_dir: Path | str,
    *,
    durable: bool = True,
    extra: Sequence[str] = (),
    startup_timeout_seconds: float = 10.0,
) -> EmbeddedServer:
    """Have a server running on `data_dir`: start it, or attach to the one that runs there already.

    The port of the last server is used again where it is free. A running server keeps the options it was
    started with. `startup_timeout_seconds` limits silence, not the loading of a large AOF.

    Args:
        durable: keep an append-only file, synced every second. Without it everything ends with the server.
        extra: further arguments of the server, such as `("--maxmemory", "2gb")`.

    Raises:
        InvalidRequest: `data_dir` cannot hold the data, or its running server is not durable and should be.
        LedgerUnavailable: no server came up; the message ends with the last lines of its log.
    """
    return EmbeddedServer(
        Launch(DataDirectory.prepared(Path(data_dir)), durable, tuple(extra), startup_timeout_seconds)
    )


class EmbeddedServer:
    """A running server. For one thread at a time; clients use `url`, which outlasts `ensure_running`.

    This process holds the server until it ends itself: it may drop this object and use the URL.
    """

    def __init__(self, launch: Launch) -> None:
        self._launch = launch
        self._directory = launch.directory
        self._child: Process | None = None
        self._owner: Lock | None = None
        self.port, self.pid = 0, 0
        self._hold(*start_or_attach(launch, candidates(self._directory.recorded().port)))

    @property
    def url(self) -> str:
        return url_of(self.port)

    @property
    def owned(self) -> bool:
        """Whether `stop` ends the server: this process started it or found its owner dead. No fork owns."""
        return self._owner is not None and self._owner.is_held

    def is_alive(self) -> bool:
        """Tell whether a server process holds the directory; a frozen or loading one does."""
        return self._directory.has_server()

    def ensure_running(self) -> bool:
        """Restart the server on the same port if it crashed; answer whether it had to be.

        Raises:
            LedgerUnavailable: it lives but does not answer, or cannot be restarted on its port.
        """
        former_pid = self.pid
        if find(self._directory, self.port, self.pid) is None:
            self._hold(*start_or_attach(self._launch, iter([self.port])))
        return self.pid != former_pid

    def stop(self) -> None:
        """End the server in order, its AOF on disk, if it is `owned`; else leave it alone. Idempotent."""
        if self._owner is None or not self._owner.is_held:
            return
        try:
            self._shut_down()
        finally:
            lifeline.let_go(self.pid)
            self._owner.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _hold(self, found: Found, child: Process | None) -> None:
        if found.pid != self.pid:
            if self._child is not None:
                self._child.wait()  # it lost the lock, so it has ended
            lifeline.let_go(self.pid)
            self.port, self.pid, self._child = found.port, found.pid, child
        if not self.owned:
            self._owner = self._directory.lock_owner()

    def _shut_down(self) -> None:
        found = find(self._directory, self.port, self.pid)
        found = found or find(self._directory, *self._directory.recorded())  # restarted by another process
        if found is not None:
            self._hold(found, None)
            with suppress(redis.RedisError), connect(self.port) as client:
                client.shutdown(nosave=True)  # no RDB; the AOF is flushed all the same
        deadline = time.monotonic() + STOP_SECONDS
        while self.is_alive() and self._directory.recorded() == (self.port, self.pid):
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)  # it holds the lock still, so the pid is still its own
                break
            time.sleep(POLL_SECONDS)
        if self._child is not None:
            self._child.wait(STOP_SECONDS)


def _hold_if_embedded(url: str, directory: DataDirectory) -> None:
    """Keep the server of `directory` if that is what `url` names: whoever passed the URL on may end before us."""
    recorded = directory.recorded()
    if url == url_of(recorded.port) and (found := find(directory, *recorded)):
        lifeline.hold(found.pid)
