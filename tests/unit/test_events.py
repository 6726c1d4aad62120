"""EventService: replay joins live events with no gap and no double; slow readers harm only themselves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from mindswarm_exec.ledger.event_log import START, EventLog, StoredEvent
from mindswarm_exec.models.events import EventFilter, Gap, describe, position, severity_of
from mindswarm_exec.models.records import Event
from mindswarm_exec.service import events, subscription
from mindswarm_exec.service.events import EventService
from mindswarm_exec.service.subscription import Delivery, Subscription
from mindswarm_exec.settings import Settings
from tests.event_writer import EventWriter
from tests.eventually import eventually_async

pytestmark = pytest.mark.anyio

EVERYTHING = EventFilter()


@pytest.fixture
async def service(client: Redis, namespace: str) -> AsyncIterator[EventService]:
    service = EventService(EventLog(client, namespace, idle_check_seconds=0.1), Settings())
    await service.start()
    yield service
    await service.stop()


async def take(reader: Subscription, count: int) -> list[Event | Gap]:
    """The next `count` items of a subscription that has not been read before."""
    found: list[Event | Gap] = []
    async with asyncio.timeout(20):
        async for item in reader:
            found.append(item)
            if len(found) == count:
                break
    return found


def ids(items: list[Event | Gap]) -> list[str]:
    return [item.event_id if isinstance(item, Event) else f"gap {item.reason}" for item in items]


async def heard(service: EventService, event_id: str) -> None:
    """Wait until the service itself has heard an event."""

    async def check() -> None:
        assert service.newest_id == event_id

    await eventually_async(check)


async def test_a_subscription_hears_what_happens_after_it(service: EventService, writer: EventWriter) -> None:
    before = await writer.append()
    await heard(service, before)
    reader = service.subscribe(EVERYTHING)
    after = await writer.append_many(3)
    assert ids(await take(reader, 3)) == after


async def test_replay_goes_over_to_live_events_without_gap_or_double(
    service: EventService, writer: EventWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription, "PAGE", 7)
    written = await writer.append_many(40)
    reader = service.subscribe(EVERYTHING, from_event_id=written[4])

    async def write_on() -> list[str]:
        return await writer.append_many(150)

    writing = asyncio.create_task(write_on())
    found = await take(reader, 35 + 150)
    assert ids(found) == written[5:] + await writing


async def test_many_replays_at_different_places_each_join_live_events_exactly(
    service: EventService, writer: EventWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription, "PAGE", 5)
    written = await writer.append_many(30)
    readers = [
        asyncio.create_task(take(service.subscribe(EVERYTHING, from_event_id=written[start]), 29 - start + 60))
        for start in range(0, 30, 3)
    ]
    live = await writer.append_many(60)
    for start, reader in zip(range(0, 30, 3), readers, strict=True):
        assert ids(await reader) == written[start + 1 :] + live


@pytest.mark.parametrize("start", [0, 1, 3], ids=["ends with a full page", "ends within a page", "is empty"])
async def test_what_the_service_hears_after_a_replay_has_passed_it_does_not_come_again(
    service: EventService, writer: EventWriter, monkeypatch: pytest.MonkeyPatch, start: int
) -> None:
    monkeypatch.setattr(subscription, "PAGE", 3)
    written = await writer.append_many(4, published=False)  # heard when the silent service looks into the stream
    reading = asyncio.create_task(take(service.subscribe(EVERYTHING, from_event_id=written[start]), 4 - start))
    await heard(service, written[-1])
    after = await writer.append()
    assert ids(await reading) == [*written[start + 1 :], after]


async def test_a_reader_too_slow_is_told_where_to_resume_and_the_others_miss_nothing(
    service: EventService, writer: EventWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription, "MOST_BUFFERED", 10)
    first = await writer.append()
    await heard(service, first)
    slow, quick = service.subscribe(EVERYTHING), service.subscribe(EVERYTHING)
    reading = asyncio.create_task(take(quick, 25))
    await asyncio.sleep(0)
    written = await writer.append_many(25)
    assert ids(await reading) == written
    await heard(service, written[-1])
    gap, *rest = await take(slow, 7)
    assert gap == Gap(reason="slow", resume_from=first)
    assert ids(rest) == written[-6:]
    assert ids(await take(service.subscribe(EVERYTHING, gap.resume_from), 25)) == written


async def test_a_slow_readers_buffer_is_bounded_in_bytes(
    service: EventService, writer: EventWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription, "MOST_BUFFERED_BYTES", 5_000)
    reader = service.subscribe(EVERYTHING)
    written = await writer.append_many(10, data={"text": "x" * 1000})
    await heard(service, written[-1])
    assert ids(await take(reader, 3)) == ["gap slow", *written[8:]]


async def test_a_cursor_older_than_the_stream_is_told_so_and_given_the_oldest(
    service: EventService, writer: EventWriter
) -> None:
    written = await writer.append_many(10)
    await writer.client.xtrim(writer.stream, maxlen=4, approximate=False)
    found = await take(service.subscribe(EVERYTHING, from_event_id=written[2]), 5)
    assert ids(found) == ["gap trimmed", *written[6:]]
    assert isinstance(found[0], Gap)
    assert position(found[0].resume_from) < position(written[6])
    assert ids(await take(service.subscribe(EVERYTHING, from_event_id=found[0].resume_from), 4)) == written[6:]


async def test_a_cursor_from_a_stream_that_is_gone_is_told_so(service: EventService, writer: EventWriter) -> None:
    written = await writer.append_many(2)
    found = await take(service.subscribe(EVERYTHING, from_event_id="99999999999999-0"), 3)
    assert ids(found) == ["gap reset", *written]


async def test_live_readers_learn_that_the_stream_starts_anew(service: EventService, writer: EventWriter) -> None:
    reader = service.subscribe(EVERYTHING)
    future = await writer.append(event_id="99999999999999-0")
    await heard(service, future)
    await writer.client.delete(writer.stream)
    await heard(service, START)
    after = await writer.append()
    assert ids(await take(reader, 2)) == ["gap reset", after]


async def test_filters_choose_by_type_ids_and_severity(service: EventService, writer: EventWriter) -> None:
    one, two = "0" * 8 + "-0000-7000-8000-" + "1" * 12, "0" * 8 + "-0000-7000-8000-" + "2" * 12
    created = await writer.append("execution.created", execution_id=one, project_id="red")
    failed = await writer.append("execution.failed", execution_id=two, project_id="blue", agent_id="coder")
    offline = await writer.append("agent.offline", agent_id="coder", project_id="")
    task = await writer.append("task.created", task_id="t1", project_id="red")
    cases: list[tuple[EventFilter, list[str]]] = [
        (EventFilter(event_types=("execution.*",)), [created, failed]),
        (EventFilter(event_types=("*.created", "agent.offline")), [created, offline, task]),
        (EventFilter(execution_ids=frozenset({one})), [created]),
        (EventFilter(agent_ids=frozenset({"coder"})), [failed, offline]),
        (EventFilter(task_ids=frozenset({"t1"})), [task]),
        (EventFilter(project_ids=frozenset({"red"})), [created, task]),
        (EventFilter(min_severity="warning"), [failed, offline]),
        (EventFilter(min_severity="error", project_ids=frozenset({"red"})), []),
    ]
    for wanted, expected in cases:
        page = await service.get_history(wanted)
        assert [event.event_id for event in page.events] == expected, wanted
        assert page.next_cursor is None


async def test_a_scope_bounds_live_replayed_and_recorded_events(service: EventService, writer: EventWriter) -> None:
    scope = frozenset({"red"})
    live = service.subscribe(EVERYTHING, scope=scope)
    red = [await writer.append(project_id=project) for project in ("red", "blue", "", "red")][0::3]
    assert ids(await take(live, 2)) == red
    assert ids(await take(service.subscribe(EVERYTHING, START, scope=scope), 2)) == red
    assert [event.event_id for event in (await service.get_history(EVERYTHING, scope=scope)).events] == red


async def test_history_pages_in_both_directions(service: EventService, writer: EventWriter) -> None:
    written = await writer.append_many(5)
    first = await service.get_history(EVERYTHING, limit=2)
    assert [event.event_id for event in first.events] == written[:2]
    rest = await service.get_history(EVERYTHING, limit=10, cursor=first.next_cursor)
    assert [event.event_id for event in rest.events] == written[2:]
    newest = await service.get_history(EVERYTHING, limit=2, newest_first=True)
    assert [event.event_id for event in newest.events] == written[:2:-1]
    older = await service.get_history(EVERYTHING, limit=2, cursor=newest.next_cursor, newest_first=True)
    assert [event.event_id for event in older.events] == written[2:0:-1]


@pytest.mark.parametrize(
    ("cursor", "newest_first"), [("0", True), ("0-0", True), ("18446744073709551615-18446744073709551615", False)]
)
async def test_beyond_the_ends_of_the_stream_there_is_nothing(
    service: EventService, writer: EventWriter, cursor: str, newest_first: bool
) -> None:
    await writer.append()
    page = await service.get_history(EVERYTHING, cursor=cursor, newest_first=newest_first)
    assert (page.events, page.next_cursor) == ((), None)


async def test_one_call_for_history_looks_at_a_bounded_number_of_events(
    service: EventService, writer: EventWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "PAGE", 5)
    monkeypatch.setattr(events, "MOST_SCANNED", 10)
    written = await writer.append_many(13)
    rare = await writer.append("execution.failed")
    wanted = EventFilter(min_severity="error")
    first = await service.get_history(wanted)
    assert (first.events, first.next_cursor) == ((), written[9])
    second = await service.get_history(wanted, cursor=first.next_cursor)
    assert [event.event_id for event in second.events] == [rare]


async def test_a_closed_subscription_comes_to_its_end(service: EventService, writer: EventWriter) -> None:
    reader = service.subscribe(EVERYTHING)
    reading = asyncio.create_task(take(reader, 99))
    written = await writer.append()
    await heard(service, written)
    reader.close()
    reader.close()
    assert ids(await reading) == [written]


async def test_a_reader_that_closes_its_subscription_comes_to_the_end(
    service: EventService, writer: EventWriter
) -> None:
    reader = service.subscribe(EVERYTHING)
    written = await writer.append_many(2)
    await heard(service, written[-1])
    found = []
    async with asyncio.timeout(20):
        async for event in reader:
            found.append(event)
            reader.close()
    assert ids(found) == written[:1]


async def test_what_a_replay_has_given_already_takes_no_room_for_live_events(
    service: EventService, writer: EventWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription, "MOST_BUFFERED_BYTES", 5_000)
    read, replayed = service.log.read, []

    async def read_late(after: str, limit: int) -> list[StoredEvent]:
        """A page of events that were heard live just before."""
        replayed.extend(await writer.append_many(4, data={"text": "x" * 1000}))
        await heard(service, replayed[-1])
        return await read(after, limit)

    reader = service.subscribe(EVERYTHING, START)
    monkeypatch.setattr(service.log, "read", read_late)
    catching_up = reader.catch_up()
    found = [await anext(catching_up) for _ in range(4)]
    live = await writer.append_many(4, data={"text": "x" * 1000})
    await heard(service, live[-1])
    found += [item async for item in catching_up]
    told = [item.stored.event_id if isinstance(item, Delivery) else item.reason for item in found]
    assert told == [*replayed, *live]


async def test_a_service_starts_and_stops_more_than_once(service: EventService, writer: EventWriter) -> None:
    await service.start()
    await service.stop()
    await service.stop()
    await service.start()
    reader = service.subscribe(EVERYTHING)
    written = await writer.append()
    assert ids(await take(reader, 1)) == [written]


def test_each_event_has_a_severity_and_a_sentence() -> None:
    assert [severity_of(name) for name in ("execution.started", "execution.released", "execution.failed")] == [
        "info",
        "warning",
        "error",
    ]
    said = describe("execution.progress", {"execution_id": "7"}, {"fraction": 0.25, "message": "reading"})
    assert said == "Execution 7 is 25% done: reading."
    assert describe("task.assigned", {"task_id": "t1"}, {}) == "Task t1: assigned."
    assert "secret" not in describe("execution.failed", {}, {"error": {"kind": "handler_error", "message": "secret"}})


def test_no_pattern_of_stars_makes_matching_slow() -> None:
    wanted = EventFilter(event_types=("*a" * 32,))
    assert not wanted.matches_type("execution." + "a" * 31 + "b" * 20)
