"""EventLog: every event once, in order, whatever happens to the connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from mindswarm_exec.errors import LedgerUnavailable
from mindswarm_exec.ledger.event_log import PAGE, START, Attached, EventLog, StoredEvent
from tests.event_writer import EventWriter
from tests.eventually import eventually_async

pytestmark = pytest.mark.anyio


@pytest.fixture
def log(client: Redis, namespace: str) -> EventLog:
    return EventLog(client, namespace, idle_check_seconds=0.1)


class Listening:
    """A listener in the background, and what it has heard."""

    def __init__(self, log: EventLog) -> None:
        self.heard: list[StoredEvent | Attached] = []
        self.task = asyncio.create_task(self._listen(log))

    async def _listen(self, log: EventLog) -> None:
        async for item in log.listen():
            self.heard.append(item)

    async def must_have_heard(self, ids: list[str]) -> None:
        async def check() -> None:
            assert [item.event_id for item in self.heard if isinstance(item, StoredEvent)] == ids

        await eventually_async(check)

    async def must_be_attached(self, times: int = 1) -> None:
        async def check() -> None:
            assert len([item for item in self.heard if isinstance(item, Attached)]) == times

        await eventually_async(check)


@pytest.fixture
async def listening(log: EventLog) -> AsyncIterator[Listening]:
    listening = Listening(log)
    await listening.must_be_attached()
    yield listening
    listening.task.cancel()


async def channel_id(client: Redis, stream: str) -> int:
    """The connection that listens on the stream's channel, once there is one."""

    async def check() -> int:
        subscribers = [each for each in await client.client_list(_type="pubsub") if int(each["sub"]) == 1]
        assert (await client.pubsub_numsub(stream))[0][1] == 1
        assert subscribers
        return int(max(int(each["id"]) for each in subscribers))

    return await eventually_async(check)


async def test_reading_pages_through_the_stream_in_both_directions(writer: EventWriter, log: EventLog) -> None:
    assert (await log.newest_id(), await log.read(START, 10)) == (START, [])
    ids = await writer.append_many(5)
    assert [each.event_id for each in await log.read(START, 2)] == ids[:2]
    assert [each.event_id for each in await log.read(ids[1], 10)] == ids[2:]
    assert [each.event_id for each in await log.read_newest(2)] == ids[:2:-1]
    assert [each.event_id for each in await log.read_newest(9, before=ids[2])] == ids[1::-1]
    assert await log.newest_id() == ids[-1]


async def test_the_extent_knows_whether_the_stream_was_trimmed(writer: EventWriter, log: EventLog) -> None:
    assert not (await log.extent()).is_trimmed
    ids = await writer.append_many(5)
    assert not (await log.extent()).is_trimmed
    await writer.client.xtrim(writer.stream, maxlen=2, approximate=False)
    extent = await log.extent()
    assert (extent.oldest_id, extent.newest_id, extent.is_trimmed) == (ids[3], ids[4], True)


async def test_an_entry_becomes_the_event_of_the_wire(writer: EventWriter, log: EventLog) -> None:
    await writer.append(
        "execution.failed", seq=3, execution_id="x", agent_id="coder", data={"error": {"kind": "timeout"}}
    )
    event = (await log.read(START, 1))[0].event
    assert (event.seq, event.event_type, event.source) == (3, "execution.failed", "test")
    assert event.context.model_dump() == {
        "project_id": "default",
        "task_id": None,
        "execution_id": "x",
        "agent_id": "coder",
    }
    assert event.metadata == {"severity": "error"}
    assert event.description == "Execution x failed (timeout)."
    assert int(event.timestamp.timestamp() * 1000) == int(event.event_id.partition("-")[0])


async def test_a_listener_hears_each_event_once_and_in_order(writer: EventWriter, listening: Listening) -> None:
    await listening.must_have_heard(await writer.append_many(50))


async def test_a_listener_whose_connection_is_cut_misses_nothing(writer: EventWriter, listening: Listening) -> None:
    before = await writer.append_many(3)
    await writer.client.client_kill_filter(_id=str(await channel_id(writer.client, writer.stream)))
    during = await writer.append_many(PAGE + 10)
    await listening.must_have_heard(before + during)
    after = await writer.append_many(3)
    await listening.must_have_heard(before + during + after)


async def test_an_event_whose_publishing_was_lost_is_found_in_the_stream(
    writer: EventWriter, listening: Listening
) -> None:
    lost = await writer.append(published=False)
    await listening.must_have_heard([lost])
    await listening.must_have_heard([lost, await writer.append()])


async def test_a_lost_event_is_heard_before_those_that_follow(writer: EventWriter, listening: Listening) -> None:
    lost = await writer.append(published=False)
    await listening.must_have_heard([lost])
    again = [await writer.append(published=False), await writer.append(published=False)]
    await listening.must_have_heard([lost, *again])


async def test_a_stream_that_starts_anew_is_noticed_and_heard(writer: EventWriter, listening: Listening) -> None:
    future = await writer.append(event_id="99999999999999-0")  # ids of the new stream will all be smaller
    await listening.must_have_heard([future])
    await writer.client.delete(writer.stream)
    await listening.must_be_attached(times=2)
    assert listening.heard[-1] == Attached(START, is_new_stream=True)
    await listening.must_have_heard([future, await writer.append()])


async def test_a_ledger_that_is_away_is_a_typed_error(namespace: str) -> None:
    async with Redis.from_url("redis://127.0.0.1:1", retry=None) as nowhere:
        with pytest.raises(LedgerUnavailable):
            await EventLog(nowhere, namespace).read(START, 1)
