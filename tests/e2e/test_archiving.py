"""Beat and a dispatcher archive what has ended; a dispatcher that is killed at any step loses and doubles nothing."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import pytest

from mindswarm_exec.ledger.scripts import script
from mindswarm_exec.models.records import ExecutionHistory
from mindswarm_exec.service import Services, open_services
from tests.e2e.halting_proxy import HaltingProxy
from tests.e2e.swarm import Swarm
from tests.eventually import eventually

T = TypeVar("T")

#: Where the archiver stands still and is killed: at which script, and whether that still runs.
STEPS = [
    ("unarchived", False),  # nothing is done
    ("mark_archived", False),  # copied
    ("mark_archived", True),  # marked, which it does not know
    ("forget", False),  # marked, which it knows
    ("forget", True),  # forgotten, which it does not know
]
EACH = 3
PATIENCE_MS = 120_000


class Archived:
    """A swarm whose executions are archived a second after their end, and what it is asked."""

    def __init__(self, swarm: Swarm, database: Path) -> None:
        self.swarm = swarm
        self.database = database
        self.ids: list[str] = []

    def ask(self, question: Callable[[Services], Awaitable[T]]) -> T:
        async def answer() -> T:
            async with open_services(self.swarm.server.url, self.swarm.settings) as services:
                return await question(services)

        return self.swarm.run(answer())

    def run_some(self) -> None:
        """Let some executions come to their end."""
        started = [self.swarm.start("echo", number) for number in range(EACH)]
        for each in started:
            self.swarm.await_end(each)
            self.ids.append(each)

    def history(self, limit: int = 2, cursor: str | None = None) -> list[str]:
        """The ids of all pages behind the cursor."""
        found: list[str] = []
        while True:
            page = self.page(limit, cursor)
            found += [one.execution_id for one in page.executions]
            if page.next_cursor is None:
                return found
            cursor = page.next_cursor

    def page(self, limit: int, cursor: str | None = None) -> ExecutionHistory:
        return self.ask(lambda on: on.executions.list_history(limit=limit, cursor=cursor))

    def must_have_everything(self) -> None:
        assert sorted(self.history()) == sorted(self.ids)
        for execution_id in self.ids:
            entries = self.ask(lambda on, id=execution_id: on.executions.get_history(id)).entries  # type: ignore[misc]
            assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))

    def must_have_left_the_ledger(self) -> None:
        assert not [each for each in self.ids if self.swarm.redis.exists(self.swarm.key("execution", each))]


@pytest.fixture
def archived(tmp_path: Path) -> Iterator[Archived]:
    database = tmp_path / "archive.db"
    settings = {
        "MINDSWARM_ARCHIVE_URL": f"sqlite:///{database}",
        "MINDSWARM_RETENTION_SECONDS": "1",
        "MINDSWARM_SWEEP_SECONDS": "0.05",
    }
    with Swarm(tmp_path, **settings) as swarm:
        for name in ("unarchived", "mark_archived", "forget"):
            swarm.redis.script_load(script(name, swarm.settings).text)
        swarm.agent("ant")
        swarm.beat()
        swarm.await_agents("ant")
        yield Archived(swarm, database)


def is_open(file: Path, pid: int) -> bool:
    """Whether a process has the file open."""
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            if link.readlink() == file:
                return True
    return False


def test_an_archiver_that_is_killed_at_each_step_loses_and_doubles_nothing(archived: Archived) -> None:
    swarm = archived.swarm
    for name, passes in STEPS:
        archived.run_some()
        first = archived.page(1)  # a cursor that is handed out before the move
        rest = archived.history(cursor=first.next_cursor)
        port = urlsplit(swarm.server.url).port
        assert port is not None
        with HaltingProxy(port, script(name, swarm.settings).sha, passes=passes) as proxy:
            dispatcher = swarm.dispatcher(f"{name}-{passes}", MINDSWARM_REDIS_URL=proxy.url)
            assert proxy.halted.wait(PATIENCE_MS / 1000), dispatcher.log
            dispatcher.kill()
        archived.must_have_everything()
        assert archived.history(cursor=first.next_cursor) == rest
    archived.run_some()
    whole = archived.history()
    swarm.dispatcher("last")
    eventually(archived.must_have_left_the_ledger, PATIENCE_MS)
    archived.must_have_everything()
    assert archived.history() == whole
    with sqlite3.connect(archived.database) as database:
        assert database.execute("SELECT count(*) FROM mindswarm_ended").fetchone() == (len(archived.ids),)
    (group,) = archived.ask(lambda on: on.executions.get_window_metrics("1h", "task_type")).groups
    assert (group.key, group.count) == ("echo", len(archived.ids))


def test_an_archiver_that_is_killed_while_it_writes_loses_nothing(archived: Archived) -> None:
    archived.run_some()
    archived.must_have_everything()  # the tables are there
    writer = sqlite3.connect(archived.database, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")  # nobody else may write
    dispatcher = archived.swarm.dispatcher("writing")

    def must_wait_for_the_lock() -> None:
        assert is_open(archived.database, dispatcher.pid), "it has not opened the archive yet"

    eventually(must_wait_for_the_lock, PATIENCE_MS)
    dispatcher.kill()
    writer.rollback()
    writer.close()
    archived.must_have_everything()
    archived.swarm.dispatcher("last")
    eventually(archived.must_have_left_the_ledger, PATIENCE_MS)
    archived.must_have_everything()
