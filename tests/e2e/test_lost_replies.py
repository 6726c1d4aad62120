"""The reply to a script is lost and its caller asks again: the same answer, one event, no second effect."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from mindswarm_exec.errors import LedgerUnavailable
from mindswarm_exec.lifecycle import COMPLETED
from tests.e2e.lossy_proxy import LossyProxy
from tests.e2e.swarm import Swarm, count_of
from tests.eventually import eventually

LOST_SHARE = 0.2


@pytest.fixture
def swarm(tmp_path: Path) -> Iterator[Swarm]:
    with Swarm(tmp_path) as swarm:
        yield swarm


@pytest.fixture
def proxy(swarm: Swarm) -> Iterator[LossyProxy]:
    with LossyProxy(swarm.server.port) as proxy:
        yield proxy
        proxy.rate = 0.0


def start_patiently(swarm: Swarm, task_type: str, payload: object, key: str) -> str:
    """Submit as a client should that hears nothing: again, with the same key."""

    def submit() -> str:
        try:
            return swarm.start(task_type, payload, key=key)
        except LedgerUnavailable as error:
            raise AssertionError("no answer yet") from error

    return eventually(submit)


def test_every_execution_completes_once_though_one_reply_in_five_is_lost(swarm: Swarm, proxy: LossyProxy) -> None:
    swarm.dispatcher()
    for name in ("a", "b"):
        swarm.agent(name, MINDSWARM_REDIS_URL=proxy.url)
    swarm.await_agents("a", "b")
    swarm.connect(proxy.url)
    proxy.rate = LOST_SHARE
    work = [("echo", n) for n in range(60)]
    work += [("steps", {"steps": 8}), ("progress", {"seconds": 1.0}), ("stream", {"chunks": ["a", "b", "c"]})] * 4
    ids = [start_patiently(swarm, task_type, payload, f"key-{n}") for n, (task_type, payload) in enumerate(work)]
    swarm.connect()
    assert len(set(ids)) == len(work)
    for execution_id in ids:
        assert swarm.await_end(execution_id, 40_000).status is COMPLETED
    assert proxy.lost > 50, "the test lost hardly anything"
    for execution_id, (task_type, _) in zip(ids, work, strict=True):
        events = swarm.events(execution_id)
        types = [event["type"].removeprefix("execution.") for event in events]
        once = {"created": 1, "queued": 1, "started": 1, "completed": 1}
        assert count_of(types, *once) == once, types
        if task_type == "stream":
            assert [event["data"]["text"] for event in events if event["type"].endswith("output")] == [
                *("a", "b", "c", "done")
            ]
        if task_type == "steps":
            assert types.count("checkpoint") == 8
        if task_type == "progress":
            messages = [event["data"]["message"] for event in events if event["type"].endswith("progress")]
            assert max(Counter(messages).values()) == 1
    assert Counter(swarm.written("echo")).most_common(1)[0][1] == 1, "a handler ran twice"
    for name in ("a", "b"):
        swarm.await_load(name, 0)


def test_a_submission_whose_reply_is_lost_ten_times_is_one_execution(swarm: Swarm, proxy: LossyProxy) -> None:
    swarm.connect(proxy.url)
    proxy.lose_next(10)
    first = start_patiently(swarm, "echo", 1, "ten")
    assert proxy.lost == 10
    assert start_patiently(swarm, "echo", 1, "ten") == first
    assert swarm.event_types(first) == ["created"]
    assert swarm.redis.zcard(swarm.key("status", "pending")) == 1
