"""Replays of one execution cost what happened while it had news, not what the stream holds; and miss nothing."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from typing import Any

import pytest
from redis.asyncio import Redis
from websockets.sync.client import connect

from mindswarm_exec.direct import DirectClient
from mindswarm_exec.ledger.event_log import START, EventLog, StoredEvent
from mindswarm_exec.models.events import EventFilter
from mindswarm_exec.models.records import Event
from mindswarm_exec.service import Services, events, subscription
from mindswarm_exec.service.events import EventService
from mindswarm_exec.settings import Settings
from tests.api.hand_agent import HandAgent
from tests.api.running_api import RunningApi
from tests.eventually import eventually, must_be

NOISE = {"seq": 0, "type": "agent.woken", "project_id": "", "task_id": "", "execution_id": "", "agent_id": "ant"}


UNKNOWN = "00000000-0000-7000-8000-000000000000"


class CountingLog(EventLog):
    """Counts the events that are read from the stream."""

    def __init__(self, client: Redis, namespace: str) -> None:
        super().__init__(client, namespace)
        self.events_read = 0

    async def read(self, after: str, limit: int) -> list[StoredEvent]:
        page = await super().read(after, limit)
        self.events_read += len(page)
        return page


class Crowd:
    """What else happens on the same ledger."""

    def __init__(self, client: DirectClient) -> None:
        self._ledger = client._ledger

    def happens(self, count: int) -> None:
        pipeline = self._ledger.client.pipeline(transaction=False)
        for _ in range(count):
            pipeline.xadd(self._ledger.keys.of("events"), {**NOISE, "source": "test", "data": "{}"})
        pipeline.execute()

    def trim(self, keep: int) -> None:
        self._ledger.client.xtrim(self._ledger.keys.of("events"), maxlen=keep, approximate=False)


@pytest.fixture
def client(settings: Settings) -> Iterator[DirectClient]:
    assert settings.redis_url is not None
    with DirectClient(settings.redis_url, settings) as client:
        yield client


@pytest.fixture
def crowd(client: DirectClient) -> Crowd:
    return Crowd(client)


async def replayed(settings: Settings, *execution_ids: str) -> tuple[list[Event], int]:
    """What a replay from the oldest event tells of them, and how many events it read for that."""
    async for service, log in running(settings):
        reader = service.subscribe(EventFilter(execution_ids=frozenset(execution_ids)), START)
        found = [item.stored.event async for item in reader.catch_up() if isinstance(item, subscription.Delivery)]
        return found, log.events_read
    raise AssertionError


async def running(settings: Settings) -> AsyncIterator[tuple[EventService, CountingLog]]:
    async with Redis.from_url(str(settings.redis_url)) as redis:
        log = CountingLog(redis, settings.namespace)
        service = EventService(log, settings)
        await service.start()
        try:
            yield service, log
        finally:
            await service.stop()


async def everything_of(settings: Settings, *execution_ids: str) -> list[str]:
    """The ids of their events in the whole stream."""
    async with Redis.from_url(str(settings.redis_url)) as redis:
        stored = await EventLog(redis, settings.namespace).read(START, 100_000)
    return [each.event_id for each in stored if each.execution_id in execution_ids]


def test_a_replay_of_an_ended_execution_passes_over_what_others_did(
    client: DirectClient, agent: HandAgent, crowd: Crowd, settings: Settings
) -> None:
    crowd.happens(5000)
    handle = client.start("code.survey")
    crowd.happens(5000)
    agent.run(handle.execution_id, 1)
    crowd.happens(5000)
    found, read = asyncio.run(replayed(settings, handle.execution_id))
    assert [event.seq for event in found] == [1, 2, 3, 4, 5]
    assert read <= 2500


def test_a_replay_of_a_paused_execution_passes_over_the_pause(
    client: DirectClient, agent: HandAgent, crowd: Crowd, settings: Settings
) -> None:
    handle = client.start("code.survey")
    attempt = agent.begin(handle.execution_id)
    handle.pause()
    agent.pause(attempt)
    crowd.happens(20_000)
    handle.resume()
    found, read = asyncio.run(replayed(settings, handle.execution_id))
    assert [event.event_type for event in found][-3:] == ["execution.paused", "execution.resumed", "execution.queued"]
    assert read <= 1500


def test_history_of_one_execution_is_had_in_one_call_however_long_the_stream(
    client: DirectClient, agent: HandAgent, crowd: Crowd
) -> None:
    crowd.happens(12_000)
    handle = client.start("code.survey")
    agent.run(handle.execution_id, 1)
    crowd.happens(12_000)
    page = client.event_history(execution_ids=[handle.execution_id])
    assert ([event.seq for event in page.events], page.next_cursor) == ([1, 2, 3, 4, 5], None)


@pytest.mark.parametrize("page_size", [1, 2, 3, 7])
def test_no_event_is_passed_over(
    client: DirectClient,
    agent: HandAgent,
    crowd: Crowd,
    settings: Settings,
    page_size: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of executions with and without a task, with news between their moves, one by one and together."""
    for module in (subscription, events):
        monkeypatch.setattr(module, "PAGE", page_size)
    task = client.create_task("a task", task_type="code.survey")
    ids = [client.start("code.survey", task_id=task.task_id if n % 2 else None).execution_id for n in range(4)]
    crowd.happens(5)
    for n, execution_id in enumerate(ids):
        attempt = agent.begin(execution_id)
        crowd.happens(n)
        for step in range(n):
            agent.progress(attempt, step / 4)
            crowd.happens(3)
        if n < 3:
            agent.complete(attempt, n)
        crowd.happens(2)
    for chosen in (*([each] for each in ids), ids[1:3], ids, [*ids, UNKNOWN]):
        found, _ = asyncio.run(replayed(settings, *chosen))
        assert [event.event_id for event in found] == asyncio.run(everything_of(settings, *chosen))


