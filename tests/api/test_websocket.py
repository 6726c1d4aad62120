"""The API over WebSocket: calls and events on one connection."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from redis.asyncio import Redis
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from mindswarm_exec.service import subscription
from tests.api.running_api import RunningApi
from tests.event_writer import EventWriter
from tests.eventually import eventually


class Wire:
    """One connection, and what came over it: replies by id, notifications in order."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.notifications: list[dict[str, Any]] = []
        self._ids = 0

    def call(self, method: str, **params: Any) -> Any:
        self._ids += 1
        request = {"jsonrpc": "2.0", "id": self._ids, "method": f"mindswarm.{method}", "params": params}
        self.connection.send(json.dumps(request))
        while True:
            message = json.loads(self.connection.recv(timeout=20))
            if "method" not in message:
                assert message["id"] == self._ids
                return message.get("result", message.get("error"))
            self.notifications.append(message)

    def next(self) -> dict[str, Any]:
        """The next notification."""
        if not self.notifications:
            self.notifications.append(json.loads(self.connection.recv(timeout=20)))
        return self.notifications.pop(0)

    def next_subscribed(self) -> dict[str, Any]:
        """The next that a subscription asked for: what waited to be delivered without one may come before it."""
        while not (found := self.next())["params"]["subscription_ids"]:
            pass
        return found

    def next_events(self, count: int) -> list[tuple[str, list[str]]]:
        """The next events: type and subscriptions."""
        found = [self.next() for _ in range(count)]
        assert {each["method"] for each in found} <= {"mindswarm.event"}
        return [(each["params"]["event_type"], each["params"]["subscription_ids"]) for each in found]


@contextmanager
def connected(api: RunningApi, query: str = "", **options: Any) -> Iterator[Wire]:
    with connect(f"{api.url.replace('http', 'ws')}/ws{query}", **options) as connection:
        yield Wire(connection)


@pytest.fixture
def wire(api: RunningApi) -> Iterator[Wire]:
    with connected(api) as wire:
        yield wire


@pytest.fixture
def quiet(api: RunningApi) -> Iterator[Wire]:
    """A connection without automatic delivery."""
    with connected(api, "?events=off") as wire:
        yield wire


def write_events(api: RunningApi, count: int, **event: Any) -> list[str]:
    """Events straight into the ledger, faster than any call makes them."""

    async def write() -> list[str]:
        assert api.settings.redis_url is not None
        async with Redis.from_url(api.settings.redis_url) as client:
            return await EventWriter(client, api.settings.namespace).append_many(count, **event)

    return asyncio.run(write())


def start(wire: Wire, count: int = 1) -> list[str]:
    return [wire.call("execution.start", task_type="code.survey")["execution_id"] for _ in range(count)]


def test_every_connection_hears_events_at_once(wire: Wire, quiet: Wire) -> None:
    (execution_id,) = start(quiet)
    heard = wire.next()
    assert (heard["jsonrpc"], heard["method"]) == ("2.0", "mindswarm.event")
    assert "id" not in heard
    event = heard["params"]
    assert (event["event_type"], event["seq"], event["context"]["execution_id"]) == (
        "execution.created",
        1,
        execution_id,
    )
    assert event["subscription_ids"] == []
    assert event["metadata"] == {"severity": "info"}


def test_a_connection_can_do_without_events(quiet: Wire) -> None:
    start(quiet)
    assert quiet.call("events.listSubscriptions") == {"subscriptions": []}
    assert quiet.notifications == []


def test_a_subscription_replaces_the_automatic_delivery(wire: Wire, quiet: Wire) -> None:
    wire.call("events.subscribe", event_types=["execution.cancelled"])
    (execution_id,) = start(quiet)
    quiet.call("execution.cancel", execution_id=execution_id)
    assert wire.next_events(1) == [("execution.cancelled", ["s1"])]


def test_an_event_that_matches_several_subscriptions_comes_once(wire: Wire, quiet: Wire) -> None:
    wire.call("events.subscribe", event_types=["execution.*"])
    wire.call("events.subscribe", event_types=["*.created"])
    (execution_id,) = start(quiet)
    quiet.call("execution.pause", execution_id=execution_id)
    assert wire.next_events(2) == [("execution.created", ["s1", "s2"]), ("execution.paused", ["s1"])]


