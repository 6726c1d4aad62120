"""What holds of agents after every step: what they suit, which of them are offered to whom, who sleeps and wakes."""

from __future__ import annotations

from collections.abc import Iterator

from mindswarm_exec.models.options import DemandClass
from mindswarm_exec.selection import Candidate, is_free, reaches, score, suits
from mindswarm_exec.settings import Settings
from tests.ledger.model import Model
from tests.ledger.snapshot import Record, Snapshot

#: A packed score is whole hundredths of points × 2^35 + how long unused.
LRU = 2**35


def check_agents(snapshot: Snapshot, model: Model, settings: Settings) -> None:
    check_agents_suit_what_they_are_given(snapshot, model)
    check_classes(snapshot, model)
    check_available(snapshot, model, settings)
    check_work_conserving(snapshot, model)
    check_awake_and_asleep(snapshot, model)
    check_nothing_waits_for_sleepers_only(snapshot, model)
    check_sleep_events(snapshot, model)


def candidates(snapshot: Snapshot, model: Model) -> Iterator[Candidate]:
    """The registered agents as `selection` sees them."""
    for agent_id, record in snapshot.agents.items():
        profile = model.agents[agent_id].profile
        yield Candidate(
            agent_id=agent_id,
            task_types=frozenset(profile["task_types"]),
            capabilities=frozenset(profile["capabilities"]),
            labels=profile["labels"],
            max_concurrent=int(record["max_concurrent"]),
            load=len(snapshot.held(agent_id)),
            accepts_work=record["accepts_work"] == "1",
            last_used=int(record.get("last_used", 0)),
            success_rates={
                task_type: float(rate) for task_type, rate in snapshot.families["success"].get(agent_id, {}).items()
            },
        )


def check_agents_suit_what_they_are_given(snapshot: Snapshot, model: Model) -> None:
    """An attempt begins on an agent that meets the demand. Later its name may pass to a process that does not."""
    agents = {agent.agent_id: agent for agent in candidates(snapshot, model)}
    for attempt in model.attempts.values():
        if attempt.is_new and snapshot.is_live(attempt.execution_id, attempt.nonce):
            demand = model.demands[snapshot.executions[attempt.execution_id]["class_id"]]
            assert suits(demand, agents[attempt.agent_id]), f"{attempt.agent_id} was given {demand}"
        attempt.is_new = False


def check_classes(snapshot: Snapshot, model: Model) -> None:
    """Each class knows the registered agents that meet its demand, and each agent its classes."""
    classes = set(snapshot.only("classes"))
    assert set(snapshot.families["class"]) == classes
    agents = list(candidates(snapshot, model))
    met = {id: {agent.agent_id for agent in agents if suits(model.demands[id], agent)} for id in classes}
    assert snapshot.families["suitable"] == {class_id: names for class_id, names in met.items() if names}
    served: dict[str, set[str]] = {}
    for class_id, names in met.items():
        for name in names:
            served.setdefault(name, set()).add(class_id)
    assert snapshot.families["serves"] == served


def check_available(snapshot: Snapshot, model: Model, settings: Settings) -> None:
    """A class offers exactly its suitable free agents, each under its present score."""
    agents = list(candidates(snapshot, model))
    for class_id in snapshot.only("classes"):
        demand = model.demands[class_id]
        offered = {a.agent_id: packed(a, demand, settings) for a in agents if suits(demand, a) and is_free(demand, a)}
        assert snapshot.families["available"].get(class_id, {}) == offered, class_id


def packed(agent: Candidate, demand: DemandClass, settings: Settings) -> int:
    points = score(agent, demand.task_type, has_affinity=False, settings=settings).total
    return int(points * 100 + 0.5) * LRU + (LRU - 1 - agent.last_used)


def check_work_conserving(snapshot: Snapshot, model: Model) -> None:
    """No execution waits in a lane while a suitable awake agent has a free slot."""
    agents = list(candidates(snapshot, model))
    for class_id, lane in snapshot.families["lane"].items():
        demand = model.demands[class_id]
        idle = [agent.agent_id for agent in agents if suits(demand, agent) and is_free(demand, agent)]
        assert not idle, f"{list(lane)} wait for {class_id} while {idle} could take them"


def is_up(record: Record) -> bool:
    """Whether the agent takes work, now or when it has opened."""
    return record["state"] in ("awake", "waking")


def can_be_woken(record: Record) -> bool:
    return record["state"] == "sleeping" and "passed_over" not in record


def check_awake_and_asleep(snapshot: Snapshot, model: Model) -> None:
    """Each class knows which of its suitable agents are awake or waking, and which of them work may wake, by rank.

    Only who is awake takes work, and whoever is waking is waited for until a deadline.
    """
    agents = list(candidates(snapshot, model))
    for class_id in snapshot.only("classes"):
        demand = model.demands[class_id]
        suitable = {agent.agent_id: agent for agent in agents if suits(demand, agent)}
        up = {name for name in suitable if is_up(snapshot.agents[name])}
        assert snapshot.families["awake"].get(class_id, set()) == up, class_id
        ranks = {name: rest(agent, demand) for name, agent in suitable.items() if can_be_woken(snapshot.agents[name])}
        assert snapshot.families["asleep"].get(class_id, {}) == ranks, class_id
    for record in snapshot.agents.values():
        assert record["accepts_work"] == "0" or record["state"] == "awake"
    watched = {name.partition(":")[2] for name in snapshot.only("deadlines") if name.startswith("waking:")}
    assert watched == {name for name, record in snapshot.agents.items() if record["state"] == "waking"}


def rest(agent: Candidate, demand: DemandClass) -> int:
    """A sleeper's rank: its success rate in millionths × 2^33 + how long unused."""
    return int(agent.success_rate(demand.task_type) * 1e6 + 0.5) * 2**33 + (2**33 - 1 - agent.last_used)


def check_nothing_waits_for_sleepers_only(snapshot: Snapshot, model: Model) -> None:
    """Where work waits that no awake agent serves, one that could be woken is waking already."""
    agents = list(candidates(snapshot, model))
    for class_id, lane in snapshot.families["lane"].items():
        demand = model.demands[class_id]
        fit = [snapshot.agents[agent.agent_id] for agent in agents if suits(demand, agent) and reaches(demand, agent)]
        assert any(map(is_up, fit)) or not any(map(can_be_woken, fit)), f"{list(lane)} wait for sleepers only"


def check_sleep_events(snapshot: Snapshot, model: Model) -> None:
    """An agent that went to sleep is said to do so once, until it is said to be woken or starts anew."""
    for agent_id, types in model.agent_events.items():
        slept = False
        for event_type in types:
            assert event_type != "agent.sleeping" or not slept, types
            slept = event_type == "agent.sleeping" or (slept and event_type not in ENDS_OF_SLEEP)
        assert slept == ("slept" in snapshot.agents.get(agent_id, {})), types


ENDS_OF_SLEEP = ("agent.woken", "agent.registered", "agent.offline")
