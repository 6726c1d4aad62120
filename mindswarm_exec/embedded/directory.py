"""The data directory of an embedded server: its locks, the record of where the server is, and its log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple, Self

from mindswarm_exec.embedded.lock import Lock
from mindswarm_exec.errors import InvalidRequest, LedgerUnavailable

#: Of the server's log, in the message of an error.
LAST_LINES = 5


class Recorded(NamedTuple):
    """What server.json says: a hint where to ask."""

    port: int  # 0: nothing usable is recorded
    pid: int  # 0: not known yet, it starts


class DataDirectory:
    """One data directory."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.log = self.path / "server.log"

    @classmethod
    def prepared(cls, path: Path) -> Self:
        """The directory with what a start needs in it, made where it is missing.

        Raises:
            InvalidRequest: it cannot hold the data.
        """
        try:
            directory = cls(path)
            directory.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name in ("lock", "owner", "server.log"):
                (directory.path / name).touch(0o600)
        except (OSError, RuntimeError) as error:
            raise InvalidRequest(
                f"cannot keep the embedded server's data in {path}: {error}. Name a directory that "
                "can be written with MINDSWARM_DATA_DIR, or a server of your own with MINDSWARM_REDIS_URL.",
                data_dir=str(path),
            ) from None
        return directory

    def __str__(self) -> str:
        return str(self.path)

    def lock_server(self) -> Lock | None:
        """The lock that a server keeps as long as it lives; None while one does."""
        return Lock.take(self.path / "lock")

    def lock_owner(self) -> Lock | None:
        """The lock of the process that will stop the server; None while there is one."""
        return Lock.take(self.path / "owner")

    def has_server(self) -> bool:
        """Whether a server process holds the directory; a frozen or loading one does."""
        lock = self.lock_server()
        if lock is not None:
            lock.release()
        return lock is None

    def record(self, port: int, pid: int) -> None:
        """Write server.json in one step. Only the holder of the server's lock does."""
        draft = self.path / "server.json.new"
        draft.write_text(json.dumps({"port": port, "pid": pid}))
        draft.replace(self.path / "server.json")

    def recorded(self) -> Recorded:
        """Where the last server was."""
        try:
            record = json.loads((self.path / "server.json").read_text())
            return Recorded(int(record["port"]), int(record["pid"]))
        except (OSError, ValueError, TypeError, KeyError):
            return Recorded(0, 0)

    def unavailable(self, what: str) -> LedgerUnavailable:
        """The error that says why there is no server here, with the end of the last one's log."""
        try:
            last_lines = self.log.read_text(errors="replace").splitlines()[-LAST_LINES:]
        except OSError:
            last_lines = []
        return LedgerUnavailable(
            "\n  ".join([f"no embedded server on {self}: {what}. The end of {self.log}:", *last_lines]),
            data_dir=str(self),
        )
