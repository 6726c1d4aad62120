"""Cancel of real work: cleaning up, force, what is deaf, and children with their parents."""

from __future__ import annotations

import time
from typing import Any

import pytest

from mindswarm_exec.errors import MoveRefused
from mindswarm_exec.lifecycle import CANCELLED, COMPLETED, FAILED, RUNNING, Status
from mindswarm_exec.models.options import StartRequest
from mindswarm_exec.models.records import Execution
from mindswarm_exec.service.control import cancellation
from tests.e2e.controlled_swarm import CANCEL_GRACE_SECONDS, ControlledSwarm, gone
from tests.eventually import eventually

# --- one execution ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["async", "thread", "process"])
def test_a_cancelled_handler_runs_its_finally_and_then_the_hooks_whose_output_arrives(
    swarm: ControlledSwarm, kind: str
) -> None:
    execution_id = swarm.running(f"wait.{kind}", "never")
    asked = swarm.cancel(execution_id, "enough")
    assert asked.intent is not None
    assert (asked.intent.kind, asked.intent.reason) == ("cancel", "enough")
    ended = swarm.await_end(execution_id)
    assert ended.intent is not None
    assert ended.error is not None
    assert (ended.status, ended.error.kind, ended.error.message) == (CANCELLED, "cancelled_by", "enough")
    assert None not in (ended.intent.acknowledged_at, ended.intent.slot_released_at)
    assert not ended.intent.unresponsive
    assert swarm.lines("finally", execution_id) == [f"{execution_id} 1"]
    assert swarm.lines("hooks", execution_id) == [f"{execution_id} wait.{kind} 1"]
    streamed = [told["text"] for told in swarm.told(execution_id, "output") if told["stream"] == "hook"]
    assert streamed == ["cleaned up", "cleaned up as well"]
    assert swarm.event_types(execution_id)[-1] == "cancelled"


def test_a_cancelled_command_is_ended_and_the_hooks_run(swarm: ControlledSwarm) -> None:
    execution_id = swarm.running("wait.command", "never")
    swarm.cancel(execution_id)
    assert swarm.await_end(execution_id).status is CANCELLED
    assert swarm.lines("hooks", execution_id) == [f"{execution_id} wait.command 1"]


def test_what_waits_is_cancelled_at_once_and_no_hook_runs(swarm: ControlledSwarm) -> None:
    execution_id = swarm.start("nobody.does.this")
    ended = swarm.cancel(execution_id)
    assert ended.intent is not None
    assert ended.status is CANCELLED
    assert None not in (ended.intent.acknowledged_at, ended.intent.slot_released_at)
    assert swarm.lines("hooks", execution_id) == []


@pytest.mark.parametrize("kind", ["async", "thread"])
def test_a_deaf_handler_is_fenced_when_the_grace_is_over_and_its_slot_is_free_when_its_code_ends(
    swarm: ControlledSwarm, kind: str, file: str
) -> None:
    execution_id = swarm.running(f"deaf.{kind}", file, on="one")
    swarm.cancel(execution_id)
    assert swarm.get(execution_id).status is RUNNING
    ended = swarm.await_end(execution_id)
    assert ended.intent is not None
    assert ended.intent.acknowledged_at is not None
    waited = (ended.intent.acknowledged_at - ended.intent.requested_at).total_seconds()
    assert CANCEL_GRACE_SECONDS - 0.1 <= waited < CANCEL_GRACE_SECONDS + 3
    assert (ended.status, ended.intent.unresponsive, ended.intent.slot_released_at) == (CANCELLED, True, None)
    held = swarm.agent_record("one")
    assert (held.load, held.unresponsive) == (1, (execution_id,))
    swarm.touch(file)
    later = swarm.released(execution_id)
    assert (later.status, later.result) == (CANCELLED, None)
    assert swarm.lines("hooks", execution_id) == [f"{execution_id} deaf.{kind} 1"]
    assert swarm.event_types(execution_id)[-1] == "cancelled"


def test_a_deaf_process_is_killed_when_the_grace_is_over(swarm: ControlledSwarm) -> None:
    execution_id = swarm.running("deaf.process", "never")
    pid = swarm.pid_of(execution_id)
    began = time.monotonic()
    swarm.cancel(execution_id)
    ended = swarm.await_end(execution_id)
    assert time.monotonic() - began >= CANCEL_GRACE_SECONDS - 0.1
    assert ended.intent is not None
    assert ended.status is CANCELLED
    assert swarm.lines("heard", execution_id), "it was asked first"
    swarm.released(execution_id)
    eventually(lambda: gone(pid))


@pytest.mark.parametrize("kind", ["async", "thread", "process"])
def test_force_ends_the_execution_at_once_and_the_slot_is_free_when_the_code_has_ended(
    swarm: ControlledSwarm, kind: str, file: str
) -> None:
    execution_id = swarm.running(f"deaf.{kind}", file, on="one")
    ended = swarm.cancel(execution_id, "now", force=True)
    assert ended.status is CANCELLED
    if kind != "process":
        assert ended.intent is not None
        assert (ended.intent.slot_released_at, swarm.agent_record("one").load) == (None, 1)
        swarm.touch(file)
    later = swarm.released(execution_id, within_ms=15_000)
    assert later.model_copy(update={"intent": None}) == ended.model_copy(update={"intent": None})
    assert swarm.event_types(execution_id)[-1] == "cancelled"


def test_a_second_cancel_with_force_cuts_the_grace_short(swarm: ControlledSwarm) -> None:
    execution_id = swarm.running("deaf.process", "never")
    swarm.cancel(execution_id)
    ended = swarm.cancel(execution_id, force=True)
    assert ended.status is CANCELLED
    swarm.released(execution_id)


