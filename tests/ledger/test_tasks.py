"""Tasks as they are listed: in pages that go on, however many there are of others."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from mindswarm_exec.errors import InvalidRequest
from mindswarm_exec.identifiers import new_id
from mindswarm_exec.ledger import operations
from mindswarm_exec.ledger.faces import SyncLedger, connect_sync
from mindswarm_exec.ledger.operations import Operation
from mindswarm_exec.models.records import Task
from mindswarm_exec.service import open_services, tasks
from mindswarm_exec.service.tasks import TaskService
from mindswarm_exec.settings import Settings

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings(valkey_url: str, namespace: str) -> Settings:
    return Settings(redis_url=valkey_url, namespace=namespace)


@pytest.fixture
async def service(valkey_url: str, settings: Settings) -> AsyncIterator[TaskService]:
    async with open_services(valkey_url, settings) as services:
        yield services.tasks


@pytest.fixture
def created(valkey_url: str, settings: Settings) -> list[str]:
    """The ids of tasks made ten at a time, mostly within a millisecond; the first of each ten is of `rare`."""
    ledger = SyncLedger(connect_sync(valkey_url, settings), settings)
    ids = [new_id() for _ in range(60)]
    for first in range(0, len(ids), 10):
        ledger.run_many([created_in("common" if n % 10 else "rare", ids[n]) for n in range(first, first + 10)])
    ledger.close()
    return ids


def created_in(project_id: str, task_id: str) -> Operation[object]:
    fields = {"title": "one of many", "description": "", "status": "open"}
    return operations.put_task(task_id, "create", "task.created", "{}", project_id, fields)


async def every_page(service: TaskService, project_id: str | None, limit: int) -> list[list[Task]]:
    page, cursor = await service.list(project_id, limit=limit)
    pages = [page]
    while cursor is not None:
        page, cursor = await service.list(project_id, limit=limit, cursor=cursor)
        pages.append(page)
    return pages


async def test_pages_hold_every_task_once_the_newest_first(service: TaskService, created: list[str]) -> None:
    pages = await every_page(service, None, 7)
    assert max(map(len, pages)) == 7
    found = [task for page in pages for task in page]
    assert sorted(task.task_id for task in found) == sorted(created)
    assert [task.created_at for task in found] == sorted((task.created_at for task in found), reverse=True)


async def test_a_rare_task_is_found_behind_all_the_others(
    service: TaskService, created: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "MOST_SEEN", 35)
    pages = await every_page(service, "rare", 50)
    assert sorted(task.task_id for page in pages for task in page) == sorted(created[::10])


@pytest.mark.parametrize("cursor", ["", "1", "1769860800000", "²:x", "-1:x", "1:", "nan:x", "9" * 400 + ":x"])
async def test_what_is_no_cursor_is_refused(service: TaskService, cursor: str) -> None:
    with pytest.raises(InvalidRequest, match="the cursor does not fit"):
        await service.list(cursor=cursor)