def test_subscriptions_are_listed_and_ended(wire: Wire, quiet: Wire) -> None:
    made = wire.call("events.subscribe", event_types=["task.*"], min_severity="info")
    assert made["subscription_id"] == "s1"
    wire.call("events.subscribe", event_types=["execution.*"])
    listed = wire.call("events.listSubscriptions")["subscriptions"]
    assert [each["subscription_id"] for each in listed] == ["s1", "s2"]
    assert listed[0]["filter"]["event_types"] == ["task.*"]
    wire.call("events.unsubscribe", subscription_id="s2")
    assert wire.call("events.unsubscribe", subscription_id="s2")["data"]["code"] == "not_found"
    start(quiet)
    quiet.call("task.create", title="t")
    assert wire.next_events(1) == [("task.created", ["s1"])]


def test_a_replay_comes_after_its_answer_and_goes_over_to_live_events(quiet: Wire, wire: Wire) -> None:
    ids = start(quiet, 5)
    wire.call("events.subscribe", event_types=["execution.*"], from_event_id="0")
    ids += start(quiet, 5)
    heard = [wire.next_subscribed() for _ in range(10)]
    assert [each["params"]["context"]["execution_id"] for each in heard] == ids


def test_a_replay_joins_other_subscriptions_without_doubling_live_events(
    quiet: Wire, api: RunningApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription, "PAGE", 3)
    start(quiet, 10)
    with connected(api, "?events=off") as wire:
        wire.call("events.subscribe", event_types=["execution.*"], from_event_id="0")
        assert wire.next_events(10) == [("execution.created", ["s1"])] * 10
        wire.call("events.subscribe", event_types=["*.created"], from_event_id="0")
        assert wire.next_events(10) == [("execution.created", ["s2"])] * 10

        def both_must_be_live() -> None:
            start(quiet)
            assert wire.next_events(1) == [("execution.created", ["s1", "s2"])]

        eventually(both_must_be_live)


def test_a_cursor_from_another_stream_is_answered_by_a_gap(wire: Wire, quiet: Wire) -> None:
    wire.call("events.subscribe", from_event_id="99999999999999-0")
    gap = wire.next()
    assert gap["method"] == "mindswarm.gap"
    assert gap["params"] == {"reason": "reset", "resume_from": "0-0", "subscription_ids": ["s1"]}


def test_a_reader_that_stalls_is_told_of_its_gap_and_never_holds_up_another(api: RunningApi, wire: Wire) -> None:
    with connected(api, max_queue=1) as slow:  # stops reading from its socket while a message waits
        written: list[str] = []
        for _ in range(30):
            some = write_events(api, 100, data={"text": "x" * 8000})
            assert [wire.next()["params"]["event_id"] for _ in some] == some
            written += some
        heard: list[str] = []
        while (item := slow.next())["method"] == "mindswarm.event":
            heard.append(item["params"]["event_id"])
        assert heard == written[: len(heard)]
        assert item["method"] == "mindswarm.gap"
        assert item["params"] == {"reason": "slow", "resume_from": heard[-1], "subscription_ids": []}
        slow.call("events.subscribe", from_event_id=heard[-1])
        missed = [slow.next_subscribed()["params"]["event_id"] for _ in written[len(heard) :]]
        assert missed == written[len(heard) :]


def test_calls_over_the_limit_get_a_typed_error_and_the_connection_lives(wire: Wire, api: RunningApi) -> None:
    wire.connection.send("x" * (api.settings.max_request_bytes + 1))
    reply = json.loads(wire.connection.recv(timeout=20))
    assert (reply["id"], reply["error"]["data"]["code"]) == (None, "payload_too_large")
    assert wire.call("events.listSubscriptions") == {"subscriptions": []}


def test_a_connection_has_a_bounded_number_of_subscriptions(quiet: Wire) -> None:
    for _ in range(100):
        quiet.call("events.subscribe", event_types=["task.*"])
    assert quiet.call("events.subscribe")["data"]["limit"] == 100


def test_batches_and_notifications_work_as_over_http(quiet: Wire) -> None:
    quiet.connection.send('[{"jsonrpc":"2.0","method":"mindswarm.task.create","params":{"title":"t"}}]')
    quiet.connection.send('[{"jsonrpc":"2.0","id":1,"method":"mindswarm.task.list"}]')
    (reply,) = json.loads(quiet.connection.recv(timeout=20))
    assert len(reply["result"]["tasks"]) == 1


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}])
def test_without_keys_a_page_from_elsewhere_cannot_connect(api: RunningApi, headers: dict[str, str]) -> None:
    with pytest.raises(InvalidStatus) as refused, connected(api, additional_headers=headers):
        pass
    assert refused.value.response.status_code == 403


def test_a_page_of_this_machine_can_connect(api: RunningApi) -> None:
    with connected(api, additional_headers={"Origin": "http://localhost:3000"}) as wire:
        assert wire.call("events.listSubscriptions") == {"subscriptions": []}
