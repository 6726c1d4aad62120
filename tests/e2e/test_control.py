"""What people and programs do to executions that real agents run: pause, resume, cancel, time out, retry."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from mindswarm_exec.lifecycle import CANCELLED, COMPLETED, FAILED, PAUSED, QUEUED, RUNNING, TIMED_OUT
from mindswarm_exec.models.records import Execution
from tests.e2e.swarm import Swarm
from tests.eventually import eventually, must_be


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swarm]:
    with Swarm(tmp_path_factory.mktemp("control")) as swarm:
        swarm.agent("one")
        swarm.agent("two")
        swarm.beat()
        swarm.dispatcher()
        swarm.await_agents("one", "two")
        yield swarm


@pytest.fixture(autouse=True)
def _slots_return_to_zero(swarm: Swarm) -> Iterator[None]:
    """Whatever a test did, its agents hold nothing when its handlers have ended."""
    yield
    swarm.await_load("one", 0)
    swarm.await_load("two", 0)


def running(swarm: Swarm, task_type: str, payload: dict[str, Any], **options: Any) -> str:
    execution_id = swarm.start(task_type, payload, **options)
    swarm.await_status(execution_id, RUNNING)
    return execution_id


# --- pause and resume ------------------------------------------------------------------------------------


def test_a_pause_takes_effect_at_a_checkpoint_and_another_agent_resumes_from_it(swarm: Swarm) -> None:
    execution_id = running(swarm, "steps", {"steps": 8, "hold": 5, "file": "resume"}, on="one")
    eventually(lambda: must_be(swarm.get(execution_id).checkpoint, {"next": 5}))
    asked = swarm.run(swarm.executions.pause(execution_id, "lunch"))
    assert asked.intent is not None
    assert (asked.intent.kind, asked.intent.reason) == ("pause", "lunch")
    paused = swarm.await_status(execution_id, PAUSED)
    assert paused.intent is not None
    assert None not in (
        paused.intent.acknowledged_at,
        paused.intent.slot_released_at,
        paused.intent.checkpoint_id,
    )
    assert (paused.checkpoint, swarm.agent_record("one").load) == ({"next": 5}, 0)
    swarm.run(swarm.agents.sleep("one"))
    swarm.touch("resume")
    swarm.run(swarm.executions.resume(execution_id))
    ended = swarm.await_end(execution_id)
    swarm.run(swarm.agents.wake("one"))
    assert (ended.status, ended.result) == (COMPLETED, {"agent": "two", "from": 5})
    assert (ended.failed_attempts, ended.lost_attempts) == (0, 0)


def test_a_pause_that_is_withdrawn_before_a_safe_point_changes_nothing(swarm: Swarm) -> None:
    execution_id = running(swarm, "wait.async", {"file": "withdrawn"})
    swarm.run(swarm.executions.pause(execution_id))
    assert swarm.run(swarm.executions.resume(execution_id)).intent is None
    swarm.touch("withdrawn")
    ended = swarm.await_end(execution_id)
    assert (ended.status, ended.attempt) == (COMPLETED, 1)


def test_a_resume_may_edit_the_checkpoint(swarm: Swarm) -> None:
    execution_id = running(swarm, "steps", {"steps": 4, "hold": 1, "file": "edited"})
    swarm.run(swarm.executions.pause(execution_id))
    swarm.await_status(execution_id, PAUSED)
    swarm.run(swarm.executions.resume(execution_id, checkpoint={"next": 3}))
    assert swarm.await_end(execution_id).result["from"] == 3


# --- cancel ----------------------------------------------------------------------------------------------


def test_a_cancelled_async_handler_runs_its_finally(swarm: Swarm) -> None:
    execution_id = running(swarm, "wait.async", {"file": "never"})
    swarm.run(swarm.executions.cancel(execution_id, "enough"))
    ended = swarm.await_end(execution_id)
    assert ended.status is CANCELLED
    assert ended.error is not None
    assert ended.error.kind == "cancelled_by"
    assert execution_id in swarm.written("finally")


def test_a_thread_handler_is_cancelled_at_its_next_context_call(swarm: Swarm) -> None:
    execution_id = running(swarm, "wait.thread", {"file": "never"})
    swarm.run(swarm.executions.cancel(execution_id))
    assert swarm.await_end(execution_id).status is CANCELLED


def test_a_forced_cancel_ends_at_once_and_the_slot_stays_taken_until_the_code_ends(swarm: Swarm) -> None:
    execution_id = running(swarm, "wait.deaf", {"file": "forced"}, on="one")
    ended = swarm.run(swarm.executions.cancel(execution_id, force=True))
    assert (ended.status, swarm.agent_record("one").load) == (CANCELLED, 1)
    assert ended.intent is not None
    assert ended.intent.slot_released_at is None
    swarm.touch("forced")
    swarm.await_load("one", 0)
    later = swarm.get(execution_id)
    assert later.intent is not None
    assert later.intent.slot_released_at is not None
    assert later.model_copy(update={"intent": ended.intent}) == ended
    assert swarm.event_types(execution_id)[-1] == "cancelled"


# --- timeouts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task_type", ["wait.async", "wait.thread"])
def test_the_agent_enforces_a_timeout_and_names_what_it_measured(swarm: Swarm, task_type: str) -> None:
    ended = swarm.await_end(swarm.start(task_type, {"file": "never"}, timeout_seconds=0.3))
    assert ended.status is TIMED_OUT
    assert ended.error is not None
    assert (ended.error.kind, ended.error.measured["limit_seconds"]) == ("timeout", 0.3)
    assert 300 <= ended.error.measured["elapsed_ms"] < 2000


def test_the_sweep_ends_what_ignores_its_timeout_and_the_slot_stays_taken_until_the_code_ends(swarm: Swarm) -> None:
    execution_id = swarm.start("wait.deaf", {"file": "deaf"}, timeout_seconds=0.3, on="two")
    ended = swarm.await_end(execution_id)
    assert ended.status is TIMED_OUT
    assert ended.error is not None
    assert "its agent did not stop it" in ended.error.message
    assert swarm.agent_record("two").load == 1
    swarm.touch("deaf")
    swarm.await_load("two", 0)
    assert swarm.get(execution_id) == ended


def test_an_execution_that_nobody_takes_up_times_out_in_the_queue(swarm: Swarm) -> None:
    ended = swarm.await_end(swarm.start("nobody.does.this", queue_timeout_seconds=0.3))
    assert ended.status is TIMED_OUT
    assert ended.error is not None
    assert ended.error.kind == "queue_timeout"


def test_a_handler_that_gives_no_sign_of_life_is_stopped(swarm: Swarm) -> None:
    silent = swarm.start("wait.async", {"file": "never"}, stall_timeout_seconds=0.4)
    lively = swarm.start("wait.thread", {"file": "lively"}, stall_timeout_seconds=0.4)
    ended = swarm.await_end(silent)
    assert ended.error is not None
    assert (ended.status, ended.error.kind) == (TIMED_OUT, "stall")
    assert swarm.get(lively).status is RUNNING
    swarm.touch("lively")
    assert swarm.await_end(lively).status is COMPLETED


# --- retries ---------------------------------------------------------------------------------------------


def test_a_failing_handler_is_tried_again_after_its_backoff(swarm: Swarm) -> None:
    policy = {"max_attempts": 3, "initial_delay_seconds": 0.2, "multiplier": 3, "jitter": 0}
    execution_id = swarm.start("fail", {"until": 3}, retry_policy=policy)
    ended = swarm.await_end(execution_id)
    assert (ended.status, ended.result, ended.failed_attempts) == (COMPLETED, 3, 2)
    times = [float(line.split()[0]) for line in swarm.written("fail") if execution_id in line]
    assert times[1] - times[0] >= 0.2
    assert times[2] - times[1] >= 0.6


def test_a_failed_execution_says_why_and_can_be_retried(swarm: Swarm) -> None:
    execution_id = swarm.start("fail", {"until": 2, "message": "out of luck"})
    failed = swarm.await_end(execution_id)
    assert failed.error is not None
    assert (failed.status, failed.error.kind, failed.error.type) == (FAILED, "handler_error", "ValueError")
    assert failed.error.message == "out of luck"
    swarm.run(swarm.executions.retry(execution_id))
    ended = swarm.await_end(execution_id)
    assert (ended.status, ended.result, ended.error) == (COMPLETED, 2, None)


def test_a_payload_that_does_not_fit_the_model_fails_without_a_retry(swarm: Swarm) -> None:
    policy = {"max_attempts": 5, "initial_delay_seconds": 0}
    ended = swarm.await_end(swarm.start("typed", {"amount": "hunter2"}, retry_policy=policy))
    assert ended.error is not None
    assert (ended.status, ended.error.kind, ended.attempt) == (FAILED, "invalid_payload", 1)
    assert "amount" in ended.error.message
    assert "hunter2" not in ended.error.message
    assert swarm.await_end(swarm.start("typed", {"amount": 5})).result == {"amount": 5}


# --- what a handler tells --------------------------------------------------------------------------------


def test_progress_is_coalesced_to_ten_a_second_and_the_last_one_arrives(swarm: Swarm) -> None:
    execution_id = swarm.start("progress", {"seconds": 1.5})
    ended = swarm.await_end(execution_id)
    reports = [one for one in swarm.events(execution_id) if one["type"] == "execution.progress"]
    instants = [int(swarm_id.split("-")[0]) for swarm_id in _ids(swarm, execution_id, "execution.progress")]
    assert ended.started_at is not None
    assert ended.finished_at is not None
    assert 5 <= len(reports) <= 10 * _seconds(ended) + 2, instants
    assert reports[-1]["data"] == {"fraction": 1.0, "message": "last"}
    assert (ended.progress.fraction, ended.progress.message) == (1.0, "last")


def _ids(swarm: Swarm, execution_id: str, event_type: str) -> list[str]:
    entries = swarm.redis.xrange(swarm.key("events"))
    return [
        event_id
        for event_id, fields in entries
        if (fields["execution_id"], fields["type"]) == (execution_id, event_type)
    ]


def _seconds(ended: Execution) -> float:
    assert isinstance(ended.finished_at, datetime)
    assert isinstance(ended.started_at, datetime)
    return (ended.finished_at - ended.started_at).total_seconds()


def test_output_streams_as_events_in_order(swarm: Swarm) -> None:
    chunks = ["first", "snowman ☃", "x" * 70_000]
    execution_id = swarm.start("stream", {"chunks": chunks})
    swarm.await_end(execution_id)
    told = [one["data"] for one in swarm.events(execution_id) if one["type"] == "execution.output"]
    assert "".join(one["text"] for one in told if one["stream"] == "output") == "".join(chunks)
    assert told[-1] == {"stream": "log", "text": "done"}


@pytest.mark.parametrize(
    ("how", "kind", "error_type", "says"),
    [
        ("exit", "handler_error", "SystemExit", "3"),
        ("unprintable", "handler_error", "Unprintable", ""),
        ("surrogate", "handler_error", "ValueError", "half a pair"),
        ("not_json", "handler_error", "TypeError", "not JSON"),
        ("huge_number", "handler_error", "TypeError", "not JSON"),
        ("deep", "handler_error", "", ""),
        ("large", "handler_error", "PayloadTooLarge", "the limit is 1048576"),
        ("large_checkpoint", "handler_error", "PayloadTooLarge", "the limit is 1048576"),
    ],
)
def test_a_handler_that_misbehaves_fails_alone(swarm: Swarm, how: str, kind: str, error_type: str, says: str) -> None:
    ended = swarm.await_end(swarm.start("misbehave", {"how": how}))
    assert ended.error is not None
    assert (ended.status, ended.error.kind, ended.attempt) == (FAILED, kind, 1)
    assert error_type in ended.error.type
    assert says in ended.error.message
    assert ended.model_dump_json()


def test_text_that_no_utf8_can_hold_is_spelled_out(swarm: Swarm) -> None:
    execution_id = swarm.start("misbehave", {"how": "surrogate_progress"})
    ended = swarm.await_end(execution_id)
    assert ended.status is COMPLETED
    assert ended.progress.message == "half a pair: \\ud800"
    assert [one["data"]["text"] for one in swarm.events(execution_id) if one["type"] == "execution.output"] == [
        "half a pair: \\ud800"
    ]


def test_an_async_handler_that_exits_fails_alone(swarm: Swarm) -> None:
    beside = running(swarm, "wait.async", {"file": "beside"}, on="one")
    ended = swarm.await_end(swarm.start("misbehave.async", {}, on="one"))
    assert ended.error is not None
    assert (ended.status, ended.error.type) == (FAILED, "HandlerExited")
    swarm.touch("beside")
    assert swarm.await_end(beside).status is COMPLETED


# --- slots -----------------------------------------------------------------------------------------------


def test_a_flood_never_takes_more_slots_than_there_are_and_ends_in_order(swarm: Swarm) -> None:
    ids = [swarm.start("wait.thread", {"file": "flood"}) for _ in range(40)]
    eventually(lambda: must_be((swarm.agent_record("one").load, swarm.agent_record("two").load), (3, 3)))
    eventually(lambda: must_be(sum(swarm.get(one).status is RUNNING for one in ids), 6))
    swarm.touch("flood")
    for execution_id in ids:
        assert swarm.await_end(execution_id).status is COMPLETED
    assert most_at_once(swarm, "one", ids) == 3
    assert most_at_once(swarm, "two", ids) == 3


def most_at_once(swarm: Swarm, agent: str, ids: list[str]) -> int:
    """The most of these executions that an agent ever held at once, by the events."""
    held, most = 0, 0
    for _, fields in swarm.redis.xrange(swarm.key("events")):
        if fields["agent_id"] == agent and fields["execution_id"] in ids:
            held += {"execution.queued": 1, "execution.completed": -1}.get(fields["type"], 0)
        most = max(most, held)
    return most


def test_force_start_exceeds_the_slots(swarm: Swarm) -> None:
    full = [running(swarm, "wait.thread", {"file": "full"}) for _ in range(6)]
    waiting = swarm.start("echo", "waits")
    assert swarm.get(waiting).waiting_for is not None
    forced = swarm.await_end(swarm.start("echo", "at once", force_start=True))
    assert (forced.status, forced.decision and forced.decision["by"]) == (COMPLETED, "forced")
    assert swarm.get(waiting).status not in (QUEUED, COMPLETED)
    swarm.touch("full")
    for execution_id in (*full, waiting):
        assert swarm.await_end(execution_id).status is COMPLETED


def test_urgent_work_overtakes(swarm: Swarm) -> None:
    for _ in range(6):
        running(swarm, "wait.thread", {"file": "overtaken"})
    slow = [swarm.start("echo", n, priority="low") for n in range(6)]
    urgent = swarm.start("echo", "urgent", priority="critical")
    swarm.touch("overtaken")
    ended = swarm.await_end(urgent)
    others = [swarm.await_end(execution_id) for execution_id in slow]
    assert ended.started_at is not None
    assert sum(one.started_at < ended.started_at for one in others if one.started_at) == 0
