"""How the archive's database is reached: its connections, its one writer, and an end to every wait."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from mindswarm_exec.errors import ArchiveUnavailable, InvalidRequest

T = TypeVar("T")

#: Calls that may be under way at once. More wait; where the database hangs, they end with those before them.
MOST_CALLS = 8
#: Names the one writer among all sessions of a PostgreSQL database; any number that nobody else uses.
WRITER = 7_105_264_391


def engine_of(url: str, timeout_seconds: float) -> Engine:
    """The engine for a URL; nothing is connected yet.

    Raises:
        InvalidRequest: the URL is none, is of another database, or its driver is not installed.
    """
    try:
        address = make_url(url)
        make = {"sqlite": _sqlite, "postgresql": _postgresql}.get(address.get_backend_name())
        if make is None:
            raise InvalidRequest(
                f"the archive cannot be kept in {address.get_backend_name()}: MINDSWARM_ARCHIVE_URL takes sqlite or "
                "postgresql."
            )
        return make(address, timeout_seconds)
    except ModuleNotFoundError as error:
        raise InvalidRequest(
            f"MINDSWARM_ARCHIVE_URL needs {error.name}: pip install 'mindswarm-exec[postgresql]'."
        ) from None
    except (ArgumentError, NoSuchModuleError) as error:
        raise InvalidRequest(f"MINDSWARM_ARCHIVE_URL cannot be used: {type(error).__name__}: {error}.") from None


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction in which nobody else writes, in whatever process."""
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        if engine.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({WRITER})"))
        yield connection


class Patience:
    """Ends every wait for the database: a server that keeps its connections and says nothing holds up no caller."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._places = threading.Semaphore(MOST_CALLS)

    def wait_for(self, work: Callable[[], T]) -> T:
        """What `work` returns or raises. It runs on a thread that ends with the process, however it hangs.

        Raises:
            ArchiveUnavailable: it took too long; it may still be done later.
        """
        if not self._places.acquire(timeout=self._seconds):
            raise ArchiveUnavailable.because("calls before this one still wait")
        answers: SimpleQueue[tuple[bool, Any]] = SimpleQueue()
        threading.Thread(target=self._work, args=(work, answers), name="archive", daemon=True).start()
        try:
            is_done, answer = answers.get(timeout=self._seconds)
        except Empty:
            raise ArchiveUnavailable.because(f"nothing came within {self._seconds:g} s") from None
        if not is_done:
            raise answer
        found: T = answer
        return found

    def _work(self, work: Callable[[], T], answers: SimpleQueue[tuple[bool, Any]]) -> None:
        try:
            answers.put((True, work()))
        except BaseException as error:  # noqa: BLE001  raised where the answer is awaited
            answers.put((False, error))
        finally:
            self._places.release()


def _sqlite(address: URL, timeout_seconds: float) -> Engine:
    engine = create_engine(address, connect_args={"timeout": timeout_seconds})

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _: object) -> None:
        connection.isolation_level = None  # transactions begin below, tables are made in them too
        connection.execute("PRAGMA journal_mode=WAL")  # readers do not wait for the writer
        connection.execute("PRAGMA synchronous=FULL")  # what was committed may be forgotten elsewhere

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgresql(address: URL, timeout_seconds: float) -> Engine:
    if address.drivername == "postgresql":  # SQLAlchemy's default has been another driver
        address = address.set(drivername="postgresql+psycopg")
    limits = {"connect_timeout": max(2, round(timeout_seconds)), "application_name": "mindswarm-exec"}
    return create_engine(address, pool_pre_ping=True, pool_timeout=timeout_seconds, connect_args=limits)
