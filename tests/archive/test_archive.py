"""What has ended moves to the archive and stays in sight; whenever the archiver dies, nothing is lost."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from mindswarm_exec.archive.opening import open_archive
from mindswarm_exec.archive.store import Archive
from mindswarm_exec.errors import ArchiveUnavailable, InvalidRequest, UnknownExecution
from mindswarm_exec.ledger import operations
from mindswarm_exec.ledger.operations import Settlement
from mindswarm_exec.lifecycle import COMPLETE, FAIL, Status
from mindswarm_exec.settings import Settings
from scheduler.archiving import Archiver
from scheduler.sweeps import Sweeper
from tests.archive.archived_world import archive_all, ask, ended, pages
from tests.eventually import eventually, must_be
from tests.ledger.world import World

ROOT = Path(__file__).parents[2]


def test_what_was_archived_is_told_as_before(world: World) -> None:
    execution_id = ended(world, tags=["blue"])
    before = ask(world, lambda on: on.executions.get(execution_id))
    history = ask(world, lambda on: on.executions.get_history(execution_id))
    metrics = ask(world, lambda on: on.executions.get_metrics(execution_id))
    archive_all(world)
    assert execution_id not in world.snapshot().executions
    assert ask(world, lambda on: on.executions.get(execution_id)) == before
    assert ask(world, lambda on: on.executions.get_history(execution_id)) == history
    assert ask(world, lambda on: on.executions.get_metrics(execution_id)) == metrics
    assert [one.tags for one in ask(world, lambda on: on.executions.list(tag="blue")).executions] == [("blue",)]
    assert not ask(world, lambda on: on.executions.list(tag="blu")).executions


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
def test_one_cursor_leads_over_the_ledger_and_the_archive(world: World, limit: int) -> None:
    ids = [ended(world, FAIL if number % 3 == 0 else COMPLETE) for number in range(7)]
    archive_all(world)
    ids += [ended(world) for _ in range(5)]
    assert pages(world, limit) == ids[::-1]
    assert pages(world, limit, "failed") == [ids[6], ids[3], ids[0]]


def test_a_copy_of_what_was_brought_back_is_not_told_and_not_the_last(world: World, archive_url: str) -> None:
    execution_id = ended(world, FAIL)
    archive = Archive(archive_url, world.settings.namespace)
    archiver = Archiver(world.ledger, archive)
    eventually(lambda: must_be(archiver.copy_due(), 1))
    world.run(operations.retry(execution_id, "request", "{}", {}))
    assert ask(world, lambda on: on.executions.get(execution_id)).status is Status.QUEUED
    assert pages(world, 10) == []
    world.settle(world.running(execution_id), Settlement(COMPLETE))
    archive_all(world, archive)
    assert ask(world, lambda on: on.executions.get(execution_id)).status is Status.COMPLETED
    assert pages(world, 10) == [execution_id]


def must_have_moved_some(world: World) -> None:
    assert len(world.snapshot().executions) < 20


def test_an_archiver_that_is_killed_at_any_moment_loses_nothing(
    world: World, valkey_url: str, archive_url: str
) -> None:
    command = [sys.executable, "-m", "tests.archive.archiving_process"]
    command += [valkey_url, world.settings.namespace, archive_url]
    ids: list[str] = []
    archive = Archive(archive_url, world.settings.namespace)
    for _ in range(4):
        ids += [ended(world) for _ in range(30)]
        process = subprocess.Popen(command, cwd=ROOT)
        try:
            eventually(partial(must_have_moved_some, world), 20_000)
        finally:
            process.kill()
            process.wait()
        archived = {execution_id for execution_id in ids if archive.get([execution_id])}
        assert archived | set(world.snapshot().executions) == set(ids)
    archive_all(world, archive)
    assert pages(world, 50) == ids[::-1]


def test_nothing_is_forgotten_while_the_archive_is_away(world: World, tmp_path: Path) -> None:
    execution_id = ended(world)
    away = Archive(f"sqlite:///{tmp_path / 'no' / 'such' / 'directory.db'}", world.settings.namespace)
    with pytest.raises(ArchiveUnavailable, match="MINDSWARM_ARCHIVE_URL"):
        away.get([execution_id])
    for _ in range(3):
        Sweeper(world.ledger, lambda wakes: None, Archiver(world.ledger, away)).forget()
    assert execution_id in world.snapshot().executions


def test_what_is_neither_here_nor_there_is_unknown(world: World) -> None:
    with pytest.raises(UnknownExecution):
        ask(world, lambda on: on.executions.get("00000000-0000-7000-8000-0000000000aa"))


@pytest.mark.parametrize("url", ["mysql://localhost/x", "not a url"])
def test_an_archive_that_cannot_be_is_refused_with_what_is_taken(url: str) -> None:
    with pytest.raises(InvalidRequest, match="MINDSWARM_ARCHIVE_URL"):
        open_archive(Settings(archive_url=url))


def test_an_embedded_ledger_has_an_archive_beside_it_and_another_has_none(tmp_path: Path) -> None:
    embedded = open_archive(Settings(data_dir=tmp_path / "data"))
    assert embedded is not None
    embedded.put([])
    embedded.close()
    assert open_archive(Settings(redis_url="redis://localhost")) is None
    assert open_archive(Settings(data_dir=tmp_path, archive_url="off")) is None
