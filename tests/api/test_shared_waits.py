"""All who wait for results with one AsyncExecutionClient share one WebSocket, and none of them misses its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest

from mindswarm_exec.client import AsyncExecutionClient, AsyncExecutionHandle, ends
from mindswarm_exec.errors import ApiUnavailable, InvalidRequest, ResultNotReady, UnknownExecution
from tests.api.hand_agent import HandAgent
from tests.api.running_api import RunningApi
from tests.eventually import eventually_async

pytestmark = pytest.mark.anyio

UNKNOWN = "00000000-0000-7000-8000-000000000000"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def client(api: RunningApi) -> AsyncIterator[AsyncExecutionClient]:
    async with AsyncExecutionClient(api.url) as client:
        yield client


async def sockets(api: RunningApi) -> int:
    """The WebSockets that the API serves: each has a subscription of its own to all events."""
    return len(await asyncio.to_thread(api.run, subscriptions_of))


async def subscriptions_of(services: Any) -> list[Any]:
    return [each for each in services.events._subscriptions if each._is_live]


def wait_for(handles: Iterable[AsyncExecutionHandle]) -> list[asyncio.Task[Any]]:
    return [asyncio.create_task(handle.result(timeout=30)) for handle in handles]


async def complete(agent: HandAgent, handles: Iterable[AsyncExecutionHandle]) -> None:
    for n, handle in enumerate(handles):
        await asyncio.to_thread(agent.run, handle.execution_id, n)


async def test_hundreds_of_waits_take_one_socket(
    api: RunningApi, agent: HandAgent, client: AsyncExecutionClient
) -> None:
    handles = [await client.start("code.survey") for _ in range(30)]
    pending = [await client.start("code.survey", n) for n in range(170)]
    waits, others = wait_for(handles), wait_for(pending)
    await complete(agent, handles[:10])
    await asyncio.gather(*waits[:10])
    assert await sockets(api) == 1
    await complete(agent, handles[10:])
    assert await asyncio.gather(*waits) == [*range(10), *range(20)]
    assert not any(each.done() for each in others)
    for each in others:
        each.cancel()


async def test_whoever_comes_later_is_served_by_the_same_socket_at_once(
    api: RunningApi, agent: HandAgent, client: AsyncExecutionClient
) -> None:
    early = await client.start("code.survey")
    (first,) = wait_for([early])
    ended = await client.start("code.survey")
    await complete(agent, [ended])
    async with asyncio.timeout(ends.RECHECK_SECONDS / 2):
        assert await ended.result() == 0
        assert await ended.result() == 0, "also who asks for the same again"
    late = await client.start("code.survey")
    waits = wait_for([late, late])
    await complete(agent, [late])
    async with asyncio.timeout(ends.RECHECK_SECONDS / 2):
        assert await asyncio.gather(*waits) == [0, 0]
    assert await sockets(api) == 1
    first.cancel()


async def test_who_comes_one_by_one_does_not_use_up_the_subscriptions(
    api: RunningApi, agent: HandAgent, client: AsyncExecutionClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ends, "MOST_SUBSCRIPTIONS", 5)
    handles = [await client.start("code.survey") for _ in range(30)]
    waits = []
    for handle in handles:
        waits += wait_for([handle])
        await client.get(handle.execution_id)  # long enough for a subscription of its own
    await complete(agent, handles)
    assert await asyncio.gather(*waits) == list(range(30))
    assert await sockets(api) == 1


async def test_ends_during_a_restart_of_the_api_are_not_missed(
    api: RunningApi, agent: HandAgent, client: AsyncExecutionClient
) -> None:
    handles = [await client.start("code.survey") for _ in range(20)]
    waits = wait_for(handles)
    attempts = [await asyncio.to_thread(agent.begin, handle.execution_id) for handle in handles]
    for n, attempt in enumerate(attempts[:10]):
        await asyncio.to_thread(agent.complete, attempt, n)
    await asyncio.to_thread(api.stop)
    for n, attempt in enumerate(attempts[10:15], 10):
        await asyncio.to_thread(agent.complete, attempt, n)
    await asyncio.to_thread(api.start)
    for n, attempt in enumerate(attempts[15:], 15):
        await asyncio.to_thread(agent.complete, attempt, n)
    assert await asyncio.gather(*waits) == list(range(20))


async def test_one_that_is_refused_harms_no_other(agent: HandAgent, client: AsyncExecutionClient) -> None:
    handle = await client.start("code.survey")
    good, unknown, malformed = wait_for([handle, client.handle(UNKNOWN), client.handle("nonsense")])
    with pytest.raises(UnknownExecution):
        await unknown
    with pytest.raises(InvalidRequest):
        await malformed
    await complete(agent, [handle])
    assert await good == 0


async def test_a_wait_without_patience_still_finds_what_has_ended(
    agent: HandAgent, client: AsyncExecutionClient
) -> None:
    handle = await client.start("code.survey")
    with pytest.raises(ResultNotReady):
        await handle.result(timeout=0)
    await complete(agent, [handle])
    assert await handle.result(timeout=0) == 0


async def test_when_nobody_waits_any_more_the_socket_serves_others(
    api: RunningApi, agent: HandAgent, client: AsyncExecutionClient
) -> None:
    handle = await client.start("code.survey")
    (wait,) = wait_for([handle])
    await complete(agent, [handle])
    await wait

    async def is_idle() -> None:
        assert len(client._idle) == 1

    await eventually_async(is_idle)
    assert [event.seq async for event in handle.events()] == [1, 2, 3, 4, 5]
    assert await sockets(api) == 1


async def test_a_client_that_is_closed_tells_who_waits(api: RunningApi) -> None:
    client = AsyncExecutionClient(api.url)
    handle = await client.start("code.survey")
    (wait,) = wait_for([handle])
    await asyncio.sleep(0)
    await client.close()
    with pytest.raises(ApiUnavailable, match="this client was closed"):
        await wait