def test_a_cancel_that_comes_with_the_claim_is_obeyed_without_waiting_for_a_renewal(swarm: ControlledSwarm) -> None:
    ids = [swarm.start("wait.async", {"file": "never"}) for _ in range(20)]
    swarm.at_once(*(swarm.executions.cancel(execution_id) for execution_id in ids))
    for execution_id in ids:
        ended = swarm.await_end(execution_id)
        assert ended.intent is not None
        assert (ended.status, ended.intent.unresponsive) == (CANCELLED, False)


# --- children --------------------------------------------------------------------------------------------


def child_of(swarm: ControlledSwarm, execution_id: str) -> str:
    """The child that a handler has started and noted."""

    def check() -> str:
        lines = [line.split() for line in swarm.written("children")]
        children = [child for parent, child in lines if parent == execution_id]
        assert children
        return children[0]

    return eventually(check, 10_000)


def family(swarm: ControlledSwarm) -> list[str]:
    """A parent, its child and its grandchild, all running."""
    leaf = {"task_type": "wait.async", "payload": {"file": "never"}}
    parent = swarm.start("parent", {"task_type": "parent.process", "payload": leaf})
    child = child_of(swarm, parent)
    grandchild = child_of(swarm, child)
    swarm.began(grandchild)
    return [parent, child, grandchild]


def ended_with_its_parent(swarm: ControlledSwarm, execution_id: str) -> Execution:
    ended = swarm.await_end(execution_id)
    assert ended.error is not None
    assert (ended.status, ended.error.message) == (CANCELLED, "its parent was cancelled")
    return ended


def test_children_and_grandchildren_are_cancelled_with_their_parent(swarm: ControlledSwarm) -> None:
    parent, child, grandchild = family(swarm)
    assert (swarm.get(child).parent_id, swarm.get(grandchild).parent_id) == (parent, child)
    swarm.cancel(parent)
    assert swarm.await_end(parent).status is CANCELLED
    ended_with_its_parent(swarm, child)
    ended_with_its_parent(swarm, grandchild)


def test_the_sweep_cancels_the_children_that_a_dead_api_left(swarm: ControlledSwarm) -> None:
    parent, child, grandchild = family(swarm)
    swarm.run(swarm.ledger.run(cancellation(parent, "")))  # all that an API which died next had done
    assert swarm.await_end(parent).status is CANCELLED
    ended_with_its_parent(swarm, child)
    ended_with_its_parent(swarm, grandchild)


def test_a_cancelled_parent_starts_no_more_children(swarm: ControlledSwarm, file: str) -> None:
    parent = swarm.running("parent.stubborn", file)
    swarm.cancel(parent)
    request = StartRequest(task_type="quick", parent_id=parent)
    with pytest.raises(MoveRefused, match="to be cancelled"):
        swarm.run(swarm.executions.start(request))
    swarm.touch(file)
    assert swarm.await_end(parent).status is CANCELLED
    assert swarm.lines("children", parent) == []
    with pytest.raises(MoveRefused, match="it is cancelled"):
        swarm.run(swarm.executions.start(request))


def test_what_the_parent_has_not_cancelled_stays(swarm: ControlledSwarm, file: str) -> None:
    parent = swarm.start("parent", {"task_type": "wait.async", "payload": {"file": file}})
    child = child_of(swarm, parent)
    swarm.began(child)
    swarm.cancel(child)
    ended = swarm.await_end(parent)
    assert ended.error is not None
    assert (ended.status, ended.error.type) == (FAILED, "ExecutionNotCompleted")
    assert f"child {child} is cancelled" in ended.error.message


@pytest.mark.parametrize("task_type", ["parent", "parent.process"])
def test_a_child_with_a_key_is_started_once_over_all_attempts_and_its_result_is_the_parents(
    swarm: ControlledSwarm, task_type: str
) -> None:
    policy = {"max_attempts": 3, "initial_delay_seconds": 0}
    payload: dict[str, Any] = {"task_type": "quick", "payload": [1, 2], "until": 3}
    ended = swarm.await_end(swarm.start(task_type, payload, retry_policy=policy))
    assert (ended.status, ended.attempt) == (COMPLETED, 3)
    children = {line.split()[1] for line in swarm.lines("children", ended.execution_id)}
    assert len(children) == 1
    assert ended.result == {"child": children.pop(), "result": [1, 2]}


def test_an_async_handler_waits_for_several_children_at_once(swarm: ControlledSwarm) -> None:
    execution_id = swarm.start("parent.async", {"task_type": "quick.process", "payload": "both"})
    assert swarm.await_end(execution_id).result == ["both", "both"]


def test_a_child_that_fails_raises_where_its_result_is_waited_for(swarm: ControlledSwarm) -> None:
    payload = {"task_type": "fail.process", "payload": {"type": "KeyError", "until": 2}}
    ended = swarm.await_end(swarm.start("parent", payload))
    assert ended.error is not None
    assert (ended.status, ended.error.type) == (FAILED, "ExecutionNotCompleted")


def test_a_child_of_a_cancelled_parent_runs_when_it_is_brought_back_and_finds_its_own_child_ended(
    swarm: ControlledSwarm,
) -> None:
    parent, child, _ = family(swarm)
    swarm.cancel(parent)
    for execution_id in (parent, child):
        assert swarm.await_end(execution_id).status is CANCELLED
    swarm.retry(child)
    ended = swarm.await_end(child)
    assert ended.error is not None
    assert (ended.status, ended.error.type) == (Status.FAILED, "ExecutionNotCompleted")
