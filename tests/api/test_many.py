"""cancelMany and retryMany: all that a filter admits, by every client."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from mindswarm_exec.client import ExecutionClient
from mindswarm_exec.direct import DirectClient
from mindswarm_exec.errors import InvalidRequest, UnknownAgent
from mindswarm_exec.ledger.faces import SyncLedger, connect_sync
from mindswarm_exec.models.records import BulkOutcome
from mindswarm_exec.settings import Settings
from tests.api.hand_agent import HandAgent
from tests.api.running_api import RunningApi
from tests.api.test_api_keys import KeyHolder


def counts(outcome: BulkOutcome) -> tuple[int, int, int]:
    return outcome.matched, outcome.done, outcome.refused


def ids(door: Any, **filters: Any) -> set[str]:
    return {each.execution_id for each in door.list(limit=500, **filters).executions}


def started(door: Any, count: int = 1, **params: Any) -> list[str]:
    return [door.start("code.survey", number, **params).execution_id for number in range(count)]


@pytest.fixture
def direct(settings: Settings) -> Iterator[DirectClient]:
    assert settings.redis_url is not None
    with DirectClient(settings.redis_url, settings) as client:
        yield client


def test_only_what_the_filters_admit_is_cancelled_and_brought_back(door: Any) -> None:
    chosen, others = started(door, 3, tags=["nightly"]), started(door, 2, tags=["nightly2"])
    outcome = door.cancel_many(tag="nightly", reason="enough")
    assert counts(outcome) == (3, 3, 0)
    assert (outcome.verb, outcome.dry_run, set(outcome.execution_ids)) == ("cancel", False, set(chosen))
    assert ids(door, status="cancelled") == set(chosen)
    assert ids(door, status="pending") == set(others)
    assert door.get(chosen[0]).error.message == "enough"
    assert counts(door.retry_many(tag="nightly")) == (3, 3, 0)
    assert ids(door, status="pending") == {*chosen, *others}


def test_a_dry_run_counts_and_changes_nothing(door: Any, direct: DirectClient) -> None:
    chosen = started(door, 3, project_id="red")
    before = {each: direct.get_history(each).entries for each in chosen}
    outcome = door.cancel_many(project_id="red", dry_run=True)
    assert (counts(outcome), outcome.dry_run, set(outcome.execution_ids)) == ((3, 0, 0), True, set(chosen))
    assert {each: direct.get_history(each).entries for each in chosen} == before
    door.cancel_many(project_id="red")
    ended = {each: direct.get_history(each).entries for each in chosen}
    assert counts(door.retry_many(project_id="red", dry_run=True)) == (3, 0, 0)
    assert {each: direct.get_history(each).entries for each in chosen} == ended


#: Filters, and which of three executions they admit.
ADMITTED: list[tuple[dict[str, Any], set[str]]] = [
    ({"task_type": "code.survey"}, {"a", "b"}),
    ({"task_type": "code.survey", "tag": "a"}, {"a"}),
    ({"task_type": "none"}, set()),
    ({"status": "pending"}, {"a", "b", "c"}),
    ({"status": ["paused", "pending"]}, {"a", "b", "c"}),
    ({"status": "paused"}, set()),
    ({"project_id": "red"}, {"c"}),
    ({"since": datetime.now(UTC) + timedelta(hours=1)}, set()),
    ({"until": datetime.now(UTC) + timedelta(hours=1)}, {"a", "b", "c"}),
    ({"agent_id": "coder"}, set()),
    ({"task_id": "7"}, set()),
    ({"parent_id": "00000000-0000-7000-8000-000000000000"}, set()),
]


def test_filters_are_met_together(door: Any) -> None:
    names = {
        door.start("code.survey", tags=["a"]).execution_id: "a",
        door.start("code.survey", tags=["b"]).execution_id: "b",
        door.start("other", project_id="red").execution_id: "c",
    }
    for filters, admitted in ADMITTED:
        found = door.cancel_many(dry_run=True, **filters).execution_ids
        assert {names[each] for each in found} == admitted, filters


def test_a_thousand_waiting_executions_are_cancelled_in_one_call(api: RunningApi, direct: DirectClient) -> None:
    direct.start_many("code.survey", range(1000), tags=["many"])
    kept = [handle.execution_id for handle in direct.start_many("code.survey", range(20))]
    with ExecutionClient(api.url) as client:
        began = time.process_time()
        outcome = client.cancel_many(tag="many")
        spent = time.process_time() - began  # the API runs in this process, so its work counts
        assert (counts(outcome), len(outcome.execution_ids)) == ((1000, 1000, 0), 100)
        assert spent < 1.0
        assert client.get_queue_status().by_state == dict.fromkeys(client.get_queue_status().by_state, 0) | {
            "pending": 20,
            "cancelled": 1000,
        }
        assert ids(client, status="pending") == set(kept)
        assert counts(client.retry_many(tag="many")) == (1000, 1000, 0)


def test_more_are_reached_than_a_page_of_a_listing_reads(direct: DirectClient) -> None:
    """5,000 that do not match lie before the one that does."""
    (wanted,) = started(direct, tags=["old"])
    direct.start_many("code.survey", [None] * 5100)
    assert direct.cancel_many(tag="old").execution_ids == (wanted,)
    (ended,) = direct.list(status="cancelled").executions
    assert ended.execution_id == wanted


def of_one_millisecond(settings: Settings, direct: DirectClient, count: int) -> set[str]:
    """Executions that took their status in one millisecond, as one script makes them."""
    assert settings.redis_url is not None
    handles = direct.start_many("code.survey", range(count))
    ledger = SyncLedger(connect_sync(settings.redis_url, settings), settings)
    key = ledger.keys.of("status", "pending")
    ledger.client.zadd(key, {handle.execution_id: 1_769_860_800_000 for handle in handles})
    ledger.close()
    return {handle.execution_id for handle in handles}


def test_executions_of_one_millisecond_are_all_listed_and_all_cancelled(
    settings: Settings, direct: DirectClient
) -> None:
    chosen = of_one_millisecond(settings, direct, 450)
    later = {handle.execution_id for handle in direct.start_many("code.survey", range(30))}
    listed: list[str] = []
    cursor = None
    while True:
        page = direct.list(limit=60, cursor=cursor)
        listed += [each.execution_id for each in page.executions]
        if (cursor := page.next_cursor) is None:
            break
    assert (len(listed), set(listed)) == (480, chosen | later)
    assert counts(direct.cancel_many(status="pending")) == (480, 480, 0)


def test_what_runs_is_asked_to_stop_and_with_force_fenced(door: Any, agent: HandAgent) -> None:
    (running,) = started(door, project_id="red")
    agent.begin(running)
    assert counts(door.cancel_many(agent_id="coder", reason="enough")) == (1, 1, 0)
    asked = door.get(running)
    assert (asked.status, asked.intent.kind, asked.intent.reason) == ("running", "cancel", "enough")
    assert counts(door.cancel_many(agent_id="coder", force=True)) == (1, 1, 0)
    assert door.get(running).status == "cancelled"


def test_children_are_cancelled_with_their_parents_whether_or_not_they_match(door: Any) -> None:
    (parent,) = started(door, tags=["family"])
    matching = started(door, 2, parent_id=parent, tags=["family"])
    others = started(door, 3, parent_id=parent)
    assert ids(door, parent_id=parent) == {*matching, *others}
    assert counts(door.cancel_many(tag="family")) == (3, 3, 0)
    assert ids(door, status="cancelled") == {parent, *matching, *others}
    assert {each.execution_id for each in door.get_history(parent_id=parent).executions} == {*matching, *others}
    assert door.get(others[0]).error.message == "its parent was cancelled"


def test_many_go_on_from_their_checkpoint_or_start_anew(door: Any) -> None:
    (kept,) = started(door, tags=["kept"])
    (anew,) = started(door, tags=["anew"])
    for execution_id in (kept, anew):
        door.pause(execution_id)
        door.resume(execution_id, checkpoint={"next": 5})
    door.cancel_many(status="pending")
    assert counts(door.retry_many(tag="kept")) == (1, 1, 0)
    assert counts(door.retry_many(tag="anew", start_from="start", options={"priority": 9})) == (1, 1, 0)
    assert (door.get(kept).checkpoint, door.get(kept).priority) == ({"next": 5}, 5)
    assert (door.get(anew).checkpoint, door.get(anew).priority) == (None, 9)


#: Calls that are refused, and words of the refusal.
NONSENSE: list[tuple[str, dict[str, Any], str]] = [
    ("cancel_many", {}, "name a filter.*or status to mean all of them"),
    ("retry_many", {}, "name a filter.*or status to mean all of them"),
    ("cancel_many", {"reason": "x", "force": True, "dry_run": True}, "name a filter"),
    ("cancel_many", {"status": "completed"}, "cannot cancel what is completed. Ask for pending"),
    ("cancel_many", {"status": ["pending", "failed"]}, "cannot cancel what is failed"),
    ("retry_many", {"status": "completed"}, "cannot retry what is completed. Ask for failed"),
    ("retry_many", {"status": "pending"}, "cannot retry what is pending"),
    ("cancel_many", {"status": "pendign"}, "status"),
    ("cancel_many", {"tag": "a b"}, "tag does not have the form"),
    ("cancel_many", {"tag": "x" * 200}, "tag does not have the form"),
    ("cancel_many", {"tags": "x"}, "tags is not a field"),
    ("cancel_many", {"parent_id": "7"}, "parent_id does not have the form"),
    ("retry_many", {"since": "yesterday"}, "since"),
    ("retry_many", {"status": "failed", "start_from": "middle"}, "must be 'checkpoint' or 'start'"),
    ("retry_many", {"status": "failed", "options": {"priority": 17}}, "priority must be less than"),
]


def test_nonsense_is_refused_in_a_sentence_and_changes_nothing(door: Any) -> None:
    (waiting,) = started(door)
    for verb, filters, words in NONSENSE:
        with pytest.raises(InvalidRequest, match=words):
            getattr(door, verb)(**filters)
    assert door.get(waiting).status == "pending"


def test_a_retry_of_many_on_an_agent_that_does_not_exist_changes_nothing(door: Any) -> None:
    (ended,) = started(door)
    door.cancel(ended)
    with pytest.raises(UnknownAgent):
        door.retry_many(status="cancelled", options={"agent": {"agent_id": "nobody"}})
    assert door.get(ended).status == "cancelled"


def test_what_moves_while_all_are_cancelled_ends_in_one_way(
    api: RunningApi, direct: DirectClient, agent: HandAgent
) -> None:
    """Some complete while one call cancels all: each is done or refused, and no slot stays taken."""
    with ExecutionClient(api.url) as client:
        handles = direct.start_many("code.survey", range(300))
        attempts = [agent.begin(handle.execution_id) for handle in handles[:50]]

        def complete() -> int:
            return sum(agent.completes(attempt) for attempt in attempts)

        with ThreadPoolExecutor(2) as pool:
            completing, cancelling = pool.submit(complete), pool.submit(client.cancel_many, task_type="code.survey")
            completed, outcome = completing.result(30), cancelling.result(30)
        assert outcome.done + outcome.refused == outcome.matched
        assert ids(client, status="completed") == {a.execution_id for a in attempts} - ids(client, status="cancelled")
        assert len(ids(client, status="completed")) == completed
        assert ids(client, status=["pending", "queued", "running"]) == set()
        assert client.agent("coder").load == 0


# --- keys ------------------------------------------------------------------------------------------------


def by_project(api: RunningApi, status: str) -> dict[str, int]:
    admin = KeyHolder(api, "*")
    found = admin.call("execution.list", status=status)["result"]["executions"]
    return {name: sum(each["project_id"] == name for each in found) for name in ("red", "blue")}


def test_a_key_of_one_project_touches_only_that(guarded_api: RunningApi) -> None:
    red, blue = KeyHolder(guarded_api, "red"), KeyHolder(guarded_api, "blue")
    for holder in (red, red, blue):
        holder.call("execution.start", task_type="a")
    assert red.code("execution.cancelMany", status="pending", project_id="blue") == "forbidden"
    assert red.code("execution.cancelMany") == "invalid_request", "its project is no filter that it named"
    assert red.call("execution.cancelMany", status="pending")["result"]["matched"] == 2
    assert by_project(guarded_api, "cancelled") == {"red": 2, "blue": 0}
    assert blue.call("execution.retryMany", status="cancelled")["result"]["matched"] == 0
    assert blue.code("execution.retryMany", project_id="red") == "forbidden"
    assert red.call("execution.retryMany", project_id="red")["result"]["done"] == 2


def test_a_key_of_several_projects_names_the_one_it_means(guarded_api: RunningApi) -> None:
    both = KeyHolder(guarded_api, "red", "blue")
    error = both.call("execution.cancelMany", status="pending")["error"]
    assert (error["data"]["field"], error["data"]["allowed"]) == ("project_id", ["blue", "red"])
    assert both.call("execution.cancelMany", project_id="blue")["result"]["matched"] == 0


def test_a_parent_in_another_project_does_not_exist_for_a_key(guarded_api: RunningApi) -> None:
    red, blue = KeyHolder(guarded_api, "red"), KeyHolder(guarded_api, "blue")
    parent_id = red.call("execution.start", task_type="a")["result"]["execution_id"]
    assert blue.code("execution.start", task_type="a", parent_id=parent_id) == "unknown_execution"
    assert blue.call("execution.list", parent_id=parent_id)["result"]["executions"] == []
    child = red.call("execution.start", task_type="a", parent_id=parent_id)["result"]
    assert child["parent_id"] == parent_id


# --- the wire --------------------------------------------------------------------------------------------


def call(url: str, method: str, params: dict[str, Any] | Sequence[Any]) -> Any:
    request = {"jsonrpc": "2.0", "id": 1, "method": f"mindswarm.execution.{method}", "params": params}
    return httpx.post(f"{url}/rpc", json=request).json()


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("cancelMany", {"status": []}, "status"),
    ("cancelMany", {"status": {"pending": True}}, "status"),
    ("cancelMany", {"status": "pending", "force": "perhaps"}, "force"),
    ("cancelMany", {"status": "pending", "reason": "x" * 1001}, "reason"),
    ("cancelMany", {"status": "pending", "dry_run": "perhaps"}, "dry_run"),
    ("cancelMany", {"status": "pending", "from": "start"}, "from is not a field"),
    ("retryMany", {"status": "failed", "from": 3}, "from must be 'checkpoint' or 'start'"),
    ("retryMany", {"status": "failed", "start_from": "start"}, "the fields are status"),
    ("retryMany", {"status": "failed", "options": "none"}, "options"),
    ("list", {"tag": "\x00"}, "tag does not have the form"),
    ("list", {"parent_id": "x"}, "parent_id does not have the form"),
    ("getHistory", {"tag": ["a"]}, "tag"),
]


def test_params_that_do_not_fit_are_refused(api: RunningApi) -> None:
    for method, params, words in REFUSED:
        error = call(api.url, method, params)["error"]
        assert error["code"] == -32602
        assert words in error["message"], error["message"]


def test_listings_take_several_states(api: RunningApi) -> None:
    with ExecutionClient(api.url) as client:
        (one, two) = started(client, 2)
        client.pause(one)
        assert ids(client, status=["pending", "paused"]) == {one, two}
        assert ids(client, status="paused") == {one}
