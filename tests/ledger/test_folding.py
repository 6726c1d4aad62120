"""Sums over any window are those of the ends in it: whoever adds up, in whatever order, wherever it is killed."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import pytest

from mindswarm_exec.ledger import operations
from mindswarm_exec.ledger.plans import Plan, carry_out
from mindswarm_exec.ledger.replies import Rolled
from mindswarm_exec.service.folding import PERIODS_MS, WINDOWS, Folder, covering, fold_all
from mindswarm_exec.service.rollups import add_up, add_up_minute
from mindswarm_exec.service.sums import Sum
from tests.ledger.world import World

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
STATUSES = ("completed", "completed", "failed", "cancelled")
#: Minutes are forgotten soon after they are counted; what is folded must not need them.
KEPT_MS = 26 * HOUR_MS


@dataclass
class End:
    at_ms: int
    agent: str
    status: str
    waited_ms: int


class Ends:
    """Executions that end on a clock of the test, and what windows over them must say."""

    def __init__(self, world: World, begin_ms: int) -> None:
        self.world = world
        self.at_ms = begin_ms
        self.all: list[End] = []
        self._chance = random.Random(3)
        self._ids = 0

    def end(self, later_ms: int) -> None:
        """One more, so much later than the latest."""
        self.at_ms += later_ms
        chance, client, keys = self._chance, self.world.ledger.client, self.world.ledger.keys
        one = End(self.at_ms, chance.choice("abc"), chance.choice(STATUSES), round(10 ** chance.uniform(0, 6)))
        self.all.append(one)
        self._ids += 1
        kept = {
            "event:1": f"{self.at_ms - one.waited_ms}-0 execution.created {{}}",
            "event:2": f"{self.at_ms}-0 execution.{one.status} {{}}",
        }
        client.hset(keys.of("execution", f"e{self._ids}"), mapping={"task_type": "t", **kept})
        event = {"seq": 2, "type": f"execution.{one.status}", "project_id": "default", "task_id": ""}
        event |= {"execution_id": f"e{self._ids}", "agent_id": one.agent, "source": "s", "data": "{}"}
        client.xadd(keys.of("events"), event, id=f"{self.at_ms}-{self._ids}")

    def rolled(self) -> Rolled:
        """Count them; the clock stands where the latest has ended."""
        rolled: Rolled = self.world.run(operations.roll_up(7, KEPT_MS))
        while rolled.behind:
            rolled = self.world.run(operations.roll_up(7, KEPT_MS))
        return replace(rolled, now_ms=self.at_ms)

    def wanted(self, name: str, now_ms: int) -> Counter[tuple[str, str]]:
        since_ms = WINDOWS[name].since_ms(now_ms)
        return Counter((one.agent, one.status) for one in self.all if one.at_ms >= since_ms)


def partly(world: World, plan: Plan[Any], rounds: int) -> None:
    """Carry out the first round trips of a plan, as one that is killed between two of them."""
    asked = next(plan, None)
    while asked is not None and rounds:
        try:
            asked = plan.send(world.ledger.run_many(asked) if asked else [])
        except StopIteration:
            return
        rounds -= 1
    plan.close()


def said(found: Sum) -> Counter[tuple[str, str]]:
    amounts = {
        (name, status): number for name, one in found.tallies.items() for status, number in one.amounts.items()
    }
    return Counter({key: number for key, number in amounts.items() if not key[1].endswith("_ms")})


@pytest.fixture
def ends(world: World) -> Ends:
    seconds, _ = world.ledger.client.time()
    return Ends(world, seconds * 1000 + DAY_MS)  # ahead, so that nothing is forgotten before its time


#: How much later the next execution ends: within the minute, the hour, the day; or after a pause.
STEPS_MS = (300, 300, 300, 40_000, 40_000, 20 * MINUTE_MS, 5 * HOUR_MS, 3 * DAY_MS)


@pytest.mark.parametrize("seed", range(12))
def test_every_window_counts_what_ended_in_it_whoever_adds_up_and_dies(ends: Ends, world: World, seed: int) -> None:
    """Looks, folds and ticks, each of which may be killed after any round trip, over weeks of ends."""
    chance = random.Random(seed)
    while len(ends.all) < 250:
        for _ in range(chance.choice((1, 1, 3, 20))):
            ends.end(chance.choice(STEPS_MS))
        rolled = ends.rolled()
        plans: list[Plan[Any]] = [
            fold_all(rolled, world.settings),
            add_up(rolled, world.settings),
            add_up_minute(rolled, world.settings),
            *(Folder("agent", rolled, world.settings).window(name) for name in WINDOWS),
        ]
        for plan in chance.choices(plans, k=2):
            partly(world, plan, chance.choice((0, 1, 2, 3, 5, 8, 1000)))
        for name in chance.sample(sorted(WINDOWS), 2):
            found = carry_out(world.ledger, Folder("agent", rolled, world.settings).window(name))
            assert found is not None
            assert said(found) == ends.wanted(name, rolled.now_ms), name


def test_a_look_that_was_overtaken_is_told_so_and_never_counts_twice(ends: Ends, world: World) -> None:
    """It rolled up, then others counted on and added up, before it reads."""
    for _ in range(5):
        ends.end(20_000)
    late = ends.rolled()
    for step in (2 * MINUTE_MS, HOUR_MS, DAY_MS):
        ends.end(step)
        now = ends.rolled()
        carry_out(world.ledger, add_up(now, world.settings))
        for name in WINDOWS:
            overtaken = carry_out(world.ledger, Folder("agent", late, world.settings).window(name))
            assert overtaken is None or said(overtaken) <= ends.wanted(name, late.now_ms)
            found = carry_out(world.ledger, Folder("agent", now, world.settings).window(name))
            assert found is not None
            assert said(found) == ends.wanted(name, now.now_ms)


def test_one_that_was_halted_does_not_bring_back_an_earlier_sum(world: World) -> None:
    further, earlier = (
        operations.keep_sum("hour:0:agent", 0, upto, text, 10**13) for upto, text in ((9, "b"), (5, "a"))
    )
    assert world.run(further)
    assert not world.run(earlier)
    assert world.snapshot().families["summed"]["hour:0:agent"]["sums"] == "b"


def test_what_was_counted_is_not_needed_once_it_is_added_up(ends: Ends, world: World) -> None:
    for _ in range(30):
        ends.end(10 * MINUTE_MS)
    ends.end(DAY_MS)
    rolled = ends.rolled()
    carry_out(world.ledger, fold_all(rolled, world.settings))
    names = world.ledger.client.keys(world.ledger.keys.of("counted", "*"))
    world.ledger.client.unlink(*[name for name in names if int(name.split(":")[-2]) < rolled.minute_ms])
    for name in WINDOWS:
        found = carry_out(world.ledger, Folder("agent", rolled, world.settings).window(name))
        assert found is not None
        assert said(found) == ends.wanted(name, rolled.now_ms)


def test_a_clock_that_is_put_back_changes_nothing_that_was_told(ends: Ends, world: World) -> None:
    """The stream goes on with ids of its latest millisecond; what ends now is counted into the open minute."""
    ends.end(0)  # it was a day ahead
    ahead = world.run(operations.roll_up(100, KEPT_MS))
    carry_out(world.ledger, add_up(ahead, world.settings))
    ends.end(0)
    back = world.run(operations.roll_up(100, KEPT_MS))
    assert (back.minute_ms, back.now_ms >= back.minute_ms) == (ahead.minute_ms, True)
    world.ledger.client.hset(world.ledger.keys.of("rolled"), "minute_ms", ahead.minute_ms + HOUR_MS)
    ends.end(0)
    later = world.run(operations.roll_up(100, KEPT_MS))
    assert later.minute_ms == ahead.minute_ms + HOUR_MS
    for name in WINDOWS:
        found = carry_out(world.ledger, Folder("agent", later, world.settings).window(name))
        assert found is not None
        assert said(found).total() == (1 if name == "5m" else 3)


@pytest.mark.parametrize("name", WINDOWS)
def test_the_periods_of_a_window_follow_on_each_other(name: str) -> None:
    window, now_ms = WINDOWS[name], 1_769_861_234_567
    since_ms, until_ms = window.since_ms(now_ms), now_ms // MINUTE_MS * MINUTE_MS
    assert since_ms <= now_ms - window.length_ms < since_ms + PERIODS_MS[window.edge]
    at = since_ms
    for period, start in covering(since_ms, until_ms):
        assert start == at
        assert start % PERIODS_MS[period] == 0
        at += PERIODS_MS[period]
    assert at == until_ms
