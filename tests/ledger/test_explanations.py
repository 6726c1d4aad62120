"""Explanations are true: what they say is held against what the ledger does next."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from mindswarm_exec.errors import UnknownAgent
from mindswarm_exec.identifiers import new_nonce
from mindswarm_exec.ledger import operations
from mindswarm_exec.ledger.operations import Settlement
from mindswarm_exec.lifecycle import COMPLETE
from mindswarm_exec.models.explanations import AgentSketch, Explanation, SimulateRequest, Simulation
from mindswarm_exec.models.options import DemandClass, ExecutionOptions
from tests.ledger.explained import AGENTS, MEETS_ALL, Explained, agents, begin, explain, submissions, worlds

thorough = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
#: Settlements after which whoever waits for a slot or a permit must have had its turn.
ENOUGH = 40


def waiting(on: Explained) -> list[str]:
    return [id for id, record in on.world.snapshot().executions.items() if record["status"] in ("pending", "paused")]


def cause_of(on: Explained, execution_id: str) -> str | None:
    told = explain(on, execution_id).waiting
    return told and told.reason


def named_in(told: Explanation) -> list[str]:
    assert told.waiting is not None
    return re.findall(r"\ba-\d\b", told.waiting.detail)


@pytest.fixture(autouse=True)
def _empty(explained: Explained) -> None:
    explained.world._clear()


# --- what waits ------------------------------------------------------------------------------------------


@thorough
@given(drawn=worlds)
def test_whatever_waits_waits_for_the_cause_that_is_told(explained: Explained, drawn: dict[str, Any]) -> None:
    begin(explained, drawn)
    assert explained.world.run(operations.match_waiting(1000))[0] == 0, "nothing is placed while nothing is removed"
    saved = explained.save()
    for execution_id in waiting(explained):
        told = explain(explained, execution_id)
        assert told.waiting is not None
        remove(explained, told)
        after = explain(explained, execution_id)
        assert after.waiting is None or after.waiting.reason != told.waiting.reason, told
        if told.waiting.kind == "on_purpose":  # to take away another cause moves slots and agents as well
            assert causes(after) == causes(told)[1:], (told, after)
            expect_the_best_to_have_it(told, after)
        explained.restore(saved)


def expect_the_best_to_have_it(told: Explanation, after: Explanation) -> None:
    """If it starts now, then on an agent that could take it, and by its score only on the best."""
    placed = after.placement
    if after.status != "queued" or placed is None:
        return
    scores = {one.agent_id: one.score for one in told.candidates if one.score is not None}
    if placed.by in ("score", "affinity", "assigned"):
        assert placed.score == pytest.approx(scores[placed.agent_id])
        assert placed.score >= max(scores.values()) - 0.011
    assert placed.agent_id in scores or placed.by == "forced"


def causes(told: Explanation) -> list[tuple[str, str]]:
    """What it waits for and what it would wait for next."""
    return [(one.reason, one.kind) for one in (told.waiting, *(told.then or ())) if one is not None]


def remove(on: Explained, told: Explanation) -> None:
    """Take away exactly the cause that is told."""
    assert told.waiting is not None
    id, world = told.execution_id, on.world
    match told.waiting.reason:
        case "paused":
            world.run(operations.resume(id, new_nonce(), "{}", {}, checkpoint_replaced=False))
        case "budget":
            world.run(operations.resume(id, new_nonce(), "{}", {"budget:tokens": 100}, checkpoint_replaced=False))
        case "input_required":
            world.run(operations.provide_input(id, new_nonce(), "q", '"yes"', "{}"))
        case "start_at" | "retry_delay":
            world.advance(60)
            world.run(operations.admit(id))
        case "concurrency_key":
            end_holders(on, told)
        case "agents_busy":
            settle_until_it_is_served(on, told)
        case "agents_asleep":
            open_sleeper(on, told)
        case "agents_offline":
            register_again(on, named_in(told)[0])
        case "success_rate":
            raise_rates(on, told)
        case "no_such_task_type" | "no_suitable_agent":
            expect_nothing_places(on, told)
            register_what_fits(on, told)


def end_holders(on: Explained, told: Explanation) -> None:
    """End holders of its key: if it is the first in line, and as many as its limit hold, the end of one is enough."""
    record = on.world.snapshot().executions[told.execution_id]
    key, limit = f"default {record['concurrency_key']}", int(record["concurrency_limit"])
    for _ in range(ENOUGH):
        snapshot = on.world.snapshot()
        holders = snapshot.families["concurrency"].get(key, set())
        first = min(snapshot.families["held_back"][key].items(), key=lambda one: (one[1], one[0]))[0]
        on.world.run(operations.cancel(min(holders), new_nonce(), "", force=True, error="{}", data="{}"))
        served = cause_of(on, told.execution_id) != "concurrency_key"
        assert served or first != told.execution_id or len(holders) > limit, told
        if served:
            return


def settle_until_it_is_served(on: Explained, told: Explanation) -> None:
    """Settle attempts of the named agents: if it is the first for its agent, one is enough."""
    id = told.execution_id
    for turn in range(ENOUGH):
        found = explain(on, id)
        if found.waiting is None or found.waiting.reason != "agents_busy":
            return
        busy = [name for name in named_in(found) if on.held_by(name)]
        agent_id = busy[turn % len(busy)]
        view = next(one for one in found.candidates if one.agent_id == agent_id)
        assert view.ruled_out is not None
        assert view.ruled_out.startswith("is busy"), view
        attempt = on.held_by(agent_id)[0]
        must = is_first(on, id, agent_id) and view.load == view.max_concurrent
        must = must and not lets_in(on, attempt.execution_id)
        on.finish(attempt, Settlement(COMPLETE, slot="wake"))
        assert not must or cause_of(on, id) != "agents_busy", told


def is_first(on: Explained, execution_id: str, agent_id: str) -> bool:
    """Whether its rank is the lowest over all lanes that the agent serves."""
    snapshot = on.world.snapshot()
    serves = snapshot.families["serves"][agent_id]
    ranks = {
        id: rank for name, lane in snapshot.families["lane"].items() if name in serves for id, rank in lane.items()
    }
    return all(rank > ranks[execution_id] for id, rank in ranks.items() if id != execution_id)


def lets_in(on: Explained, execution_id: str) -> bool:
    """Whether its end frees a permit that others are held back for: one of them may go before those in the lanes."""
    snapshot = on.world.snapshot()
    return any(
        execution_id in holders and snapshot.families["held_back"].get(key)
        for key, holders in snapshot.families["concurrency"].items()
    )


def open_sleeper(on: Explained, told: Explanation) -> None:
    """The agent that is waking opens; if none is, one is woken by hand."""
    agent_id = named_in(told)[0]
    if on.world.state(agent_id) == "sleeping":
        on.world.wake_by_hand(agent_id)
    on.world.open_again(agent_id)


def register_again(on: Explained, agent_id: str) -> None:
    record, model = on.world.snapshot().agents[agent_id], on.world.model.agents[agent_id]
    on.world.open_agent(agent_id, int(record["max_concurrent"]), **model.profile)


def raise_rates(on: Explained, told: Explanation) -> None:
    """Every suitable agent has the best of rates; those that are awake offer it at once."""
    for one in told.candidates:
        if one.is_suitable:
            key = on.world.ledger.keys.of("success", one.agent_id)
            on.world.ledger.client.hset(key, told.task_type, 1)
            if one.state == "awake":
                on.world.open_again(one.agent_id)


def expect_nothing_places(on: Explained, told: Explanation) -> None:
    """No state, load, rate or time would help: it is never placed as things are."""
    assert told.waiting is not None
    assert told.waiting.kind == "never"
    on.world.advance(3600)
    for agent_id in on.world.model.agents:
        for task_type in ("t", "u"):
            on.world.ledger.client.hset(on.world.ledger.keys.of("success", agent_id), task_type, 1)
        register_again(on, agent_id)
        for attempt in on.held_by(agent_id):
            on.finish(attempt, Settlement(COMPLETE, slot="wake"))
    on.world.run(operations.match_waiting(1000))
    assert cause_of(on, told.execution_id) == told.waiting.reason


def register_what_fits(on: Explained, told: Explanation) -> None:
    """An agent that is what the demand asks for, with slots for all that waits."""
    record = on.world.snapshot().executions[told.execution_id]
    demand = DemandClass.model_validate_json(record.get("demand") or f'{{"task_type":"{record["task_type"]}"}}')
    profile = {"task_types": [demand.task_type], "capabilities": ["gpu", "web"], "labels": MEETS_ALL}
    on.world.open_agent(demand.agent_id or "fit", 50, **profile)


# --- simulations -----------------------------------------------------------------------------------------


@thorough
@given(drawn=worlds, wishes=submissions)
def test_a_simulation_says_what_start_then_does(
    explained: Explained, drawn: dict[str, Any], wishes: dict[str, Any]
) -> None:
    begin(explained, drawn)
    options = explained.options(wishes)
    thought = simulated(explained, SimulateRequest(task_type=wishes["task_type"], options=options))
    expect_the_same_of_start(explained, wishes["task_type"], options, thought)


@thorough
@given(drawn=worlds, wishes=submissions, one_more=agents)
def test_a_simulation_with_one_more_agent_says_what_start_does_when_it_has_opened(
    explained: Explained, drawn: dict[str, Any], wishes: dict[str, Any], one_more: dict[str, Any]
) -> None:
    begin(explained, drawn)
    options = explained.options(wishes)
    name = next((name for name in AGENTS if name not in explained.world.model.agents), "one-more")
    profile = one_more["profile"]
    sketch = AgentSketch(agent_id=name, max_concurrent=one_more["slots"], **profile)
    request = SimulateRequest(task_type=wishes["task_type"], options=options, with_agent=sketch)
    thought = simulated(explained, request)
    explained.world.open_agent(name, one_more["slots"], **profile)
    expect_the_same_of_start(explained, wishes["task_type"], options, thought)


def simulated(on: Explained, request: SimulateRequest) -> Simulation | None:
    """The simulation; nothing is written by it. None if it names an agent that is unknown."""
    before = on.save().keys
    try:
        return on.ask(on.service.simulate(request))
    except UnknownAgent:
        return None
    finally:
        assert on.save().keys == before


def expect_the_same_of_start(
    on: Explained, task_type: str, options: ExecutionOptions, thought: Simulation | None
) -> None:
    loads = {name: len(held) for name, held in on.world.snapshot().families["held"].items()}
    execution_id = on.world.submit(task_type, options)
    assert (thought is None) == (execution_id is None)
    if thought is None or execution_id is None:
        return
    told = explain(on, execution_id)
    if thought.would == "start":
        assert told.placement is not None, (thought, told)
        chosen = told.placement.agent_id
        assert told.placement.by == thought.by
        is_one_of_equals = thought.by == "forced" and loads.get(chosen, 0) == loads.get(thought.agent_id or "", 0)
        assert chosen == thought.agent_id or is_one_of_equals
        return
    assert thought.waiting is not None
    assert told.waiting is not None, (thought, told)
    assert (told.waiting.reason, told.waiting.kind) == (thought.waiting.reason, thought.waiting.kind)
    if thought.lane is not None:
        assert told.lane is not None
        assert told.lane == thought.lane.model_copy(update={"length": thought.lane.length + 1})
