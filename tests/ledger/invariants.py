"""What holds after every step, whatever came before: the promises that the rule machine checks.

Each function takes the ledger's whole content and the model, and raises AssertionError with the promise broken.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from mindswarm_exec.identifiers import attempt_id, execution_of
from mindswarm_exec.lifecycle import FREEZE, MOVES, NEWS_EVENTS, STRAND, TASK_STATUS, THAW, WATCHED, Status
from mindswarm_exec.settings import Settings
from tests.ledger.invariants_of_agents import check_agents
from tests.ledger.invariants_of_control import check_control
from tests.ledger.model import Model, Seen
from tests.ledger.snapshot import Record, Snapshot, has_attempt


def check_all(snapshot: Snapshot, model: Model, settings: Settings) -> None:
    check_index_by_status(snapshot, model)
    check_places(snapshot)
    check_derived_from_lanes(snapshot)
    check_load(snapshot, model)
    check_agents(snapshot, model, settings)
    check_attempts_over_stay_over(snapshot, model)
    check_permits(snapshot)
    check_permits_are_not_wasted(snapshot)
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
    assert {name: int(count) for name, count in snapshot.only("depth").items()} == counted
    pending = [one for one in snapshot.executions.values() if one["status"] == "pending" and one["place"] != "lane"]
    elsewhere = Counter(f"{record['project_id']} {record['place']}" for record in pending)
    assert {name: int(count) for name, count in snapshot.only("elsewhere").items()} == elsewhere


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
    expected |= {name: at for name, at in found.items() if name.startswith("relief:")}
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
