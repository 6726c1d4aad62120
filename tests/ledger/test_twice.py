"""Every script may run twice with the same arguments, as its header's TWICE says: a lost answer does no harm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from mindswarm_exec.identifiers import new_nonce
from mindswarm_exec.ledger import operations
from mindswarm_exec.ledger.listings import Stretch
from mindswarm_exec.ledger.operations import Operation, Settlement
from mindswarm_exec.ledger.replies import Done, Existing, Refused
from mindswarm_exec.ledger.scripts import SCRIPT_NAMES
from mindswarm_exec.lifecycle import COMPLETE, COMPLETED, PAUSE, PENDING, POSTPONE, QUEUED, RUNNING
from mindswarm_exec.models.options import ExecutionOptions
from mindswarm_exec.service.submission import start_operation
from tests.ledger.world import RETENTION_MS, World, without_messages

PLAIN = ExecutionOptions()
RETENTION = 3_600_000
SAME = object()

#: By script: what is called twice, in a world with an agent of one slot; and the second answer.
CALLS: dict[str, tuple[Callable[[World], Operation[Any]], Any]] = {}


def calls(script: str, second: Any = SAME) -> Callable[[Any], Any]:
    def register(make: Callable[[World], Operation[Any]]) -> Callable[[World], Operation[Any]]:
        CALLS[script] = make, second
        return make

    return register


def submitted(world: World, options: ExecutionOptions = PLAIN) -> str:
    execution_id = world.submit("t", options)
    assert execution_id is not None
    return execution_id


ID = "00000000-0000-7000-8000-00000000ffff"


@calls("start", Existing(ID))
def _(world: World) -> Operation[Any]:
    return start_operation(ID, "t", "{}", PLAIN, project_id="default", idempotency_key="once")


@calls("claim")
def _(world: World) -> Operation[Any]:
    attempt = world.model.attempts[submitted(world), next(iter(world.snapshot().held("ant").values()))]
    return operations.claim(attempt.execution_id, attempt.nonce, "token", "ant")


@calls("report")
def _(world: World) -> Operation[Any]:
    attempt = world.running(submitted(world))
    return operations.report(attempt.held, new_nonce(), "execution.progress", "{}", {"progress_fraction": 1})


@calls("settle")
def _(world: World) -> Operation[Any]:
    attempt = world.running(submitted(world))
    submitted(world)
    how = Settlement(COMPLETE, slot="claim", outcome="1")
    return operations.settle(attempt.held, "ant", "agent:ant", how, {"result": "1"})


@calls("pause")
def _(world: World) -> Operation[Any]:
    return operations.pause(submitted(world), "request", "", "{}")


@calls("resume")
def _(world: World) -> Operation[Any]:
    execution_id = submitted(world)
    world.run(operations.pause(execution_id, "an earlier request", "", "{}"))
    return operations.resume(execution_id, "request", "{}", {})


@calls("cancel")
def _(world: World) -> Operation[Any]:
    attempt = world.running(submitted(world))
    return operations.cancel(attempt.execution_id, "request", "", force=False, error="{}", data="{}")


@calls("cancel_children", (0, ()))
def _(world: World) -> Operation[Any]:
    attempt = world.running(submitted(world))
    child = start_operation(ID, "t", "{}", PLAIN, project_id="default", parent_id=attempt.execution_id)
    world.run(child)
    world.run(operations.cancel(attempt.execution_id, "request", "", force=False, error="{}", data="{}"))
    return operations.cancel_children(attempt.execution_id, "{}", "{}")


@calls("resume_starved", (0, ()))
def _(world: World) -> Operation[Any]:
    limits = {"resource_limits": {"meters": {"tokens": 5}}}
    parent = world.running(submitted(world, ExecutionOptions.model_validate(limits)))
    world.run(operations.pause(parent.execution_id, "an earlier request", "", "{}"))
    world.settle(parent, Settlement(PAUSE))
    child = world.submit("t", PLAIN, parent_id=parent.execution_id)
    assert child is not None
    world.run(operations.meter(world.running(child).held, new_nonce(), "tokens", 5))
    world.run(operations.resume(parent.execution_id, "request", "{}", {"budget:tokens": 100}))
    return operations.resume_starved(parent.execution_id, "{}")


@calls("provide_input")
def _(world: World) -> Operation[Any]:
    attempt = world.running(submitted(world))
    world.settle(attempt, Settlement(PAUSE), fields={"question": "{}", "question_id": "q"})
    return operations.provide_input(attempt.execution_id, "request", "q", "true", "{}")


@calls("meter")
def _(world: World) -> Operation[Any]:
    attempt = world.running(submitted(world))
    return operations.meter(attempt.held, new_nonce(), "tokens", 5)


@calls("freeze")
def _(world: World) -> Operation[Any]:
    attempt = world.running(submitted(world))
    world.run(operations.pause(attempt.execution_id, "request", "", "{}"))
    return operations.freeze(attempt.held, "{}")


@calls("overdue", Refused(RUNNING))
def _(world: World) -> Operation[Any]:
    attempt = world.running(submitted(world))
    world.run(operations.pause(attempt.execution_id, "request", "", "{}"))
    at = int(world.snapshot().executions[attempt.execution_id]["pause_ack_at_ms"])
    return operations.overdue(attempt.execution_id, at, "{}")


@calls("retry")
def _(world: World) -> Operation[Any]:
    execution_id = submitted(world)
    world.run(operations.cancel(execution_id, "an earlier request", "", force=False, error="{}", data="{}"))
    return operations.retry(execution_id, "request", "{}", {})


@calls("register")
def _(world: World) -> Operation[Any]:
    world.running(submitted(world))
    return operations.register("ant", new_nonce(), '{"task_types":["t"],"labels":{}}', {"max_concurrent": 1})


@calls("set_agent_state")
def _(world: World) -> Operation[Any]:
    submitted(world)
    return operations.set_agent_state("ant", "", "draining", accepts_work=False, event="agent.draining")


@calls("sleep_if_idle")
def _(world: World) -> Operation[Any]:
    return operations.sleep_if_idle("ant", world.model.agents["ant"].incarnation)


@calls("pass_over", Refused("sleeping"))
def _(world: World) -> Operation[Any]:
    world.sleep("ant")
    submitted(world)
    world.advance(31)
    return operations.pass_over("ant")


@calls("renew")
def _(world: World) -> Operation[Any]:
    world.running(submitted(world))
    world.run(operations.due())
    return operations.renew("ant", world.model.agents["ant"].incarnation)


@calls("expire_lease")
def _(world: World) -> Operation[Any]:
    world.running(submitted(world))
    world.advance(16)
    return operations.expire_lease("ant", RETENTION)


@calls("look")
def _(world: World) -> Operation[Any]:
    return operations.look(submitted(world))


@calls("due")
def _(world: World) -> Operation[Any]:
    submitted(world)
    world.advance(16)
    return operations.due()


@calls("admit", Refused(QUEUED))
def _(world: World) -> Operation[Any]:
    attempt = world.running(submitted(world))
    world.settle(attempt, Settlement(POSTPONE, delay_ms=1000))
    world.advance(1)
    return operations.admit(attempt.execution_id)


@calls("redeliver", Refused(QUEUED))
def _(world: World) -> Operation[Any]:
    execution_id = submitted(world)
    world.advance(10)
    return operations.redeliver(execution_id, world.snapshot().executions[execution_id]["nonce"])


@calls("match_waiting", (0, ()))
def _(world: World) -> Operation[Any]:
    submitted(world)
    waiting = submitted(world)
    assert world.snapshot().status_of(waiting) is PENDING
    # an agent and a class that have missed each other: only a hand at the ledger's keys brings that about
    world.ledger.client.hset(world.ledger.keys.of("agent", "ant"), "max_concurrent", 2)
    class_id = next(iter(world.snapshot().families["lane"]))
    world.ledger.client.zadd(world.ledger.keys.of("available", class_id), {"ant": 1})
    return operations.match_waiting()


@calls("forget", 0)
def _(world: World) -> Operation[Any]:
    world.settle(world.running(submitted(world)), Settlement(COMPLETE))
    world.advance(RETENTION_MS / 1000 + 1)
    return operations.forget(RETENTION_MS, 100, 1000)


@calls("mark_archived")
def _(world: World) -> Operation[Any]:
    attempt = world.running(submitted(world))
    world.settle(attempt, Settlement(COMPLETE))
    seq = world.snapshot().executions[attempt.execution_id]["seq"]
    return operations.mark_archived({attempt.execution_id: seq})


@calls("pick")
def _(world: World) -> Operation[Any]:
    world.settle(world.running(submitted(world)), Settlement(COMPLETE))
    return operations.pick(Stretch([COMPLETED]), {}, "", most_seen=10, most=10)


@calls("unarchived")
def _(world: World) -> Operation[Any]:
    world.settle(world.running(submitted(world)), Settlement(COMPLETE))
    world.advance(RETENTION_MS / 1000 + 1)
    return operations.unarchived(RETENTION_MS, 100)


@calls("restore")
def _(world: World) -> Operation[Any]:
    attempt = world.running(submitted(world))
    world.settle(attempt, Settlement(COMPLETE))
    record = world.snapshot().executions[attempt.execution_id]
    world.advance(RETENTION_MS / 1000 + 1)
    world.run(operations.forget(RETENTION_MS, 100, 1000))
    return operations.restore(attempt.execution_id, int(record["finished_at_ms"]), record)


@calls("roll_up", lambda first, second: replace(first, read=0, now_ms=second.now_ms))
def _(world: World) -> Operation[Any]:
    world.settle(world.running(submitted(world)), Settlement(COMPLETE))
    return operations.roll_up(100, RETENTION)


@calls("look_at_queue", lambda first, second: replace(first, now_ms=second.now_ms))
def _(world: World) -> Operation[Any]:
    submitted(world)
    return operations.look_at_queue(10, 10, 5)


@calls("keep_sum")
def _(world: World) -> Operation[Any]:
    return operations.keep_sum("hour:0:agent", 0, 60_000, "{}", 10**13)


@calls("put_task")
def _(world: World) -> Operation[Any]:
    world.run(operations.put_task("task", "create", "task.created", "{}", "default", {"title": "a"}))
    return operations.put_task("task", "update", "task.updated", "{}", "default", {"title": "b"})


@pytest.mark.parametrize(("state", "told"), [("sleeping", 0), ("awake", 1)])
def test_an_operators_word_to_a_sleeper_that_work_wakes_may_come_twice(state: str, told: int, world: World) -> None:
    world.open_agent()
    world.submit("t", PLAIN)
    world.sleep_by_hand("ant")
    assert world.state("ant") == "waking"
    operation = operations.set_agent_state("ant", "", state, accepts_work=state == "awake", event="agent.sleeping")
    before = world.ledger.client.xlen(world.ledger.keys.of("events"))
    assert world.run(operation, twice=True) == Done("waking")
    assert world.ledger.client.xlen(world.ledger.keys.of("events")) == before + told


def test_a_repeated_word_of_an_operator_does_not_undo_what_urgent_work_did_since(world: World) -> None:
    world.open_agent("ant")
    world.open_agent("bee")
    world.sleep_by_hand("bee")
    for priority in (9, 5):
        submitted(world, ExecutionOptions(priority=priority))
    operation = operations.set_agent_state("ant", "", "sleeping", accepts_work=False, event="agent.sleeping")
    assert world.run(operation, twice=True) == Done("waking")
    assert (world.state("ant"), world.state("bee")) == ("waking", "waking")


@pytest.mark.parametrize("script", SCRIPT_NAMES)
def test_a_script_run_twice_answers_as_it_says_and_changes_nothing_more(script: str, world: World) -> None:
    world.open_agent()
    make, expected = CALLS[script]
    operation = make(world)
    first = world.run(operation)
    events = world.ledger.client.xrange(world.ledger.keys.of("events"))
    before = world.snapshot()
    second = world.run(operation)
    wanted = expected(first, second) if callable(expected) else expected
    assert without_messages(second) == without_messages(first if expected is SAME else wanted)
    assert world.ledger.client.xrange(world.ledger.keys.of("events")) == events
    assert without_clocks(world.snapshot().families) == without_clocks(before.families)


def without_clocks(families: dict[str, Any]) -> Any:
    """What a repeated call may push on: leases, deadlines of leases, the last use of a class."""
    rest = {name: value for name, value in families.items() if name not in ("classes", "deadlines", "agent")}
    agents = {
        agent_id: {name: value for name, value in record.items() if name != "lease_expires_at_ms"}
        for agent_id, record in families["agent"].items()
    }
    return rest | {"agent": agents}


def pausing(id: str, request: str) -> Operation[Any]:
    return operations.pause(id, request, "", "{}")


@pytest.mark.parametrize("between", [1, 6])
def test_a_control_is_not_carried_out_again_after_others_that_came_between(between: int, world: World) -> None:
    """Its first answer was lost; until it is sent again, others pause and resume."""
    execution_id = submitted(world)
    first = pausing(execution_id, "first")
    assert world.run(first) == Done("paused")
    for n in range(between):
        others = operations.resume(execution_id, f"resume-{n}", "{}", {})
        world.run(others if n % 2 == 0 else pausing(execution_id, f"pause-{n}"))
    before = world.snapshot()
    reply = world.run(first)
    assert isinstance(reply, Done)
    assert reply.status == before.status_of(execution_id)
    assert world.snapshot() == before


def test_the_memory_of_requests_is_bounded(world: World) -> None:
    execution_id = submitted(world)
    for n in range(20):
        world.run(pausing(execution_id, f"p{n}"))
        world.run(operations.resume(execution_id, f"r{n}", "{}", {}))
    kept = world.snapshot().executions[execution_id]["requests"].split()
    assert kept == ["r19", "p19", "r18", "p18", "r17", "p17", "r16", "p16"]


def test_a_second_creation_of_a_task_finds_the_first(world: World) -> None:
    operation = operations.put_task("task", "create", "task.created", "{}", "default", {"title": "a"})
    assert world.run(operation) == Done("")
    assert world.run(operation) == Existing("task")
    assert world.ledger.client.xlen(world.ledger.keys.of("events")) == 1


def test_an_idempotency_key_names_the_first_execution_whatever_id_comes_with_it(world: World) -> None:
    first = world.submit("t", PLAIN, "once")
    assert world.submit("t", PLAIN, "once") == first
    assert list(world.snapshot().executions) == [first]
