"""Listings of the ledger: every page by every filter, whatever is walked to find it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mindswarm_exec.ledger import operations
from mindswarm_exec.lifecycle import Status
from mindswarm_exec.models.options import ExecutionOptions
from mindswarm_exec.models.records import Execution
from mindswarm_exec.service import listing, open_services
from mindswarm_exec.service.control import cancellation
from mindswarm_exec.settings import Settings
from tests.ledger.world import World

COUNT = 260


@pytest.fixture(scope="module")
def world(valkey_url: str) -> Iterator[World]:
    """Executions of two types and many states, some of them children."""
    world = World(valkey_url, Settings(namespace="listings", redis_url=valkey_url, archive_url="off"))
    world.open_agent()
    parent = world.submit("t", ExecutionOptions())
    assert parent is not None
    for number in range(COUNT):
        tags = [f"by{number % 7}", *(["rare"] if number == 11 else [])]
        child = world.submit("t", ExecutionOptions(tags=tuple(tags)), parent_id=parent if number % 5 == 0 else None)
        assert child is not None
        if number % 3:
            world.run(cancellation(child, "") if number % 4 else operations.pause(child, f"{number}", "", "{}"))
    yield world
    world.close()


def walked(world: World, limit: int, filters: dict[str, Any]) -> list[Execution]:
    """The executions of all pages."""

    async def walk() -> list[Execution]:
        assert world.settings.redis_url is not None
        async with open_services(world.settings.redis_url, world.settings) as on:
            found: list[Execution] = []
            cursor: str | None = None
            while True:
                page = await on.executions.list(**filters, limit=limit, cursor=cursor)
                found += page.executions
                cursor = page.next_cursor
                if cursor is None:
                    return found

    return asyncio.run(walk())


def admits(filters: dict[str, Any], one: Execution) -> bool:
    statuses = filters.get("status")
    return (
        (statuses is None or one.status in statuses)
        and filters.get("parent_id") in (None, one.parent_id)
        and (filters.get("tag") is None or filters["tag"] in one.tags)
        and filters.get("task_type") in (None, one.task_type)
    )


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), limit=st.integers(1, 70), seen=st.integers(1, 90))
def test_pages_have_each_execution_that_matches_once_in_order(
    world: World, data: st.DataObject, limit: int, seen: int
) -> None:
    everything = walked(world, 500, {})
    assert len(everything) == COUNT + 1
    parent = everything[-1].execution_id if everything[-1].parent_id is None else None
    choices: dict[str, Any] = {
        "status": st.none() | st.lists(st.sampled_from(list(Status)), min_size=1, unique=True),
        "tag": st.sampled_from([None, "by3", "rare", "no"]),
        "task_type": st.sampled_from([None, "t", "no"]),
        "parent_id": st.sampled_from([None, parent]),
    }
    filters = {name: value for name, choice in choices.items() if (value := data.draw(choice, name)) is not None}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listing, "MOST_SEEN", seen)  # else one script would see them all
        found = walked(world, limit, filters)
    assert [one.execution_id for one in found] == [one.execution_id for one in everything if admits(filters, one)]
