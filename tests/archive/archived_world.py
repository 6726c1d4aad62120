"""A world whose executions end and are archived, and questions to its services."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from mindswarm_exec.archive.opening import open_archive
from mindswarm_exec.archive.store import Archive
from mindswarm_exec.ledger.operations import Settlement
from mindswarm_exec.lifecycle import COMPLETE, Move, Status
from mindswarm_exec.models.options import ExecutionOptions
from mindswarm_exec.service import Services, open_services
from scheduler.archiving import Archiver
from scheduler.sweeps import Sweeper
from tests.eventually import eventually
from tests.ledger.world import World

T = TypeVar("T")


def ended(world: World, move: Move = COMPLETE, **options: object) -> str:
    execution_id = world.submit("t", ExecutionOptions.model_validate(options))
    assert execution_id is not None
    world.settle(world.running(execution_id), Settlement(move))
    return execution_id


def archive_all(world: World, archive: Archive | None = None) -> None:
    """One tick of the scheduler, when all that has ended is due."""
    store = archive or open_archive(world.settings)
    assert store is not None

    def check() -> None:
        Sweeper(world.ledger, lambda wakes: None, Archiver(world.ledger, store)).forget()
        assert not [fields for fields in world.snapshot().executions.values() if Status(fields["status"]).is_terminal]

    eventually(check)
    store.close()


def ask(world: World, question: Callable[[Services], Awaitable[T]]) -> T:
    async def answer() -> T:
        assert world.settings.redis_url is not None
        async with open_services(world.settings.redis_url, world.settings) as services:
            return await question(services)

    return asyncio.run(answer())


def pages(world: World, limit: int, status: str | None = None) -> list[str]:
    """The ids of all pages of the history."""
    found: list[str] = []
    cursor = None
    while True:
        page = ask(world, lambda on, at=cursor: on.executions.list_history(status=status, limit=limit, cursor=at))  # type: ignore[misc]
        found += [execution.execution_id for execution in page.executions]
        cursor = page.next_cursor
        if cursor is None:
            return found
