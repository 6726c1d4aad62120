"""What is told where several things hold an execution, or where what holds it is at fault itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from mindswarm_exec.identifiers import new_nonce
from mindswarm_exec.ledger import operations
from mindswarm_exec.ledger.operations import MOST_AGENTS_SEEN, Settlement
from mindswarm_exec.lifecycle import COMPLETE, PAUSE
from mindswarm_exec.models.explanations import Explanation, SimulateRequest
from mindswarm_exec.models.options import ExecutionOptions
from mindswarm_exec.models.records import WaitingFor
from mindswarm_exec.settings import Settings
from tests.ledger.explained import Explained


@pytest.fixture
def on(valkey_url: str, namespace: str) -> Iterator[Explained]:
    explained = Explained(valkey_url, Settings(namespace=namespace))
    yield explained
    explained.close()


def submit(on: Explained, task_type: str = "t", **options: Any) -> str:
    return str(on.world.submit(task_type, ExecutionOptions.model_validate(options)))


def explain(on: Explained, execution_id: str) -> Explanation:
    return on.ask(on.service.explain(execution_id))


def cause(on: Explained, execution_id: str) -> WaitingFor:
    told = explain(on, execution_id).waiting
    assert told is not None
    return told


def reasons(on: Explained, execution_id: str) -> list[str]:
    told = explain(on, execution_id)
    return [one.reason for one in (told.waiting, *(told.then or ())) if one is not None]


# --- causes behind causes --------------------------------------------------------------------------------


def test_everything_that_holds_it_is_told_in_the_order_in_which_it_would(on: Explained) -> None:
    on.world.open_agent("a-1", 1)
    holder = submit(on, concurrency_key="k")
    held = submit(on, concurrency_key="k", start_at=(on.world.now() + timedelta(seconds=50)).isoformat())
    on.world.run(operations.pause(held, new_nonce(), "", "{}"))
    assert reasons(on, held) == ["paused", "start_at", "concurrency_key", "agents_busy"]
    on.world.settle(on.world.running(holder), Settlement(COMPLETE))
    assert reasons(on, held) == ["paused", "start_at"]


def test_what_would_start_at_once_has_nothing_behind_its_cause(on: Explained) -> None:
    on.world.open_agent("a-1", 1)
    execution_id = submit(on, start_at=(on.world.now() + timedelta(seconds=50)).isoformat())
    assert reasons(on, execution_id) == ["start_at"]
    told = cause(on, execution_id)
    assert told.until is not None
    assert told.next_step == "it goes on by itself in 49 s"


def test_a_simulation_tells_what_is_behind_a_cause_too(on: Explained) -> None:
    options = ExecutionOptions(start_at=on.world.now() + timedelta(seconds=50))
    thought = on.ask(on.service.simulate(SimulateRequest(task_type="t", options=options)))
    assert thought.waiting is not None
    assert (thought.waiting.reason, [one.reason for one in thought.then]) == ("start_at", ["no_such_task_type"])


def test_a_time_that_has_come_is_not_waited_for_but_for_somebody_who_looks(on: Explained) -> None:
    execution_id = submit(on, start_at=(on.world.now() + timedelta(seconds=5)).isoformat())
    on.world.advance(6)
    assert "nobody has looked for what is due ever" in cause(on, execution_id).detail
    on.world.run(operations.due(1))
    assert "the next sweep lets it in" in cause(on, execution_id).detail
    on.world.advance(100)
    told = cause(on, execution_id)
    assert "nobody has looked for what is due for 100 s" in told.detail
    assert "mindswarm-exec dispatcher" in told.next_step


def test_a_queue_timeout_tells_when_it_gives_up_and_no_delay_runs_it_down(on: Explained) -> None:
    now = on.world.now()
    waiting = explain(on, submit(on, queue_timeout_seconds=30))
    assert waiting.gives_up_at is not None
    assert 29 < (waiting.gives_up_at - now).total_seconds() < 31
    delayed = submit(on, queue_timeout_seconds=30, start_at=(now + timedelta(seconds=60)).isoformat())
    assert explain(on, delayed).gives_up_at is None


# --- agents ----------------------------------------------------------------------------------------------


def test_the_nearest_miss_is_told_first_with_all_that_it_lacks(on: Explained) -> None:
    on.world.open_agent("a-1", 1, capabilities=["web"])
    on.world.open_agent("a-2", 1, capabilities=["gpu", "web"], labels={"mem": 8})
    on.world.open_agent("a-3", 1, task_types=["u"], capabilities=["gpu", "web"], labels={"mem": 32})
    wanted = {"required_capabilities": ["gpu", "web"], "constraints": [{"label": "mem", "op": ">=", "value": 16}]}
    told = cause(on, submit(on, agent=wanted))
    nearest, _, next_one = told.detail.partition("; ")
    assert nearest.endswith("the nearest miss is a-2, which does not meet mem >= 16: it has 8")
    assert next_one == "a-1, which lacks the capability gpu and does not meet mem >= 16: it has nothing"


def test_a_capability_that_is_nearly_right_names_the_right_one(on: Explained) -> None:
    on.world.open_agent("a-1", 1, capabilities=["python"])
    assert cause(on, submit(on, agent={"required_capabilities": ["pyhton"]})).nearest == "python"


def test_an_assigned_agent_that_is_forgotten_is_told_as_gone_though_others_could(on: Explained) -> None:
    on.world.open_agent("a-1", 1)
    execution_id = submit(on, agent={"agent_id": "a-1"})
    assigned = submit(on, agent={"agent_id": "a-1"})
    on.world.settle(on.world.running(execution_id), Settlement(COMPLETE, slot="keep"))
    on.world.open_agent("a-2", 1)
    on.world.advance(on.world.settings.lease_seconds + 1)
    for _ in range(3):
        on.world.expire_lease("a-1")
        on.world.advance(700)
    told = cause(on, assigned)
    assert (told.reason, told.kind) == ("no_suitable_agent", "never"), told
    assert told.detail == "it is assigned to agent 'a-1', which is not registered any more"


def test_an_agent_whose_lease_has_run_out_is_told_apart_until_a_sweep_declares_it_offline(on: Explained) -> None:
    on.world.open_agent("a-1", 1)
    submit(on)
    waiting = submit(on)
    on.world.advance(on.world.settings.lease_seconds + 4)
    told = explain(on, waiting)
    assert told.waiting is not None
    assert told.waiting.detail == "1 of 1 slots of a-1 are taken; not heard of for longer than a lease: a-1"
    assert (told.candidates[0].silence or "").startswith("its lease ran out 4.")
    on.bring("a-1", {"state": "offline"})
    assert cause(on, waiting).reason == "agents_offline"


def test_a_sleeper_that_could_take_what_waits_for_a_busy_agent_is_named_with_the_way_to_wake_it(
    on: Explained,
) -> None:
    on.world.open_agent("a-1", 1)
    on.world.open_agent("a-2", 1)
    on.world.sleep("a-2")
    submit(on)
    told = cause(on, submit(on))
    assert told.reason == "agents_busy"
    assert told.next_step.endswith("'a-2' sleeps and could take it: `mindswarm-exec agent-wake a-2`")


def test_a_draining_agent_with_a_free_slot_is_away(on: Explained) -> None:
    on.world.open_agent("a-1", 3)
    on.world.open_agent("a-2", 3)
    for name in ("a-1", "a-2"):
        on.bring(name, {"state": "draining"})
    told = cause(on, submit(on))
    assert told.detail == "no agent that could serve it is open for work: a-1 is draining; a-2 is draining"
    assert told.next_step.startswith(
        "if 'a-1' is not to end: `mindswarm-exec agent-wake a-1`; else start one of them"
    )


def test_what_is_assigned_to_an_agent_that_is_away_is_not_sent_to_another_like_it(on: Explained) -> None:
    on.world.open_agent("a-1", 1)
    on.bring("a-1", {"state": "offline"})
    waiting = submit(on, agent={"agent_id": "a-1"})
    assert cause(on, waiting).next_step == "start 'a-1' again: `mindswarm-exec agent MODULE:ATTR --name a-1`"


def test_more_agents_than_are_looked_at_do_not_hide_who_suits(on: Explained) -> None:
    for number in range(MOST_AGENTS_SEEN + 5):
        on.world.open_agent(f"u-{number}", 1, task_types=["u"])
    on.world.open_agent("last", 1)
    submit(on)
    told = explain(on, submit(on))
    assert told.waiting is not None
    assert told.waiting.detail == "1 of 1 slots of last are taken"
    assert (len(told.candidates), told.agents_not_shown) == (MOST_AGENTS_SEEN, 6)
    thought = on.ask(on.service.simulate(SimulateRequest(task_type="u")))
    assert (thought.would, thought.agents_not_shown) == ("start", 6)
    for _ in range(MOST_AGENTS_SEEN + 5):
        submit(on, "u")
    busy = cause(on, submit(on, "u"))
    assert busy.detail.endswith(f"and {MOST_AGENTS_SEEN - 5} more are taken, and so it is with agents not looked at")
    delayed = submit(on, "v", start_at=(on.world.now() + timedelta(seconds=50)).isoformat())
    assert explain(on, delayed).then is None, "who suits work that has never been asked for is not known"


# --- keys, budgets, questions ----------------------------------------------------------------------------


def test_a_holder_that_does_not_run_is_told_as_what_it_is(on: Explained) -> None:
    on.world.open_agent("a-1", 1)
    frozen = submit(on, concurrency_key="k")
    on._do("freeze", frozen)
    held = submit(on, concurrency_key="k")
    assert cause(on, held).detail.endswith(f"held by {frozen} (paused in place on a-1)")
    assert cause(on, frozen).detail.endswith("in place: its process on agent 'a-1' is stopped and keeps its slot")


def test_the_first_in_line_that_admits_fewer_is_what_those_behind_it_wait_for(on: Explained) -> None:
    on.world.open_agent("a-1", 5)
    holders = [submit(on, concurrency_key="k", concurrency_limit=2) for _ in range(2)]
    first = submit(on, concurrency_key="k", concurrency_limit=1)
    held = submit(on, concurrency_key="k", concurrency_limit=2)
    on.world.settle(on.world.running(holders[0]), Settlement(COMPLETE))
    detail = (
        f"{first} goes first for concurrency key 'k', and admits 1 at a time; held by {holders[1]} (queued on a-1)"
    )
    assert cause(on, held).detail == detail
    on.world.settle(on.world.running(holders[1]), Settlement(COMPLETE))
    assert explain(on, first).placement is not None


def test_a_budget_of_an_ancestor_is_told_as_its_own_and_raised_there(on: Explained) -> None:
    on.world.open_agent("a-1", 2)
    parent = submit(on, resource_limits={"meters": {"tokens": 10}})
    on.world.running(parent)
    child = str(on.world.submit("t", ExecutionOptions(), parent_id=parent))
    attempt = on.world.running(child)
    for _ in range(2):
        on.world.run(operations.meter(attempt.held, new_nonce(), "tokens", 10.0))
    on.world.settle(attempt, Settlement(PAUSE), fields={})
    told = cause(on, child)
    assert told.reason == "budget"
    assert f"20 of 10 are spent, by its ancestor {parent}" in told.detail
    assert f"mindswarm-exec resume {parent} --meter tokens=LIMIT" in told.next_step


def test_a_question_outlives_the_agent_that_asked_it(on: Explained) -> None:
    on.world.open_agent("a-1", 1)
    execution_id = submit(on)
    on._do("ask", execution_id)
    assert reasons(on, execution_id) == ["input_required"]
    on.bring("a-1", {"state": "offline"})
    assert reasons(on, execution_id) == ["input_required", "agents_offline"]
    on.world.run(operations.provide_input(execution_id, new_nonce(), "q", json.dumps("yes"), "{}"))
    assert reasons(on, execution_id) == ["agents_offline"]


def test_what_has_ended_shows_its_last_choice_and_no_agents_of_now(on: Explained) -> None:
    on.world.open_agent("a-1", 1)
    execution_id = submit(on)
    on.world.settle(on.world.running(execution_id), Settlement(COMPLETE))
    told = explain(on, execution_id)
    assert (told.status, told.waiting, told.then, told.candidates, told.agents_not_shown) == (
        "completed", None, (), (), 0)  # fmt: skip
    assert told.placement is not None
    assert (told.placement.agent_id, told.placement.attempt) == ("a-1", 1)
