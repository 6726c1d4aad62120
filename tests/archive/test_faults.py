"""What may go wrong with the archive: the database is away, full, older or newer than the program, or shared."""

from __future__ import annotations

import json
import logging
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, event, text

from mindswarm_exec.archive.opening import open_archive
from mindswarm_exec.archive.schema import VERSION
from mindswarm_exec.archive.schema import ended as ended_table
from mindswarm_exec.archive.store import Archive, ArchivedExecution, Stretch, Wanted
from mindswarm_exec.errors import ArchiveUnavailable, InvalidRequest
from mindswarm_exec.lifecycle import TERMINAL
from mindswarm_exec.models.options import ExecutionOptions
from mindswarm_exec.settings import Settings
from scheduler.archiving import Archiver
from scheduler.sweeps import Sweeper
from tests.archive.archived_world import archive_all, ask, ended, pages
from tests.archive.postgresql import PostgreSQL
from tests.eventually import eventually
from tests.ledger.world import World

needs_postgresql = pytest.mark.needs_program("postgres")


def one(number: int, seq: int = 3, **fields: str) -> ArchivedExecution:
    record = {"status": "completed", "seq": str(seq), "project_id": "default", "task_type": "t", "options": "{}"}
    return ArchivedExecution(f"00000000-0000-7000-8000-{number:012x}", 1000 + number, record | fields)


def everything(archive: Archive, **wanted: Any) -> list[ArchivedExecution]:
    return archive.newest(Wanted(sorted(TERMINAL), {}, **wanted), Stretch(100))


