"""The scripts choose as `selection` says: random agents, random wishes, the same agent by both."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mindswarm_exec.lifecycle import PENDING
from mindswarm_exec.models.options import AgentSelectionCriteria, Constraint, DemandClass, ExecutionOptions
from mindswarm_exec.selection import Candidate, choose, choose_sleeper, score
from mindswarm_exec.settings import Settings
from tests.ledger.invariants_of_agents import candidates, check_available, check_awake_and_asleep, check_classes
from tests.ledger.world import World

AGENTS = ("ant", "bee", "cat", "dog")
LABELS = ("mem", "region")

#: Values that are easily taken for one another, and some that are not.
values = st.sampled_from([0, 1, 2, 8, 1.0, 1.5, 8.0, -0.0, 1e300, "1", "8", "eu", "true", "", True, False])
numbers = st.sampled_from([0, 1, 2, 8, 1.0, 1.5, 8.0, -1e300])
labels = st.dictionaries(st.sampled_from(LABELS), values)
constraints = st.one_of(
    st.builds(Constraint, label=st.sampled_from(LABELS), op=st.sampled_from(["=", "!="]), value=values),
    st.builds(Constraint, label=st.sampled_from(LABELS), op=st.sampled_from([">", ">=", "<", "<="]), value=numbers),
    st.builds(
        Constraint, label=st.sampled_from(LABELS), op=st.just("in"), value=st.lists(values, max_size=3).map(tuple)
    ),
    st.builds(
        Constraint, label=st.sampled_from(LABELS), op=st.just("exists"), value=st.sampled_from([None, True, False])
    ),
)
agents = st.fixed_dictionaries(
    {
        "profile": st.fixed_dictionaries(
            {
                "task_types": st.sampled_from([["t"], ["t", "u"], ["u"]]),
                "capabilities": st.lists(st.sampled_from(["gpu", "web"]), unique=True),
                "labels": labels,
            }
        ),
        "slots": st.integers(1, 4),
        "load": st.integers(0, 4),
        "rate": st.integers(0, 100).map(lambda hundredths: hundredths / 100),
    }
)
names = st.sampled_from(AGENTS)
wishes = st.builds(
    AgentSelectionCriteria,
    preferred_agent_id=st.none() | st.none() | names,
    required_capabilities=st.frozensets(st.sampled_from(["gpu", "web"]), max_size=1),
    constraints=st.lists(constraints, max_size=2).map(tuple),
    affinity_key=st.none() | st.sampled_from(["k", "l"]),
    min_success_rate=st.none() | st.sampled_from([0.0, 0.5, 0.9]),
)


def prepare(world: World, found: list[dict[str, Any]]) -> None:
    """Open the agents and give each its load, its success rate and, by the way, its last use."""
    for agent_id, facts in zip(AGENTS, found, strict=False):
        world.ledger.client.hset(world.ledger.keys.of("success", agent_id), "t", facts["rate"])
        world.open_agent(agent_id, facts["slots"], **facts["profile"])
    for agent_id, facts in zip(AGENTS, found, strict=False):
        for _ in range(min(facts["load"], facts["slots"])):
            criteria = AgentSelectionCriteria(agent_id=agent_id, affinity_key="k")
            world.submit(facts["profile"]["task_types"][0], ExecutionOptions(agent=criteria))


def rank(agent: Candidate, last_agent_id: str | None, settings: Settings) -> tuple[int, int]:
    points = score(agent, "t", has_affinity=agent.agent_id == last_agent_id, settings=settings).total
    return round(points * 100), -agent.last_used


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(found=st.lists(agents, min_size=1, max_size=4), criteria=wishes)
def test_the_scripts_choose_the_agent_that_selection_chooses(
    valkey_url: str, found: list[dict[str, Any]], criteria: AgentSelectionCriteria
) -> None:
    world = World(valkey_url, Settings(namespace="t-selection"))
    prepare(world, found)
    before = world.snapshot()
    free = {agent.agent_id: agent for agent in candidates(before, world.model)}
    last = before.families["affinity"].get(f"default {criteria.affinity_key}")
    demand = DemandClass.of("t", criteria)
    expected = choose(demand, criteria, list(free.values()), last_agent_id=last, settings=world.settings)

    execution_id = world.submit("t", ExecutionOptions(agent=criteria))
    after = world.snapshot()
    record = after.executions[execution_id or ""]
    if expected is None:
        assert record["status"] == PENDING
    else:
        chosen = free[record["agent_id"]]
        assert expected.agent_id != criteria.preferred_agent_id or chosen == expected
        # which of several agents that were never used comes first is left open
        assert rank(chosen, last, world.settings) == rank(expected, last, world.settings)
    check_classes(after, world.model)
    check_available(after, world.model, world.settings)
    world.close()


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(found=st.lists(agents, min_size=1, max_size=4), criteria=wishes, priority=st.sampled_from([0, 9]))
def test_the_scripts_wake_the_sleeper_that_selection_chooses(
    valkey_url: str, found: list[dict[str, Any]], criteria: AgentSelectionCriteria, priority: int
) -> None:
    world = World(valkey_url, Settings(namespace="t-sleepers"))
    prepare(world, [facts | {"load": 0} for facts in found])
    for agent_id in world.model.agents:
        world.sleep(agent_id)
    before = {agent.agent_id: agent for agent in candidates(world.snapshot(), world.model)}
    expected = choose_sleeper(DemandClass.of("t", criteria), list(before.values()))
    world.submit("t", ExecutionOptions(agent=criteria, priority=priority))
    after = world.snapshot()
    woken = [before[name] for name, record in after.agents.items() if record["state"] == "waking"]
    assert [one.success_rate("t") for one in woken] == ([expected.success_rate("t")] if expected else [])
    check_awake_and_asleep(after, world.model)
    world.close()


def test_agents_of_equal_score_take_turns(world: World) -> None:
    for agent_id in AGENTS:
        world.open_agent(agent_id, 2)
    turns = [chosen_for_next(world) for _ in range(8)]
    assert sorted(turns[:4]) == sorted(AGENTS)
    assert turns[4:] == turns[:4]


def test_work_spreads_before_any_agent_gets_a_second_piece(world: World) -> None:
    for agent_id in AGENTS:
        world.open_agent(agent_id, 3)
    for pieces in (1, 2, 3):
        assert Counter(chosen_for_next(world) for _ in AGENTS) == dict.fromkeys(AGENTS, 1), pieces
    waiting = world.submit("t", ExecutionOptions())
    assert world.snapshot().status_of(waiting or "") is PENDING


def test_affinity_outweighs_free_slots_but_not_an_idle_agent(world: World) -> None:
    """With the key +8: less than the other's idle +10, more than its two free slots' +4."""
    for agent_id in ("ant", "bee"):
        world.open_agent(agent_id, 3)
    chosen = [chosen_for_next(world, AgentSelectionCriteria(affinity_key="k")) for _ in range(5)]
    one, other = chosen[:2]
    assert one != other
    assert chosen[2:] == [other, other, one]


def chosen_for_next(world: World, criteria: AgentSelectionCriteria | None = None) -> str:
    execution_id = world.submit("t", ExecutionOptions(agent=criteria or AgentSelectionCriteria()))
    return world.snapshot().executions[execution_id or ""]["agent_id"]
