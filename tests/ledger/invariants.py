"""What holds after every step, whatever came before: the promises that the rule machine checks.

Each function takes the ledger's whole content and the model, and raises AssertionError with the promise broken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from mindswarm_exec.identifiers import attempt_id, execution_of
from mindswarm_exec.lifecycle import FREEZE, MOVES, NEWS_EVENTS, STRAND, TASK_STATUS, THAW, WATCHED, Status
from mindswarm_exec.models.options import DemandClass
from mindswarm_exec.selection import Candidate, is_free, reaches, score, suits
from mindswarm_exec.settings import Settings
from tests.ledger.invariants_of_control import check_control
from tests.ledger.model import Model, Seen
from tests.ledger.snapshot import Record, Snapshot, has_attempt

#: A packed score is whole hundredths of points × 2^35 + how long unused.
LRU = 2**35


def check_all(snapshot: Snapshot, model: Model, settings: Settings) -> None:
    check_index_by_status(snapshot, model)
    check_places(snapshot)
    check_derived_from_lanes(snapshot)
    check_load(snapshot, model)
    check_agents_suit_what_they_are_given(snapshot, model)
    check_attempts_over_stay_over(snapshot, model)
    check_permits(snapshot)
    check_permits_are_not_wasted(snapshot)
    check_classes(snapshot, model)
    check_available(snapshot, model, settings)
    check_work_conserving(snapshot, model)
    check_awake_and_asleep(snapshot, model)
    check_nothing_waits_for_sleepers_only(snapshot, model)
    check_sleep_events(snapshot, model)
    check_deadlines(snapshot)
    check_histories(snapshot, model)
    check_messages(snapshot, model)
    check_start_times(snapshot, model)
    check_tasks(snapshot)
    check_control(snapshot, model)


def check_index_by_status(snapshot: Snapshot, model: Model) -> None:
    """Every accepted execution exists and stands in exactly one index: that of its status."""
    assert set(snapshot.executions) == {id for id, known in model.executions.items() if not known.forgotten}
    by_status = {(member, status) for status, members in snapshot.families["status"].items() for member in members}
    assert by_status == {(id, record["status"]) for id, record in snapshot.executions.items()}


def check_places(snapshot: Snapshot) -> None:
    """A pending execution waits in exactly one place, the one it names; no other waits anywhere."""
    places: dict[str, list[str]] = {id: [] for id in snapshot.executions}
    for class_id, lane in snapshot.families["lane"].items():
        for id, rank in lane.items():
            places[id].append("lane")
            record = snapshot.executions[id]
            assert (record["class_id"], float(record["rank"])) == (class_id, rank)
    for key, waiting in snapshot.families["held_back"].items():
        for id in waiting:
            places[id].append("concurrency")
            assert permit_key(snapshot.executions[id]) == key
    for id, record in snapshot.executions.items():
        if record["status"] == "pending" and record.get("place") == "delay":
            assert "eligible_at_ms" in record
            places[id].append("delay")
        wanted = [record["place"]] if record["status"] == "pending" else []
        assert places[id] == wanted, (id, record["status"], places[id])
        assert record["status"] == "pending" or "place" not in record, record
        assert record["status"] not in ("pending", "queued") or "intent_kind" not in record, "a wish is not obeyed"


def check_derived_from_lanes(snapshot: Snapshot) -> None:
    """`backlog` names the classes with waiting executions, `depth` counts them by project and priority."""
    lanes = snapshot.families["lane"]
    assert set(snapshot.only("backlog")) == set(lanes)
    waiting = [snapshot.executions[id] for lane in lanes.values() for id in lane]
    counted = Counter(f"{record['project_id']} {record['priority']}" for record in waiting)
    assert {name: int(count) for name, count in snapshot.only("depth").items() if count != "0"} == counted


def check_load(snapshot: Snapshot, model: Model) -> None:
    """An agent holds its queued, running and frozen attempts and the known zombies, no more and no less.

    It holds more than its slots only where `force_start` asked for it.
    """
    expected: dict[str, Record] = {}
    for id, record in snapshot.executions.items():
        if has_attempt(record):
            expected.setdefault(record["agent_id"], {})[attempt_id(id, int(record["attempt"]))] = record["nonce"]
    for agent_id, attempt, nonce in model.zombies:
        expected.setdefault(agent_id, {})[attempt] = nonce
    assert {agent: held for agent, held in snapshot.families["held"].items() if held} == expected
    for agent_id, held in expected.items():
        forced = sum(model.executions[execution_of(attempt)].was_forced for attempt in held)
        most = model.agents[agent_id].highest_max_concurrent
        assert len(held) - forced <= most, f"{agent_id} holds {len(held)}, {forced} of them forced; {most} slots"


def check_agents_suit_what_they_are_given(snapshot: Snapshot, model: Model) -> None:
    """An attempt begins on an agent that meets the demand. Later its name may pass to a process that does not."""
    agents = {agent.agent_id: agent for agent in candidates(snapshot, model)}
    for attempt in model.attempts.values():
        if attempt.is_new and snapshot.is_live(attempt.execution_id, attempt.nonce):
            demand = model.demands[snapshot.executions[attempt.execution_id]["class_id"]]
            assert suits(demand, agents[attempt.agent_id]), f"{attempt.agent_id} was given {demand}"
        attempt.is_new = False


def check_attempts_over_stay_over(snapshot: Snapshot, model: Model) -> None:
    """A nonce that has lost its right never gets it back."""
    for attempt in model.attempts.values():
        live = snapshot.is_live(attempt.execution_id, attempt.nonce)
        assert not (attempt.over and live), attempt
        attempt.over = not live
        attempt.frozen = live and "frozen" in snapshot.executions[attempt.execution_id]


def permit_key(record: Record) -> str | None:
    key = record.get("concurrency_key")
    return key and f"{record['project_id']} {key}"


def check_permits(snapshot: Snapshot) -> None:
    """Permits are held by what has an attempt or waits in a lane under the key; never more than the limit."""
    expected: dict[str, set[str]] = {}
    for id, record in snapshot.executions.items():
        key = permit_key(record)
        if key and (has_attempt(record) or record.get("place") == "lane"):
            expected.setdefault(key, set()).add(id)
    assert snapshot.families["concurrency"] == expected
    for holders in expected.values():
        most = max(int(snapshot.executions[id]["concurrency_limit"]) for id in holders)
        assert len(holders) <= most


def check_permits_are_not_wasted(snapshot: Snapshot) -> None:
    """The best held-back execution of a key is held back because all permits of its limit are taken."""
    for key, waiting in snapshot.families["held_back"].items():
        best = min(waiting, key=lambda id: (waiting[id], id))
        taken = len(snapshot.families["concurrency"].get(key, ()))
        assert taken >= int(snapshot.executions[best]["concurrency_limit"])


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


def check_deadlines(snapshot: Snapshot) -> None:
    """The deadlines are those that are watched in each status, the earliest of each execution; leases; cascades."""
    expected: dict[str, float] = {}
    for id, record in snapshot.executions.items():
        watched = WATCHED.get(Status(record["status"]), ())
        instants = [int(record[f"{name}_at_ms"]) for name in watched if f"{name}_at_ms" in record]
        if instants:
            expected[f"execution:{id}"] = min(instants)
    found = {name: at for name, at in snapshot.only("deadlines").items() if not name.startswith("waking:")}
    for id in snapshot.families["cascade"]:
        asked = snapshot.executions.get(id, {})
        is_asked = asked.get("intent_kind") == "cancel"
        expected[f"cascade:{id}"] = float(asked["intent_requested_at_ms"]) if is_asked else found[f"cascade:{id}"]
    for agent_id, record in snapshot.agents.items():
        at = found.pop(f"agent:{agent_id}", None)
        assert at is not None, f"nobody watches the lease of {agent_id}"
        assert record["state"] == "offline" or at == float(record["lease_expires_at_ms"])
    assert found == expected


def check_histories(snapshot: Snapshot, model: Model) -> None:
    """The events of an execution are gapless from 1 and walk through MOVES to its status.

    Its record keeps the moves among them.
    """
    for id, record in snapshot.executions.items():
        events = model.executions[id].events
        assert [event.seq for event in events] == list(range(1, len(events) + 1)), events
        assert int(record["seq"]) == len(events)
        assert walk(events, model.executions[id].retries) == record["status"]
        kept = {name: value for name, value in record.items() if name.startswith("event:")}
        assert kept == {f"event:{e.seq}": f"{e.event_id} {e.event_type} {e.data}" for e in events if is_kept(e)}
    for earlier, later in pairwise(model.event_ids):
        assert earlier < later


def is_kept(event: Seen) -> bool:
    """Moves and wishes stay on the record; news of an attempt is only streamed."""
    return event.event_type not in NEWS_EVENTS or event.event_type.endswith(("_requested", ".budget"))


def walk(events: list[Seen], retries: int) -> Status | None:
    """The status at which the events end, each of them a row of MOVES. Ended executions move on by retry alone."""
    status: Status | None = None
    frozen = False
    for event in events:
        if event.event_type in NEWS_EVENTS:
            assert is_kept(event) or status is Status.RUNNING or frozen, events
            continue
        rows = [row for row in MOVES if row.event == event.event_type and (status in row.sources or status is None)]
        is_in_place = '"in_place":true' in event.data
        if event.event_type == THAW.event and is_in_place:
            rows = [THAW]
        assert rows, f"{status} was left by {event.event_type}"
        assert rows[0] not in (THAW, STRAND) or frozen, f"{rows[0].name} of what was not frozen"
        frozen = event.event_type == FREEZE.event and is_in_place
        if status is not None and status.is_terminal:
            assert rows[0].name == "retry"
            retries -= 1
        status = rows[0].target
    assert retries == 0, "a retry that was answered is missing, or one happened that nobody asked for"
    return status


def check_messages(snapshot: Snapshot, model: Model) -> None:
    """Whoever is to take up a queued attempt was named in an answer: a message could be sent."""
    for id, record in snapshot.executions.items():
        if record["status"] == "queued":
            assert (id, record["nonce"]) in model.attempts, f"no answer named the attempt of {id}"


def check_start_times(snapshot: Snapshot, model: Model) -> None:
    """Nothing is given to an agent before its start time, and no queue timeout runs before that.

    A retry asks for it to run now.
    """
    for id, record in snapshot.executions.items():
        known = model.executions[id]
        assert record.get("place") != "delay" or "queue_timeout_at_ms" not in record
        if known.options.start_at is not None and not known.retries:
            assert int(record.get("queued_at_ms", "9" * 20)) >= known.options.start_at.timestamp() * 1000 - 1


def check_tasks(snapshot: Snapshot) -> None:
    """A task is in step with its latest execution."""
    for record in snapshot.families["task"].values():
        if (latest := record.get("execution_id")) in snapshot.executions:
            assert record["status"] == TASK_STATUS[snapshot.status_of(latest)]
