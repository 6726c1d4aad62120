"""Attempts after the first: what is tried again, when, from where, and what is remembered of the earlier ones."""

from __future__ import annotations

import pytest

from mindswarm_exec.lifecycle import CANCELLED, COMPLETED, FAILED
from mindswarm_exec.models.options import ExecutionOptions
from tests.e2e.controlled_swarm import ControlledSwarm

AT_ONCE = {"max_attempts": 3, "initial_delay_seconds": 0}


# --- by the policy ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["thread", "process"])
@pytest.mark.parametrize(
    ("policy", "attempts"),
    [
        ({"retry_on": ["KeyError"]}, 3),
        ({"retry_on": ["ValueError"]}, 1),
        ({"no_retry_on": ["KeyError"]}, 1),
        ({"no_retry_on": ["ValueError"]}, 3),
        ({"retry_on": ["handler_error"], "no_retry_on": ["KeyError"]}, 1),
    ],
)
def test_the_policy_is_held_to_the_type_of_the_error(
    swarm: ControlledSwarm, kind: str, policy: dict[str, list[str]], attempts: int
) -> None:
    payload = {"type": "KeyError", "until": 10}
    ended = swarm.await_end(swarm.start(f"fail.{kind}", payload, retry_policy=AT_ONCE | policy))
    assert ended.error is not None
    assert (ended.status, ended.attempt, ended.failed_attempts) == (FAILED, attempts, attempts)
    assert (ended.error.kind, ended.error.type) == ("handler_error", "KeyError")


def test_the_policy_may_name_the_limit_that_ended_a_process(swarm: ControlledSwarm) -> None:
    for retry_on, attempts in ((["process_limit"], 2), (["memory_limit"], 1)):
        policy = {"max_attempts": 2, "initial_delay_seconds": 0, "retry_on": retry_on}
        ended = swarm.await_end(
            swarm.start("greed", "processes", resource_limits={"max_processes": 5}, retry_policy=policy)
        )
        assert ended.error is not None
        assert (ended.error.kind, ended.attempt) == ("process_limit", attempts)


# --- by the handler's word -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["async", "thread", "process"])
def test_a_handler_that_asks_for_it_is_tried_again_after_the_delay_without_a_policy(
    swarm: ControlledSwarm, kind: str
) -> None:
    execution_id = swarm.start(f"later.{kind}", {"until": 2, "seconds": 0.7})
    ended = swarm.await_end(execution_id)
    assert (ended.status, ended.result, ended.failed_attempts) == (COMPLETED, 2, 1)
    first, second = (float(line.split()[1]) for line in swarm.lines("later", execution_id))
    assert second - first >= 0.7
    (scheduled,) = swarm.told(execution_id, "retry_scheduled")
    assert scheduled["delay_ms"] == 700
    assert scheduled["error"]["kind"] == "retry_after"
    assert "the service is busy" in scheduled["error"]["message"]
    history = swarm.run(swarm.executions.get_history(execution_id))
    noted = [entry for entry in history.entries if entry.event_type == "execution.retry_scheduled"]
    assert [entry.data["delay_ms"] for entry in noted] == [700]


@pytest.mark.parametrize("kind", ["async", "thread", "process"])
def test_when_the_attempts_of_the_policy_are_spent_it_fails_for_what_it_waited_for(
    swarm: ControlledSwarm, kind: str
) -> None:
    policy = {"max_attempts": 2}
    ended = swarm.await_end(swarm.start(f"later.{kind}", {"until": 9, "seconds": 0}, retry_policy=policy))
    assert ended.error is not None
    assert (ended.status, ended.error.kind, ended.attempt) == (FAILED, "retry_after", 2)
    assert ended.error.measured == {"attempts": 2, "max_attempts": 2}


# --- by somebody's word ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("start_from", "begun_at"), [("checkpoint", 5), ("start", 0)])
def test_a_retry_begins_at_the_checkpoint_or_anew(swarm: ControlledSwarm, start_from: str, begun_at: int) -> None:
    execution_id = swarm.start("halfway", {})
    assert swarm.await_end(execution_id).status is FAILED
    swarm.retry(execution_id, start_from=start_from)
    ended = swarm.await_end(execution_id)
    assert (ended.status, ended.result) == (COMPLETED, {"from": begun_at, "attempt": 2})


def test_a_retry_may_change_the_options_and_the_history_keeps_every_attempt(swarm: ControlledSwarm) -> None:
    execution_id = swarm.start("fail.process", {"type": "ValueError", "until": 4}, tags=["first"])
    assert swarm.await_end(execution_id).attempt == 1
    options = ExecutionOptions.model_validate({"retry_policy": AT_ONCE, "priority": "high", "tags": ["second"]})
    swarm.retry(execution_id, options=options)
    ended = swarm.await_end(execution_id)
    assert (ended.status, ended.result, ended.attempt) == (COMPLETED, 4, 4)
    assert (ended.priority, ended.tags, ended.error) == (7, ("second",), None)
    history = swarm.run(swarm.executions.get_history(execution_id))
    types = [entry.event_type.removeprefix("execution.") for entry in history.entries]
    assert [types.count(name) for name in ("started", "failed", "retry_scheduled", "completed")] == [4, 1, 3, 1]
    assert types.index("failed") < types.index("retry_scheduled") < types.index("completed")


def test_what_was_cancelled_can_be_brought_back(swarm: ControlledSwarm, file: str) -> None:
    execution_id = swarm.counting("steps.process", file)
    swarm.cancel(execution_id)
    assert swarm.await_end(execution_id).status is CANCELLED
    swarm.touch(file)
    assert swarm.retry(execution_id).intent is None
    ended = swarm.await_end(execution_id)
    assert (ended.status, ended.result["from"], ended.error) == (COMPLETED, 3, None)


# --- what dies -------------------------------------------------------------------------------------------


def test_a_payload_that_kills_its_process_ends_that_attempt_alone(swarm: ControlledSwarm, file: str) -> None:
    beside = swarm.running("wait.async", file)
    ended = swarm.await_end(swarm.start("die.process", None))
    assert ended.error is not None
    assert (ended.status, ended.error.kind, ended.attempt, ended.lost_attempts) == (FAILED, "process_died", 1, 0)
    assert ended.error.measured == {"exit_code": 9}
    swarm.touch(file)
    assert swarm.await_end(beside).attempt == 1


def test_a_payload_that_kills_every_agent_is_given_up_after_its_limit_and_others_are_unaffected(
    swarm: ControlledSwarm, file: str
) -> None:
    names = ("mortal", "mortal-too")
    mortals = [swarm.controlled(name) for name in names]
    swarm.await_agents(*names)
    poison = {"agent": {"excluded_agents": ["one", "two"]}, "max_lost_attempts": 2}
    bystander = swarm.running("wait.thread", file, agent={"excluded_agents": ["one", "two"]})
    execution_id = swarm.start("die.thread", None, **poison)
    ended = swarm.await_end(execution_id, within_ms=45_000)
    assert ended.error is not None
    assert (ended.status, ended.error.kind, ended.error.measured) == (FAILED, "agent_lost", {"lost_attempts": 2})
    for mortal in mortals:
        assert mortal.exit_code() == 9
    survivor = swarm.controlled("survivor")
    swarm.await_agents("survivor")
    swarm.touch(file)
    assert swarm.await_end(bystander).status is COMPLETED
    survivor.terminate()
    assert survivor.exit_code() == 0
