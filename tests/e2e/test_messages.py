"""Celery messages are hints: doubled, shuffled and nonsensical ones harm nothing, and leave no trace in logs."""

from __future__ import annotations

import base64
import json
import pickle
import random
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from mindswarm_exec.lifecycle import COMPLETED
from tests.e2e.swarm import WIDE, Swarm, count_of
from tests.eventually import eventually

SECRET = "hunter2hunter2"


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swarm]:
    with Swarm(tmp_path_factory.mktemp("messages")) as swarm:
        swarm.beat()
        swarm.dispatcher()
        swarm.agent("wide", WIDE)
        swarm.await_agents("wide")
        swarm.await_dispatcher()
        yield swarm


def lists_of(queue: str) -> list[str]:
    """The lists that kombu keeps for a queue, one a priority."""
    return [queue, *(f"{queue}\x06\x16{step}" for step in range(1, 10))]


def await_empty(swarm: Swarm, queue: str) -> None:
    def check() -> None:
        assert not swarm.redis.exists(*lists_of(queue))

    eventually(check, 20_000)


def test_each_message_delivered_three_times_out_of_order_runs_once(swarm: Swarm) -> None:
    queue = "swarm.agent.wide"
    wide = swarm.named("wide")
    wide.freeze()
    ids = [swarm.start("echo", n, priority=n % 10) for n in range(20)]
    messages = [message for name in lists_of(queue) for message in swarm.redis.lrange(name, 0, -1)]
    assert len(messages) >= len(ids) - 1, "one may wait in the socket of the frozen reader"
    copies = messages * 3
    random.Random(40).shuffle(copies)
    swarm.redis.delete(*lists_of(queue))
    swarm.redis.rpush(queue, *copies)
    wide.thaw()
    for execution_id in ids:
        assert swarm.await_end(execution_id).status is COMPLETED
    swarm.redis.rpush(queue, *copies)  # late ones, too
    await_empty(swarm, queue)
    assert swarm.await_end(swarm.start("echo", "after")).status is COMPLETED
    assert Counter(swarm.written("echo"))[ids[0]] == 1
    assert set(Counter(swarm.written("echo")).values()) == {1}
    for execution_id in ids:
        assert count_of(swarm.event_types(execution_id), "started", "completed") == {"started": 1, "completed": 1}
        assert swarm.get(execution_id).attempt == 1


def envelope(body: bytes, task: str = "@TASK@", **changes: Any) -> str:
    """A message in the envelope of kombu's Redis transport."""
    message: dict[str, Any] = {
        "body": base64.b64encode(body).decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"lang": "py", "task": task, "id": str(uuid.uuid4()), "argsrepr": SECRET, "kwargsrepr": SECRET},
        "properties": {
            "correlation_id": str(uuid.uuid4()),
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": "x"},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": str(uuid.uuid4()),
        },
    }
    return json.dumps(message | changes)


def call(*args: Any, **kwargs: Any) -> bytes:
    return json.dumps([args, kwargs, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]).encode()


NO_ETA = {"task": "@TASK@", "id": "1", "eta": SECRET}
NONSENSE: dict[str, str] = {
    "no JSON": f"{SECRET} {{",
    "no text": f"{SECRET}\x00\x01",
    "no object": json.dumps([SECRET]),
    "a number": "7",
    "no envelope": json.dumps({"secret": SECRET}),
    "no properties": envelope(call(), properties={}),
    "no headers": envelope(call(SECRET), headers={}),
    "headers of another kind": envelope(call(SECRET), headers=SECRET),
    "a body of bad JSON": envelope(SECRET.encode()),
    "a body that is no call": envelope(json.dumps({"secret": SECRET}).encode()),
    "a body in another encoding": envelope(b"\xff\xfe" + SECRET.encode()),
    "a body that is not base64": envelope(call()).replace(base64.b64encode(call()).decode(), f"*{SECRET}*"),
    "pickle": envelope(pickle.dumps([SECRET]), **{"content-type": "application/x-python-serialize"}),
    "an unknown type": envelope(call(SECRET), **{"content-type": SECRET}),
    "an unknown task": envelope(call(SECRET), task="os.system"),
    "a task that is no name": envelope(call(SECRET), task={"a": SECRET}),
    "a hostile task name": envelope(call(SECRET), task=f"{SECRET}\n"),
    "no arguments": envelope(call()),
    "too many arguments": envelope(call(SECRET, SECRET, SECRET)),
    "arguments of another kind": envelope(call({"a": SECRET}, [SECRET])),
    "unknown keyword arguments": envelope(call(secret=SECRET)),
    "hostile ids": envelope(call(f"\x06\x163{SECRET}", f"_kombu.binding.{SECRET}")),
    "an eta in no calendar": envelope(call(SECRET, SECRET), headers=NO_ETA),
    "16 MB": envelope(call(SECRET * (1 << 20), SECRET)),
}


#: Process, queue and task of each queue that is read.
DOORS = {
    "agent": ("wide", "swarm.agent.wide", "mindswarm.run"),
    "dispatcher": ("dispatcher", "swarm.executions", "mindswarm.execution.start"),
    "sweeps": ("dispatcher", "swarm.sweeps", "mindswarm.sweep"),
}


@pytest.mark.parametrize("door", DOORS)
def test_nonsense_in_a_celery_queue_stops_nothing_and_nothing_of_it_is_logged(swarm: Swarm, door: str) -> None:
    name, queue, task = DOORS[door]
    target = swarm.named(name)
    for what, message in NONSENSE.items():
        swarm.redis.lpush(queue, message.replace("@TASK@", task))
        try:
            await_empty(swarm, queue)
        except AssertionError:
            pytest.fail(f"{what}: the queue is no longer read")
        assert target.is_alive, what
    assert swarm.await_end(swarm.start("echo", door)).status is COMPLETED
    assert SECRET not in target.log


def test_nonsense_is_told_of_in_a_line_that_says_what_was_wrong(swarm: Swarm) -> None:
    wide = swarm.named("wide")
    swarm.redis.lpush("swarm.agent.wide", NONSENSE["an unknown task"])

    def check() -> None:
        assert "dropped" in wide.log

    eventually(check)
