"""The tables of the archive, and how those of an earlier version become these.

Every query walks one index in the order of listings, so that a page costs what it shows: there is an index for each
thing that executions are listed by. Those that many executions may share hold the other filters too; a walk then
passes over what does not match without a look at the row.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    delete,
    insert,
    inspect,
    select,
)

from mindswarm_exec.errors import InvalidRequest

#: Counts up with every change of the tables. Version 1 had one table and kept no version.
VERSION = 2

Record = dict[str, str]

#: What is equal in all that a filter admits; NULL where an execution has none.
FILTERS = ("project_id", "task_type", "agent_id", "task_id", "parent_id")
#: What many executions may have in common.
SHARED = ("status", "project_id", "task_type", "agent_id")

#: Ids are compared byte by byte, as the cursors of listings are, whatever language the database sorts by.
_id = String(36).with_variant(String(36, collation="C"), "postgresql")
_metadata = MetaData()

_version = Table("mindswarm_archive", _metadata, Column("version", Integer, primary_key=True))

ended = Table(
    "mindswarm_ended",
    _metadata,
    Column("namespace", String(64), primary_key=True),
    Column("execution_id", _id, primary_key=True),
    Column("ended_at_ms", BigInteger, nullable=False),
    Column("status", String(16), nullable=False),
    #: the number of its latest event: of two copies, the one with more is newer
    Column("seq", BigInteger, nullable=False),
    *(Column(name, String(128)) for name in FILTERS),
    #: every field of the ledger's record, as JSON in ASCII: no database has to know a character of it
    Column("record", Text, nullable=False),
)

tags = Table(
    "mindswarm_ended_tags",
    _metadata,
    Column("namespace", String(64), primary_key=True),
    Column("execution_id", _id, primary_key=True),
    Column("tag", String(128), primary_key=True),
    Column("ended_at_ms", BigInteger, nullable=False),
    *(Column(name, String(128)) for name in SHARED),
)

#: The tables that hold executions.
TABLES = (ended, tags)


def _index(name: str, table: Table, leading: tuple[str, ...], covered: tuple[str, ...] = ()) -> None:
    """An index in the order of listings, below `leading`."""
    columns = [table.c[each] for each in ("namespace", *leading, "ended_at_ms", "execution_id", *covered)]
    is_there = [table.c[each].is_not(None) for each in leading if table.c[each].nullable]
    condition = is_there[0] if is_there else None
    Index(name, *columns, sqlite_where=condition, postgresql_where=condition)


_index("mindswarm_ended_by_end", ended, (), SHARED)
for _name in SHARED:
    _index(f"mindswarm_ended_by_{_name}", ended, (_name,), tuple(other for other in SHARED if other != _name))
_index("mindswarm_ended_by_task_id", ended, ("task_id",))
_index("mindswarm_ended_by_parent_id", ended, ("parent_id",))
_index("mindswarm_ended_by_tag", tags, ("tag",), SHARED)


def row_of(namespace: str, execution_id: str, ended_at_ms: int, record: Mapping[str, str]) -> dict[str, Any]:
    """One execution as a row of `ended`."""
    return {
        "namespace": namespace,
        "execution_id": execution_id,
        "ended_at_ms": ended_at_ms,
        "status": record["status"],
        "seq": int(record["seq"]),
        **{name: record.get(name) for name in FILTERS},
        "record": json.dumps(record),
    }


def tag_rows_of(
    namespace: str, execution_id: str, ended_at_ms: int, record: Mapping[str, str]
) -> Iterable[dict[str, Any]]:
    """The rows of `tags` of one execution."""
    for tag in dict.fromkeys(json.loads(record.get("options") or "{}").get("tags", ())):
        row = {"namespace": namespace, "execution_id": execution_id, "tag": tag, "ended_at_ms": ended_at_ms}
        yield row | {name: record.get(name) for name in SHARED}


def is_up_to_date(connection: Connection) -> bool:
    """Whether the tables are those of this version.

    Raises:
        InvalidRequest: they are of a later one.
    """
    found = _found_version(connection)
    if found > VERSION:
        raise InvalidRequest(
            f"the archive is of version {found}, and this program knows none after {VERSION}: another program has "
            "brought it up to date. Upgrade mindswarm-exec here too, or name another MINDSWARM_ARCHIVE_URL."
        )
    return found == VERSION


def bring_up_to_date(connection: Connection) -> None:
    """Make the tables, with all that an earlier version holds. Nobody else may write meanwhile. Raises likewise."""
    if is_up_to_date(connection):
        return
    found = _found_version(connection)
    _metadata.create_all(connection)
    if found == 1:
        _take_over_version_1(connection)
    connection.execute(delete(_version))
    connection.execute(insert(_version).values(version=VERSION))


def _found_version(connection: Connection) -> int:
    """The version of the tables that are there; 0 if none are."""
    tables = inspect(connection)
    if tables.has_table(_version.name):
        return connection.execute(select(_version.c.version)).scalar() or 0
    return 1 if tables.has_table(_VERSION_1.name) else 0


_VERSION_1 = Table(
    "mindswarm_executions",
    MetaData(),
    Column("namespace", String(64), primary_key=True),
    Column("execution_id", String(36), primary_key=True),
    Column("ended_at_ms", BigInteger),
    Column("record", Text),
)
#: Rows taken over at once.
_CHUNK = 500


def _take_over_version_1(connection: Connection) -> None:
    old = _VERSION_1.c
    place: tuple[str, str] = ("", "")
    while True:
        query = select(old.namespace, old.execution_id, old.ended_at_ms, old.record)
        query = query.where((old.namespace > place[0]) | (old.namespace == place[0]) & (old.execution_id > place[1]))
        found = connection.execute(query.order_by(old.namespace, old.execution_id).limit(_CHUNK)).all()
        if not found:
            break
        facts = [(row[0], row[1], row[2], json.loads(row[3])) for row in found]
        connection.execute(insert(ended), [row_of(*each) for each in facts])
        if tagged := [row for each in facts for row in tag_rows_of(*each)]:
            connection.execute(insert(tags), tagged)
        place = found[-1][0], found[-1][1]
    _VERSION_1.drop(connection)