def test_what_happens_after_a_replay_that_passed_over_the_end_is_heard(
    client: DirectClient, agent: HandAgent, crowd: Crowd, settings: Settings
) -> None:
    handle = client.start("code.survey")
    agent.fail(agent.begin(handle.execution_id), "no")
    crowd.happens(3000)

    async def heard() -> list[str]:
        found: list[str] = []
        async for service, _ in running(settings):
            reader = service.subscribe(EventFilter(execution_ids=frozenset({handle.execution_id})), START)
            async with asyncio.timeout(10):
                async for item in reader:
                    assert isinstance(item, Event)
                    found.append(item.event_type)
                    if item.event_type == "execution.failed":
                        await asyncio.to_thread(handle.retry)
                    if len(found) == 6:
                        break
        return found

    assert asyncio.run(heard())[-2:] == ["execution.retry_scheduled", "execution.queued"]


# --- the events of a handle on the ledger ----------------------------------------------------------------


def replays_of(api: RunningApi) -> list[str]:
    """The names of the replays that are under way."""

    async def named(_: Services) -> list[str]:
        return [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("replay ")]

    return api.run(named)


def test_a_reader_that_leaves_in_a_replay_is_no_fault(
    api: RunningApi, crowd: Crowd, caplog: pytest.LogCaptureFixture
) -> None:
    crowd.happens(3000)
    ask = {"jsonrpc": "2.0", "id": 1, "method": "mindswarm.events.subscribe", "params": {"from_event_id": "0"}}
    with caplog.at_level(logging.WARNING), connect(f"{api.url.replace('http', 'ws')}/ws?events=off") as reader:
        reader.send(json.dumps(ask))
        assert "result" in json.loads(reader.recv(timeout=20))
        assert "params" in json.loads(reader.recv(timeout=20))
        reader.socket.shutdown(socket.SHUT_RDWR)
        eventually(lambda: must_be(replays_of(api), []))
        gc.collect()  # asyncio tells of what nobody asked for when it is collected
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


def types(found: Any) -> list[str]:
    return [event.event_type.removeprefix("execution.") for event in found]


def test_events_of_a_handle_go_on_through_a_retry(client: DirectClient, agent: HandAgent) -> None:
    handle = client.start("code.survey")
    agent.fail(agent.begin(handle.execution_id), "no")
    handle.retry()
    heard = handle.events()
    assert types(islice(heard, 6)) == ["created", "queued", "started", "failed", "retry_scheduled", "queued"]
    agent.run(handle.execution_id, 1)
    assert types(heard) == ["started", "progress", "completed"]


def test_events_of_an_ended_handle_come_to_an_end_though_the_stream_has_lost_it(
    client: DirectClient, agent: HandAgent, crowd: Crowd
) -> None:
    handle = client.start("code.survey")
    agent.run(handle.execution_id, 1)
    crowd.happens(10)
    crowd.trim(5)
    assert types(handle.events()) == []
