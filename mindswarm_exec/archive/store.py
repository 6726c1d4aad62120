"""Ended executions in SQLite or PostgreSQL: written by the archiver, read where the ledger has nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic_core import from_json
from sqlalchemy import Column, Connection, Select, and_, delete, insert, select, tuple_, union_all
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError

from mindswarm_exec.archive.connecting import Patience, engine_of, writing
from mindswarm_exec.archive.schema import (
    SHARED,
    TABLES,
    Record,
    bring_up_to_date,
    ended,
    is_up_to_date,
    row_of,
    tag_rows_of,
    tags,
)
from mindswarm_exec.errors import ArchiveUnavailable
from mindswarm_exec.lifecycle import TERMINAL

T = TypeVar("T")

#: A position in the order of listings: the instant of the end, then the id.
Order = tuple[int, str]

#: A reader waits this long for the database, a writer longer: nobody waits for it.
READ_SECONDS, WRITE_SECONDS = 4.0, 30.0
#: What a database says to a row that it cannot hold. All else, such as a right that is missing, is no row's fault.
UNFIT = (DataError, IntegrityError)


@dataclass(frozen=True, slots=True)
class ArchivedExecution:
    """A record with its place in listings."""

    execution_id: str
    ended_at_ms: int
    record: Record

    @property
    def order(self) -> Order:
        return self.ended_at_ms, self.execution_id


@dataclass(frozen=True, slots=True)
class Wanted:
    """What archived executions must match; None and empty match all."""

    statuses: Sequence[str]
    equal: dict[str, str]
    since_ms: int | None = None
    until_ms: int | None = None
    tag: str | None = None


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a listing, newest first: behind `after`, not behind `down_to`; None is open."""

    most: int
    after: Order | None = None
    down_to: Order | None = None


