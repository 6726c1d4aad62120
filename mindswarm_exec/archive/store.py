"""One table of ended executions, in SQLite or PostgreSQL: written by the archiver, read where the ledger has nothing.

A row holds the whole record as the ledger had it, and beside it what listings filter by. Writing is an upsert by
execution id, so that the same copy may be made any number of times.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Column, Engine, Index, MetaData, String, Table, Text, create_engine, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from mindswarm_exec.errors import InvalidRequest, LedgerUnavailable

Record = dict[str, str]

_COLUMNS = ("status", "project_id", "task_type", "agent_id", "task_id", "parent_id")
_metadata = MetaData()
_executions = Table(
    "mindswarm_executions",
    _metadata,
    Column("namespace", String(64), primary_key=True),
    Column("execution_id", String(36), primary_key=True),
    Column("ended_at_ms", BigInteger, nullable=False),
    Column("status", String(16), nullable=False),
    Column("project_id", String(128), nullable=False),
    Column("task_type", String(128), nullable=False),
    Column("agent_id", String(64)),
    Column("task_id", String(128)),
    Column("parent_id", String(36)),
    #: the tags between spaces, which no tag holds
    Column("tags", Text, nullable=False),
    #: every field of the ledger's record, as JSON
    Column("record", Text, nullable=False),
)
Index("mindswarm_executions_by_end", _executions.c.namespace, _executions.c.ended_at_ms, _executions.c.execution_id)
_UPSERTS: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


@dataclass(frozen=True, slots=True)
class ArchivedExecution:
    """A record with its place in listings: the instant of its end, then its id."""

    execution_id: str
    ended_at_ms: int
    record: Record


@dataclass(frozen=True, slots=True)
class Wanted:
    """What archived executions must match; None and empty match all."""

    statuses: Sequence[str]
    equal: dict[str, str]
    since_ms: int | None = None
    until_ms: int | None = None
    tag: str | None = None


class Archive:
    """Safe between threads; its calls block."""

    def __init__(self, url: str, namespace: str) -> None:
        self._engine = _engine_of(url)
        self._namespace = namespace
        self._is_made = False

    def close(self) -> None:
        """Let go of all connections."""
        self._engine.dispose()

    def put(self, executions: Sequence[ArchivedExecution]) -> None:
        """Write the records, in place of earlier copies of the same executions; all of them or none.

        Raises:
            LedgerUnavailable: the archive does not answer.
        """
        if not executions:
            return
        insert = _UPSERTS[self._engine.dialect.name](_executions)
        others = {column.name: column for column in insert.excluded if not column.primary_key}
        upsert = insert.on_conflict_do_update(index_elements=["namespace", "execution_id"], set_=others)
        with self._connected() as engine, engine.begin() as connection:
            connection.execute(upsert, [self._row(each) for each in executions])

    def get(self, execution_id: str) -> Record | None:
        """The record of one execution, or None. Raises as `put`."""
        rows = _executions.c
        query = select(rows.record).where(rows.namespace == self._namespace, rows.execution_id == execution_id)
        with self._connected() as engine, engine.connect() as connection:
            found = connection.execute(query).scalar_one_or_none()
        return None if found is None else dict(json.loads(found))

    def newest(self, wanted: Wanted, after: tuple[int, str] | None, most: int) -> list[ArchivedExecution]:
        """At most `most` that match and come behind `after`, newest first. Raises as `put`."""
        rows = _executions.c
        query = select(rows.execution_id, rows.ended_at_ms, rows.record).where(rows.namespace == self._namespace)
        query = query.where(rows.status.in_(wanted.statuses), *(rows[name] == v for name, v in wanted.equal.items()))
        if after is not None:
            query = query.where(tuple_(rows.ended_at_ms, rows.execution_id) < after)
        if wanted.since_ms is not None:
            query = query.where(rows.ended_at_ms >= wanted.since_ms)
        if wanted.until_ms is not None:
            query = query.where(rows.ended_at_ms <= wanted.until_ms)
        if wanted.tag is not None:
            query = query.where(rows.tags.contains(f" {wanted.tag} ", autoescape=True))
        query = query.order_by(rows.ended_at_ms.desc(), rows.execution_id.desc()).limit(most)
        with self._connected() as engine, engine.connect() as connection:
            return [ArchivedExecution(row[0], row[1], dict(json.loads(row[2]))) for row in connection.execute(query)]

    def _row(self, one: ArchivedExecution) -> dict[str, str | int | None]:
        tags = json.loads(one.record.get("options") or "{}").get("tags", ())
        return {
            "namespace": self._namespace,
            "execution_id": one.execution_id,
            "ended_at_ms": one.ended_at_ms,
            **{name: one.record.get(name) for name in _COLUMNS},
            "tags": f" {' '.join(tags)} ",
            "record": json.dumps(one.record),
        }

    @contextmanager
    def _connected(self) -> Iterator[Engine]:
        """The engine, with the table there."""
        try:
            if not self._is_made:
                _metadata.create_all(self._engine)
                self._is_made = True
            yield self._engine
        except SQLAlchemyError as error:
            raise LedgerUnavailable(
                f"the archive does not answer ({type(error).__name__}). Check MINDSWARM_ARCHIVE_URL; what has ended "
                "stays in the ledger until it does."
            ) from error


def _engine_of(url: str) -> Engine:
    try:
        name = make_url(url).get_backend_name()
        if name not in _UPSERTS:
            raise InvalidRequest(
                f"the archive cannot be kept in {name}: MINDSWARM_ARCHIVE_URL takes sqlite or postgresql."
            )
        options = {"connect_args": {"timeout": 30}} if name == "sqlite" else {}
        return create_engine(url, pool_pre_ping=True, **options)
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise InvalidRequest(f"MINDSWARM_ARCHIVE_URL cannot be used: {type(error).__name__}: {error}.") from None
