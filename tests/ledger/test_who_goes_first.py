"""What an explanation says of the others that wait, and of the time that it has waited itself."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mindswarm_exec.ledger.operations import Settlement
from mindswarm_exec.lifecycle import COMPLETE, TERMINAL
from mindswarm_exec.models.explanations import Explanation
from mindswarm_exec.models.options import AgentSelectionCriteria, ExecutionOptions
from mindswarm_exec.selection import reaches, suits
from mindswarm_exec.service.submission import start_operation
from mindswarm_exec.service.waited import moves_of
from tests.ledger.explained import Explained, explain, worlds
from tests.ledger.invariants_of_agents import candidates

thorough = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
ENDS = {f"execution.{status}" for status in TERMINAL}
MANY = 10_000


@pytest.fixture(autouse=True)
def _empty(explained: Explained) -> None:
    empty(explained)


def empty(on: Explained) -> None:
    on.world._clear()
    on.world.model = type(on.world.model)()


def needing(number: int, priority: int = 5) -> ExecutionOptions:
    """Work of a lane of its own that any agent can do."""
    excluded = frozenset({f"nobody-{number}"} if number else ())
    return ExecutionOptions(priority=priority, agent=AgentSelectionCriteria(excluded_agents=excluded))


def place_of(told: Explanation) -> int:
    assert told.lane is not None
    assert told.lane.ahead_elsewhere is not None
    return told.lane.ahead + told.lane.ahead_elsewhere


# --- lanes -----------------------------------------------------------------------------------------------


@thorough
@given(drawn=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), min_size=2, max_size=10))
def test_those_that_are_told_to_go_first_do(explained: Explained, drawn: list[tuple[int, int]]) -> None:
    world = explained.world
    empty(explained)
    world.open_agent("a-1", 1)
    running = world.running(str(world.submit("t", ExecutionOptions())))
    waiting = []
    for lane, priority in drawn:
        world.advance(0.002)  # of those submitted within one millisecond, in two lanes, either may go first
        waiting.append(str(world.submit("t", needing(lane, priority))))
    told = {one: explain(explained, one) for one in waiting}
    order = []
    for _ in waiting:
        world.settle(running, Settlement(COMPLETE, slot="wake"))
        (next_one,) = (one for one in waiting if one not in order and world.snapshot().status_of(one) == "queued")
        order.append(next_one)
        running = world.running(next_one)
    assert [place_of(told[one]) for one in order] == list(range(len(order)))
    for place, one in enumerate(order):
        lane = told[one].lane
        assert lane is not None
        assert lane.just_ahead == tuple(order[max(0, place - 5) : place])


@thorough
@given(drawn=worlds)
def test_what_is_counted_in_other_lanes_is_what_an_agent_of_both_would_take_first(
    explained: Explained, drawn: dict[str, Any]
) -> None:
    empty(explained)
    explained.build(drawn)
    found, model = explained.world.snapshot(), explained.world.model
    everyone = list(candidates(found, model))
    up = {name for name, record in found.agents.items() if record["state"] in ("awake", "waking")}
    ranks = {one: (name, rank) for name, lane in found.families["lane"].items() for one, rank in lane.items()}
    for one, (name, rank) in ranks.items():
        mine = model.demands[name]
        own = [agent for agent in everyone if suits(mine, agent)]
        own = [agent for agent in own if agent.agent_id in up] or own
        shared = {
            other: any(suits(demand, agent) and reaches(demand, agent) for agent in own if reaches(mine, agent))
            for other, demand in model.demands.items()
        }
        expected = sum(shared[other] and r < rank for other, r in ranks.values() if other != name)
        told = explain(explained, one).lane
        assert told is not None
        assert told.ahead_elsewhere == expected


def test_work_for_other_agents_is_not_ahead(explained: Explained) -> None:
    world = explained.world
    for agent_id, task_types in (("a-1", ["t"]), ("a-2", ["u"])):
        world.open_agent(agent_id, 1, task_types=task_types)
    submitted = [str(world.submit(task_type, ExecutionOptions())) for task_type in ("t", "u", "u", "u", "t")]
    assert place_of(explain(explained, submitted[-1])) == 0
    world.open_agent("a-3", 1, task_types=["t", "u"], capabilities=["gpu"])  # it takes the first of both lanes
    last = str(world.submit("t", ExecutionOptions()))
    assert place_of(explain(explained, last)) == 2


def test_the_position_is_right_among_ten_thousand_in_several_lanes(explained: Explained) -> None:
    world, random_ = explained.world, random.Random(7)
    world.open_agent("a-1", 1)
    world.open_agent("a-2", 1, capabilities=["gpu"])
    for _ in range(2):
        world.submit("t", ExecutionOptions())
    for first in range(0, MANY, 1000):
        world.ledger.run_many([
            start_operation(f"00000000-0000-7000-9000-{number:012x}", "t", "{}",
                            needing(random_.randrange(6), random_.randrange(10)), project_id="default")
            for number in range(first, first + 1000)
        ])  # fmt: skip
    lanes = world.snapshot().families["lane"]
    ranks = {one: (rank, name) for name, lane in lanes.items() for one, rank in lane.items()}
    for one in random_.sample(sorted(ranks), 20):
        rank, name = ranks[one]
        told = explain(explained, one).lane
        assert told is not None
        own = [(other_rank, other) for other, other_rank in lanes[name].items()]
        assert (told.ahead, told.length) == (sorted(own).index((rank, one)), len(own))
        assert told.ahead_elsewhere == sum(r < rank for r, other_name in ranks.values() if other_name != name)
        nearest = sorted((r, other) for other, (r, n) in ranks.items() if (r, other) < (rank, one))[-5:]
        if rank not in [r for r, _ in nearest]:  # of equal ranks in two lanes either may go first
            assert list(told.just_ahead) == [other for _, other in nearest]


# --- time ------------------------------------------------------------------------------------------------


@thorough
@given(drawn=worlds)
def test_the_milliseconds_by_cause_add_up_to_the_time_it_neither_ran_nor_had_ended(
    explained: Explained, drawn: dict[str, Any]
) -> None:
    empty(explained)
    explained.build(drawn)
    explained.world.advance(7)
    for execution_id, record in explained.world.snapshot().executions.items():
        told = explain(explained, execution_id)
        moves, now_ms = moves_of(record), round(told.as_of.timestamp() * 1000)
        ends = [move.at_ms for move in moves[1:]] + [now_ms]
        waited, waits = 0, True
        for move, ended_ms in zip(moves, ends, strict=True):
            waits = waits_after(move.event_type, move.data, waits)
            waited += ended_ms - move.at_ms if waits else 0
        assert sum(told.waited_ms.values()) == waited, told


def waits_after(event_type: str, data: dict[str, Any], waits: bool) -> bool:
    """Whether an execution waits after an event, as the state machine has it."""
    if event_type in ENDS or event_type == "execution.started":
        return False
    if event_type in ("execution.pause_requested", "execution.cancel_requested", "execution.budget"):
        return waits
    return not data.get("in_place", False)


# --- looking ---------------------------------------------------------------------------------------------


def test_an_explanation_writes_nothing(explained: Explained) -> None:
    world = explained.world
    world.open_agent("a-1", 1)
    options = ExecutionOptions(
        concurrency_key="k", concurrency_limit=2, agent=AgentSelectionCriteria(affinity_key="x")
    )
    submitted = [str(world.submit("t", options)) for _ in range(4)]
    before = explained.save().keys
    for execution_id in submitted:
        explain(explained, execution_id)
    assert explained.save().keys == before
