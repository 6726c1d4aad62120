"""A PostgreSQL of the tests' own: its own data, on a socket in a scratch directory, never the package's service."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Self

from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from tests.debian import required
from tests.eventually import eventually

START_MS = 30_000
#: Who runs the server where the tests are root's, whom it refuses.
UNPRIVILEGED = "nobody"


class PostgreSQL:
    """A context. It sorts by the rules of English, as databases do that were not made for us."""

    def __init__(self) -> None:
        self._programs = Path(required("postgres")).resolve().parent
        self.directory = Path(tempfile.mkdtemp(prefix="postgresql-"))
        self._user = UNPRIVILEGED if os.geteuid() == 0 else None
        if self._user is not None:
            os.chown(self.directory, pwd.getpwnam(self._user).pw_uid, -1)
        self._data, self.log = self.directory / "data", self.directory / "log"
        self._databases = 0
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            locale = ["--locale-provider=icu", "--icu-locale=en-US", "--locale=C", "--encoding=UTF8"]
            self._run("initdb", "-D", str(self._data), "-U", "tester", "-A", "trust", "--no-sync", *locale)
            self.start()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._remove()

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        settings = [f"unix_socket_directories={self.directory}", "listen_addresses=", "fsync=off"]
        options = [word for setting in settings for word in ("-c", setting)]
        with self.log.open("ab") as output:
            command = [str(self._programs / "postgres"), "-D", str(self._data), *options]
            self._process = subprocess.Popen(
                command, stdout=output, stderr=output, user=self._user, cwd=self.directory
            )
        eventually(self._accepts, START_MS)

    def stop(self) -> None:
        """Stop it as a restart does: sessions are ended."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End it at once; what was committed is recovered at the next start."""
        if self._process is not None:
            self.thaw()
            self._end(signal.SIGQUIT)

    def freeze(self) -> None:
        """It says nothing more, and keeps its connections."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def new_database(self) -> str:
        """The URL of an empty database."""
        self._databases += 1
        name = f"test{self._databases}"
        engine = create_engine(self._url("postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return self._url(name).replace("+psycopg", "")

    def without_rights(self, url: str) -> str:
        """The URL by which somebody reaches a database who may do nothing there."""
        engine = create_engine(self._url("postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text("DROP ROLE IF EXISTS guest"))
            connection.execute(text("CREATE ROLE guest LOGIN"))
        engine.dispose()
        return url.replace("//tester@", "//guest@")

    def _url(self, database: str) -> str:
        return f"postgresql+psycopg://tester@/{database}?host={self.directory}"

    def _run(self, program: str, *words: str) -> None:
        command = [str(self._programs / program), *words]
        subprocess.run(command, check=True, capture_output=True, user=self._user, cwd=self.directory, timeout=60)

    def _accepts(self) -> None:
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text(errors="replace")[-3000:]
        engine = create_engine(self._url("postgres"))
        try:
            engine.connect().close()
        except OperationalError as error:
            raise AssertionError("it does not answer yet") from error
        finally:
            engine.dispose()

    def _signal(self, what: signal.Signals) -> None:
        """To the server and the processes of its sessions."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        for pid in (self._process.pid, *map(int, children)):
            os.kill(pid, what)

    def _end(self, how: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(how)
        self._process.wait(30)
        self._process = None

    def _remove(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)