def raw(url: str) -> Any:
    """The database without what the archive adds."""
    return create_engine(url.replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT")


def test_a_late_copy_does_not_undo_a_newer_one(archive_url: str) -> None:
    archive = Archive(archive_url, "a")
    archive.put([one(1, seq=9, options='{"tags": ["new"]}'), one(2)])
    archive.put([one(1, seq=4, options='{"tags": ["old"]}'), one(3)])
    assert [row.record["seq"] for row in everything(archive)] == ["3", "3", "9"]
    assert [row.record["seq"] for row in everything(archive, tag="new")] == ["9"]
    assert everything(archive, tag="old") == []
    archive.close()


def test_two_archivers_at_once_write_each_execution_once(archive_url: str) -> None:
    rows = [one(number, options='{"tags": ["x"]}') for number in range(60)]

    def write(archive: Archive, order: list[ArchivedExecution]) -> None:
        for start in range(0, len(order), 20):
            archive.put(order[start : start + 20])

    archives = [Archive(archive_url, "a") for _ in range(3)]
    orders = [rows, rows[::-1], rows]
    writers = [threading.Thread(target=write, args=pair) for pair in zip(archives, orders, strict=True)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [row.execution_id for row in everything(archives[0], tag="x")] == [row.execution_id for row in rows[::-1]]
    for archive in archives:
        archive.close()


def test_any_text_is_kept_as_it_was(archive_url: str) -> None:
    archive = Archive(archive_url, "a")
    said = json.dumps("NUL \0, half a \ud83d, whole 😀, quotes '\"") + "plain \0 and ünïcödé 😀 '); DROP TABLE x;--"
    large = one(2, result="x" * 20_000_000)
    assert archive.put([one(1, payload=said), large]) == []
    assert archive.get([one(1).execution_id])[0].record["payload"] == said
    assert archive.get([large.execution_id]) == [large]
    archive.close()


@needs_postgresql
def test_what_the_database_cannot_hold_keeps_nothing_else_out(
    postgresql: PostgreSQL, valkey_url: str, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = postgresql.new_database()
    settings = Settings(namespace=namespace, retention_seconds=0.001, archive_url=url, redis_url=valkey_url)
    world = World(valkey_url, settings)
    world.open_agent()
    ids = [ended(world) for _ in range(3)]
    odd = world.ledger.keys.of("execution", ids[1])
    world.ledger.client.hset(odd, "task_id", "x" * 200)  # longer than any name that is accepted
    archive = Archive(url, namespace)
    sweeper = Sweeper(world.ledger, lambda wakes: None, Archiver(world.ledger, archive))

    def only_the_odd_one_is_left() -> None:
        sweeper.forget()
        assert set(world.snapshot().executions) == {ids[1]}

    with caplog.at_level(logging.ERROR):
        eventually(only_the_odd_one_is_left)
        sweeper.forget()
    assert [record.__dict__["execution_id"] for record in caplog.records] == [ids[1]]
    assert pages(world, 2) == ids[::-1]
    archive.close()
    world.close()


@needs_postgresql
def test_a_database_that_lets_nobody_in_is_away_and_no_executions_fault(
    postgresql: PostgreSQL, valkey_url: str, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = postgresql.without_rights(postgresql.new_database())
    settings = Settings(namespace=namespace, retention_seconds=0.001, archive_url=url, redis_url=valkey_url)
    world = World(valkey_url, settings)
    world.open_agent()
    execution_id = ended(world)
    archive = Archive(url, namespace)
    for attempt in (lambda: archive.get([execution_id]), lambda: archive.put([one(1)])):
        with pytest.raises(ArchiveUnavailable, match="permission denied"):
            attempt()
    with caplog.at_level(logging.WARNING):
        Sweeper(world.ledger, lambda wakes: None, Archiver(world.ledger, archive)).forget()
    assert [record.message for record in caplog.records] == ["could not archive"]
    assert execution_id in world.snapshot().executions
    archive.close()
    world.close()


@pytest.mark.parametrize("archive_url", ["sqlite"], indirect=True)
def test_a_full_disk_keeps_everything_in_the_ledger(world: World, archive_url: str) -> None:
    execution_id = ended(world, tags=["t"])
    archive = Archive(archive_url, world.settings.namespace)
    assert archive.get([execution_id]) == []  # the tables are there

    @event.listens_for(archive._engine, "checkout")
    def fill(connection: Any, *_: Any) -> None:
        (pages_used,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages_used}")

    huge = one(1, result="x" * 1_000_000)
    with pytest.raises(ArchiveUnavailable, match="full"):
        archive.put([huge])
    world.ledger.client.hset(world.ledger.keys.of("execution", execution_id), "result", json.dumps("1" * 1_000_000))
    Sweeper(world.ledger, lambda wakes: None, Archiver(world.ledger, archive)).forget()
    assert execution_id in world.snapshot().executions
    event.remove(archive._engine, "checkout", fill)
    archive._engine.dispose()
    archive_all(world, archive)
    assert pages(world, 5) == [execution_id]


@needs_postgresql
def test_a_database_that_restarts_or_is_away_loses_nothing_and_says_so(valkey_url: str, namespace: str) -> None:
    with PostgreSQL() as server:
        url = server.new_database()
        settings = Settings(namespace=namespace, retention_seconds=0.001, archive_url=url, redis_url=valkey_url)
        world = World(valkey_url, settings)
        world.open_agent()
        archived = [ended(world) for _ in range(3)]
        archive_all(world)
        waiting = world.submit("t", ExecutionOptions())
        assert waiting is not None
        store = open_archive(settings)
        assert store is not None
        archiver = Archiver(world.ledger, store)
        for away, back in ((server.stop, server.start), (server.kill, server.start), (server.freeze, server.thaw)):
            kept = ended_of(world)
            away()
            page = ask(world, lambda on: on.executions.list_history())
            assert [one.execution_id for one in page.executions] == kept
            assert page.missing is not None
            assert "does not answer" in page.missing
            with pytest.raises(ArchiveUnavailable):
                ask(world, lambda on, at=page.next_cursor: on.executions.list_history(cursor=at))  # type: ignore[misc]
            with pytest.raises(ArchiveUnavailable):
                ask(world, lambda on: on.executions.get(archived[0]))
            assert [one.execution_id for one in ask(world, lambda on: on.executions.list(status="queued")).executions]
            back()
            assert ask(world, lambda on: on.executions.get(archived[0])).execution_id == archived[0]
        server.stop()
        Sweeper(world.ledger, lambda wakes: None, archiver).forget()
        kept = ended_of(world)
        server.start()
        archive_all(world, store)
        assert pages(world, 2) == [*kept, *archived[::-1]]
        world.close()


def ended_of(world: World) -> list[str]:
    """One more execution ends; those in the ledger that have, newest first."""
    again = world.submit("t", ExecutionOptions())
    assert again is not None
    ask(world, lambda on: on.executions.cancel(again))
    found = world.ledger.client.zrevrange(world.ledger.keys.of("status", "cancelled"), 0, -1)
    return list(found)


def test_an_archive_of_the_first_version_is_taken_over(archive_url: str) -> None:
    engine = raw(archive_url)
    with engine.connect() as connection:
        connection.execute(
            text(
                "CREATE TABLE mindswarm_executions (namespace VARCHAR(64), execution_id VARCHAR(36), "
                "ended_at_ms BIGINT NOT NULL, status VARCHAR(16) NOT NULL, tags TEXT NOT NULL, "
                "record TEXT NOT NULL, PRIMARY KEY (namespace, execution_id))"
            )
        )
        insert = text("INSERT INTO mindswarm_executions VALUES (:n, :id, :at, 'completed', ' red ', :record)")
        olds = [one(number, options='{"tags": ["red"]}') for number in range(1201)]
        rows = [
            {
                "n": f"n{old.ended_at_ms % 2}",
                "id": old.execution_id,
                "at": old.ended_at_ms,
                "record": json.dumps(old.record),
            }
            for old in olds
        ]
        connection.execute(insert, rows)
    for name in ("n0", "n1"):
        archive = Archive(archive_url, name)
        mine = [old for old in olds if f"n{old.ended_at_ms % 2}" == name][::-1]
        assert archive.newest(Wanted(sorted(TERMINAL), {}, tag="red"), Stretch(5000)) == mine
        archive.close()
    with engine.connect() as connection, pytest.raises(Exception, match="mindswarm_executions"):
        connection.execute(text("SELECT 1 FROM mindswarm_executions"))
    engine.dispose()


def test_an_archive_of_a_later_version_is_left_alone(archive_url: str) -> None:
    archive = Archive(archive_url, "a")
    archive.put([one(1)])
    archive.close()
    engine = raw(archive_url)
    with engine.connect() as connection:
        connection.execute(text(f"UPDATE mindswarm_archive SET version = {VERSION + 1}"))
    engine.dispose()
    with pytest.raises(InvalidRequest, match="Upgrade mindswarm-exec here too"):
        Archive(archive_url, "a").put([one(2)])


@pytest.mark.parametrize("seconds", [10 * 86400, -10 * 86400])
def test_a_jump_of_the_clock_only_changes_when_something_moves(world: World, seconds: float) -> None:
    ids = [ended(world)]
    world.advance(seconds)
    ids.append(ended(world))
    archive = open_archive(world.settings)
    assert archive is not None
    Sweeper(world.ledger, lambda wakes: None, Archiver(world.ledger, archive)).forget()
    assert sorted(pages(world, 1)) == sorted(ids)
    world.advance(20 * 86400)
    archive_all(world, archive)
    assert sorted(pages(world, 1)) == sorted(ids)


def planned(archive: Archive, wanted: Wanted, stretch: Stretch) -> list[str]:
    """How SQLite would find the places."""
    query = archive._listing(wanted, stretch, [ended_table.c.ended_at_ms, ended_table.c.execution_id])
    compiled = query.compile(archive._engine, compile_kwargs={"render_postcompile": True})
    with archive._engine.connect() as connection:
        values = tuple(compiled.params[name] for name in compiled.positiontup or ())
        said = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", values)
        return [row[3] for row in said]


def test_every_listing_walks_an_index_in_order(tmp_path: Path) -> None:
    archive = Archive(f"sqlite:///{tmp_path / 'archive.db'}", "a")
    archive.put([one(1)])
    filters = [{}, *({name: "x"} for name in ("project_id", "task_type", "agent_id", "task_id", "parent_id"))]
    after = Stretch(50, (1, "x"), (0, "x"))
    for statuses in (["failed"], ["failed", "completed"], sorted(TERMINAL)):
        for equal in filters:
            for tag in (None, "red"):
                wanted = Wanted(statuses, dict(equal), 0, 10, tag)
                plan = planned(archive, wanted, after)
                searches = [step for step in plan if "mindswarm" in step]
                assert searches
                assert not [step for step in searches if "SCAN" in step], plan
                if len(statuses) != 2:
                    assert not [step for step in plan if "TEMP B-TREE" in step], plan
    archive.close()