class Archive:
    """Safe between threads; its calls block, none for long.

    Raises, from every call that asks the database:
        ArchiveUnavailable: it does not answer.
        InvalidRequest: its tables were made by a later version of this program.
    """

    def __init__(self, url: str, namespace: str) -> None:
        self._engine = engine_of(url, READ_SECONDS)
        self._namespace = namespace
        self._reading, self._writing = Patience(READ_SECONDS), Patience(WRITE_SECONDS)
        self._is_made = False

    def close(self) -> None:
        """Let go of all connections."""
        self._engine.dispose()

    def put(self, executions: Sequence[ArchivedExecution]) -> list[str]:
        """Write the records; the ids of those that the database cannot hold.

        Earlier copies of the same executions are replaced, later ones left: two archivers may write at once, and one
        that stood still for long undoes nothing.
        """
        try:
            self._write(executions)
        except UNFIT:
            if len(executions) == 1:
                return [executions[0].execution_id]
            return [refused for one in executions for refused in self.put([one])]
        return []

    def get(self, execution_ids: Sequence[str]) -> list[ArchivedExecution]:
        """Those of the executions that are here."""
        rows = ended.c
        query = select(rows.execution_id, rows.ended_at_ms, rows.record)
        return self._executions(query.where(self._is_one_of(ended, execution_ids)))

    def newest(self, wanted: Wanted, stretch: Stretch) -> list[ArchivedExecution]:
        """What matches, newest first."""
        rows = ended.c
        query = self._listing(wanted, stretch, [rows.execution_id, rows.ended_at_ms, rows.record])
        return self._executions(query)

    def newest_places(self, wanted: Wanted, stretch: Stretch) -> list[Order]:
        """The places of what matches, newest first."""
        query = self._listing(wanted, stretch, [ended.c.ended_at_ms, ended.c.execution_id])
        return [(row[0], row[1]) for row in self._read(lambda on: on.execute(query).all())]

    # --- steps -------------------------------------------------------------------------------------------

    def _executions(self, query: Select[Any]) -> list[ArchivedExecution]:
        found = self._read(lambda on: on.execute(query).all())
        return [ArchivedExecution(row[0], row[1], from_json(row[2])) for row in found]

    def _listing(self, wanted: Wanted, stretch: Stretch, columns: list[Column[Any]]) -> Select[Any]:
        """One walk along an index; where some statuses are wanted and others not, one for each, put together."""
        if len(set(wanted.statuses)) == len(TERMINAL):
            return self._walk(wanted, None, stretch, columns)
        walks = [self._walk(wanted, each, stretch, columns) for each in wanted.statuses]
        if len(walks) == 1:
            return walks[0]
        parts = union_all(*(select(walk.subquery()) for walk in walks)).subquery()
        at, execution_id = parts.c.ended_at_ms, parts.c.execution_id
        return select(parts).order_by(at.desc(), execution_id.desc()).limit(stretch.most)

    def _walk(self, wanted: Wanted, status: str | None, stretch: Stretch, columns: list[Column[Any]]) -> Select[Any]:
        has_tag = and_(tags.c.namespace == ended.c.namespace, tags.c.execution_id == ended.c.execution_id)
        has_tag = and_(has_tag, tags.c.tag == wanted.tag)
        # a tag may be on many; a task or parent has few executions
        by_tag = wanted.tag is not None and wanted.equal.keys() <= set(SHARED)
        walked = (tags if by_tag else ended).c
        query = select(*columns).where(walked.namespace == self._namespace)
        if by_tag:
            query = query.join_from(tags, ended, has_tag)
        elif wanted.tag is not None:
            query = query.where(select(tags.c.tag).where(has_tag).exists())
        if status is not None:
            query = query.where(walked.status == status)
        query = query.where(*(walked[name] == value for name, value in wanted.equal.items()))
        place = tuple_(walked.ended_at_ms, walked.execution_id)
        if stretch.after is not None:
            query = query.where(place < stretch.after)
        if stretch.down_to is not None:
            query = query.where(place >= stretch.down_to)
        if wanted.since_ms is not None:
            query = query.where(walked.ended_at_ms >= wanted.since_ms)
        if wanted.until_ms is not None:
            query = query.where(walked.ended_at_ms <= wanted.until_ms)
        return query.order_by(walked.ended_at_ms.desc(), walked.execution_id.desc()).limit(stretch.most)

    def _write(self, executions: Sequence[ArchivedExecution]) -> None:
        """Write the records that are newer than what is here, in one transaction."""
        ids = [one.execution_id for one in executions]

        def write(connection: Connection) -> None:
            seqs = select(ended.c.execution_id, ended.c.seq).where(self._is_one_of(ended, ids))
            here = {row[0]: row[1] for row in connection.execute(seqs)}
            newer = [one for one in executions if here.get(one.execution_id, -1) <= int(one.record["seq"])]
            if not newer:
                return
            for table in TABLES:
                connection.execute(delete(table).where(self._is_one_of(table, [one.execution_id for one in newer])))
            facts = [(self._namespace, one.execution_id, one.ended_at_ms, one.record) for one in newer]
            connection.execute(insert(ended), [row_of(*each) for each in facts])
            if tagged := [row for each in facts for row in tag_rows_of(*each)]:
                connection.execute(insert(tags), tagged)

        if ids:
            self._writing.wait_for(lambda: self._told(lambda: self._written(write), UNFIT))

    def _is_one_of(self, table: Any, execution_ids: Sequence[str]) -> Any:
        return and_(table.c.namespace == self._namespace, table.c.execution_id.in_(execution_ids))

    def _read(self, ask: Callable[[Connection], T]) -> T:
        def read() -> T:
            self._make()
            with self._engine.connect() as connection:
                return ask(connection)

        return self._reading.wait_for(lambda: self._told(read))

    def _written(self, write: Callable[[Connection], None]) -> None:
        self._make()
        with writing(self._engine) as connection:
            write(connection)

    def _make(self) -> None:
        """Have the tables there, as this version knows them."""
        if self._is_made:
            return
        with self._engine.connect() as connection:
            is_made = is_up_to_date(connection)
        if not is_made:
            with writing(self._engine) as connection:
                bring_up_to_date(connection)
        self._is_made = True

    def _told(self, work: Callable[[], T], as_they_are: tuple[type[SQLAlchemyError], ...] = ()) -> T:
        """What `work` returns; what its caller cannot help becomes an error that callers of the engine know."""
        try:
            return work()
        except as_they_are:
            raise
        except SQLAlchemyError as error:
            raise ArchiveUnavailable.because(_reason(error)) from error


def _reason(error: SQLAlchemyError) -> str:
    """What the database said, in a line; no statement, and nothing of a record."""
    said = str(getattr(error, "orig", None) or "").strip().partition("\n")[0]
    return said[:200] or type(error).__name__
