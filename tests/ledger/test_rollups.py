"""Rollups count each end once, whoever rolls up and whenever it dies; their percentiles keep the stated bound."""

from __future__ import annotations

import asyncio
import json
import math
import random
import subprocess
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from mindswarm_exec.errors import InvalidRequest
from mindswarm_exec.ledger import operations
from mindswarm_exec.ledger.faces import AsyncLedger, connect_async
from mindswarm_exec.ledger.operations import Settlement
from mindswarm_exec.ledger.plans import carry_out
from mindswarm_exec.ledger.replies import Rolled
from mindswarm_exec.lifecycle import CANCEL, COMPLETE, FAIL, POSTPONE, TIME_OUT, Move
from mindswarm_exec.models.options import ExecutionOptions
from mindswarm_exec.models.records import MetricGroup, MetricWindow
from mindswarm_exec.service.folding import WINDOWS, Folder
from mindswarm_exec.service.histogram import ERROR_BOUND, bucket_of
from mindswarm_exec.service.records import history_entries
from mindswarm_exec.service.rollups import Rollups
from mindswarm_exec.service.spans import lives_of
from mindswarm_exec.service.sums import Sum, groups_of
from scheduler.rollups import Roller
from tests.eventually import eventually
from tests.ledger.world import RETENTION_MS, World

PLAIN = ExecutionOptions()
HOUR_MS = 3_600_000
ROOT = Path(__file__).parents[2]


def ended(world: World, move: Move = COMPLETE) -> str:
    """One execution that ran and ended so."""
    execution_id = world.submit("t", PLAIN)
    assert execution_id is not None
    world.settle(world.running(execution_id), Settlement(move))
    return execution_id


def roll_up_all(world: World, most: int = 100) -> Rolled:
    while True:
        rolled: Rolled = world.run(operations.roll_up(most, HOUR_MS))
        if not rolled.read:
            return rolled


def groups(world: World, group_by: str) -> dict[str, MetricGroup]:
    """All that is rolled up, by name."""
    found = Sum(0, 0)
    for name, counted in world.snapshot().families["counted"].items():
        if name.endswith(f":{group_by}"):
            for each in counted:
                found.count(each)
    return {group.key: group for group in groups_of(found, HOUR_MS)}


def counted_by_window(world: World, name: str, group_by: str) -> dict[str, MetricGroup]:
    """What the kept sums say of a window, by name."""
    rolled = world.run(operations.roll_up(100, HOUR_MS))
    found = carry_out(world.ledger, Folder(group_by, rolled, world.settings).window(name))
    assert found is not None
    return {group.key: group for group in groups_of(found, HOUR_MS)}


def window(world: World, url: str, group_by: str, of: str = "5m") -> MetricWindow:
    async def ask() -> MetricWindow:
        ledger = AsyncLedger(connect_async(url, world.settings), world.settings)
        try:
            return await Rollups(ledger).window(of, group_by)
        finally:
            await ledger.close()

    return asyncio.run(ask())


def test_rollers_that_are_killed_and_doubled_count_each_end_once(world: World, valkey_url: str) -> None:
    """Two processes roll up three events a script while executions end; one after the other is killed with -9."""
    world.open_agent()
    chance = random.Random(7)
    command = [sys.executable, "-m", "tests.ledger.rolling_process", valkey_url, world.settings.namespace]
    ends: Counter[str] = Counter()
    read = 0
    rollers = [subprocess.Popen(command, cwd=ROOT) for _ in range(2)]
    try:
        for number in range(240):
            move = chance.choice([COMPLETE, COMPLETE, FAIL, CANCEL, TIME_OUT])
            ended(world, move)
            ends[move.target] += 1
            if number % 40 == 39:
                read = eventually(partial(read_beyond, world, read), 20_000)
                rollers[0].kill()
                rollers[0].wait()
                rollers = [*rollers[1:], subprocess.Popen(command, cwd=ROOT)]
    finally:
        for roller in rollers:
            roller.kill()
            roller.wait()
    rolled = roll_up_all(world)
    assert (rolled.behind, rolled.lost) == (0, 0)
    for window_name in ("1h", "24h", "7d", "30d"):
        found = counted_by_window(world, window_name, "status")
        assert {name: group.count for name, group in found.items()} == ends
        for group_by, name in (("agent", "ant"), ("task_type", "t"), ("project", "default")):
            group = counted_by_window(world, window_name, group_by)[name]
            assert (group.completed, group.failed) == (ends["completed"], ends["failed"])
            assert (group.cancelled, group.timed_out) == (ends["cancelled"], ends["timed_out"])


def read_beyond(world: World, read: int) -> int:
    """How many events are rolled up, which must be more than `read`."""
    now = int(world.ledger.client.hget(world.ledger.keys.of("rolled"), "read") or 0)
    assert now > read
    return now


def test_what_was_retried_before_it_was_rolled_up_is_counted_with_each_of_its_ends(world: World) -> None:
    world.open_agent()
    execution_id = ended(world, FAIL)
    world.run(operations.retry(execution_id, "request", "{}", {}))
    world.settle(world.running(execution_id), Settlement(COMPLETE))
    roll_up_all(world, most=2)
    found = groups(world, "task_type")["t"]
    assert (found.count, found.failed, found.completed, found.success_rate) == (2, 1, 1, 0.5)


def test_percentiles_are_within_the_bound_of_the_exact_ones(world: World) -> None:
    """Records as the scripts write them, with spans over six orders of magnitude."""
    chance = random.Random(11)
    client = world.ledger.client
    seconds, _ = client.time()
    end = seconds * 1000
    waits, runs = [], []
    pipeline = client.pipeline(transaction=False)
    for number in range(1500):
        wait, run = (round(10 ** chance.uniform(0, 6)) for _ in range(2))
        waits.append(wait)
        runs.append(run)
        instants = {"created": end - run - wait, "started": end - run, "completed": end}
        kept = {f"event:{n}": f"{at}-{n} execution.{what} {{}}" for n, (what, at) in enumerate(instants.items(), 1)}
        pipeline.hset(world.ledger.keys.of("execution", f"e{number}"), mapping={"task_type": "t", **kept})
        event = {"seq": 3, "type": "execution.completed", "project_id": "default", "task_id": ""}
        event |= {"execution_id": f"e{number}", "agent_id": "ant", "source": "agent:ant", "data": "{}"}
        pipeline.xadd(world.ledger.keys.of("events"), event, id=f"{end}-{number + 1}")
    pipeline.execute()
    roll_up_all(world)
    found = groups(world, "task_type")["t"]
    assert found.count == 1500
    for exact, told in ((waits, found.waiting_ms), (runs, found.running_ms)):
        for fraction, value in ((0.5, told.p50), (0.9, told.p90), (0.99, told.p99)):
            wanted = sorted(exact)[math.ceil(fraction * len(exact)) - 1]
            assert value is not None
            assert abs(value - wanted) <= ERROR_BOUND * wanted
    assert found.mean_waiting_ms == pytest.approx(sum(waits) / 1500)


@pytest.mark.parametrize("pauses", ["waiting", "in place", "never"])
def test_the_script_measures_what_the_service_measures(world: World, pauses: str) -> None:
    """The spans of an execution with two attempts, in Lua and in Python."""
    world.open_agent()
    execution_id = world.submit("t", PLAIN)
    assert execution_id is not None
    attempt = world.running(execution_id)
    time.sleep(0.03)  # the span that is measured, not a wait for anything
    world.settle(attempt, Settlement(POSTPONE))
    if pauses == "waiting":
        world.run(operations.pause(execution_id, "pause", "", "{}"))
        world.run(operations.resume(execution_id, "resume", "{}", {}))
    attempt = world.running(execution_id)
    if pauses == "in place":
        world.run(operations.pause(execution_id, "pause", "", "{}"))
        world.run(operations.freeze(attempt.held, json.dumps({"in_place": True})))
        time.sleep(0.03)
        world.run(operations.resume(execution_id, "resume", "{}", {}))
    world.settle(attempt, Settlement(COMPLETE))
    roll_up_all(world)
    (spans,) = lives_of(history_entries(world.snapshot().executions[execution_id]), now_ms=0)
    assert spans.running_ms is not None
    assert spans.running_ms >= 30
    counted = world.snapshot().families["counted"]
    (said,) = [json.loads(each) for name, all in counted.items() if name.endswith(":project") for each in all]
    assert said["names"]["default"] == {
        "completed": 1,
        "waited_ms": spans.waiting_ms,
        f"waited.{bucket_of(spans.waiting_ms)}": 1,
        "ran_ms": spans.running_ms,
        f"ran.{bucket_of(spans.running_ms)}": 1,
    }


def test_events_that_were_trimmed_away_unread_are_told(world: World, valkey_url: str) -> None:
    world.open_agent()
    ended(world)
    roll_up_all(world)
    for _ in range(5):
        ended(world)
    client, events = world.ledger.client, world.ledger.keys.of("events")
    client.xtrim(events, maxlen=4, approximate=False)
    rolled = world.run(operations.roll_up(100, HOUR_MS))
    assert (rolled.read, rolled.behind, rolled.lost) == (4, 0, 16)
    found = window(world, valkey_url, "status")
    assert found.lost == 16
    assert sum(group.count for group in found.groups) == 2


def test_forgetting_keeps_events_that_are_still_to_be_rolled_up_up_to_as_many_again(world: World) -> None:
    client, events = world.ledger.client, world.ledger.keys.of("events")
    world.open_agent()
    roll_up_all(world)
    for number in range(1200):  # a stream is trimmed by whole nodes of 100 entries
        world.run(operations.put_task(f"task{number}", "create", "task.created", "{}", "default", {"title": "a"}))
    before = client.xlen(events)
    world.run(operations.forget(RETENTION_MS, 10, before // 2 + 1))
    assert client.xlen(events) == before
    roll_up_all(world, most=10_000)
    world.run(operations.forget(RETENTION_MS, 10, before // 2))
    assert client.xlen(events) < before * 3 // 4


def test_a_busy_agent_has_a_utilisation(world: World) -> None:
    world.open_agent(max_concurrent=2)
    execution_id = world.submit("t", PLAIN)
    assert execution_id is not None
    world.running(execution_id)

    def sampled() -> None:
        world.run(operations.roll_up(100, HOUR_MS))
        assert "ant" in groups(world, "agent")

    eventually(sampled)
    assert groups(world, "agent")["ant"].utilisation == pytest.approx(0.5)


def test_a_backlog_is_rolled_up_by_one_tick(world: World) -> None:
    world.open_agent()
    for _ in range(20):
        ended(world)
    Roller(world.ledger).roll_up()
    assert groups(world, "project")["default"].count == 20


def test_a_window_counts_up_to_now(world: World, valkey_url: str) -> None:
    world.open_agent()
    ended(world)
    ended(world, FAIL)
    for name in WINDOWS:
        found = window(world, valkey_url, "task_type", name)
        (group,) = found.groups
        assert (group.key, group.count, group.completed, group.failed, found.behind) == ("t", 2, 1, 1, 0)
        assert group.throughput_per_minute > 0


def test_a_window_that_is_not_offered_is_refused(world: World, valkey_url: str) -> None:
    with pytest.raises(InvalidRequest, match="window is one of 5m, 1h, 24h, 7d, 30d"):
        window(world, valkey_url, "agent", "2h")
