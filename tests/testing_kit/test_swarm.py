"""The fixture `swarm`: the real ledger, engine and membership in one process, on a clock that tests move."""

from __future__ import annotations

import asyncio
import os
import threading
import traceback
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mindswarm_exec import Agent, ExecutionContext
from mindswarm_exec.errors import ExecutionNotCompleted, InvalidRequest, ResultNotReady
from mindswarm_exec.testing import Swarm
from tests.eventually import eventually, must_be, must_hold
from tests.testing_kit import agents_under_test as agents
from tests.testing_kit.test_plugin import pytest_in

TEXTS = {"texts": ["to be or not", "to be"]}
COUNTS = {"text 0": 4, "text 1": 2}


def test_work_is_done_from_the_submission_to_its_result(swarm: Swarm) -> None:
    swarm.agent(agents.agent)
    handle = swarm.start("count", TEXTS, priority="high")
    assert handle.result() == COUNTS
    assert [event.event_type for event in handle.events()][-1] == "execution.completed"


def test_an_agent_is_also_found_by_its_name(swarm: Swarm) -> None:
    assert swarm.agent("tests.testing_kit.agents_under_test:agent", "other").name == "other"
    assert swarm.start("count", TEXTS).result() == COUNTS
    assert [one.agent_id for one in swarm.client.agents()] == ["other"]


def test_work_that_waits_is_taken_by_an_agent_that_comes(swarm: Swarm) -> None:
    handle = swarm.start("count", TEXTS)
    assert handle.get().status == "pending"
    swarm.agent(agents.agent)
    assert handle.result() == COUNTS


def test_a_backlog_is_fed_from_the_ledger(swarm: Swarm) -> None:
    swarm.agent(agents.agent)
    handles = [swarm.start("hash", ["a"] * number) for number in range(20)]
    assert [handle.result() for handle in handles] == list(range(20))


def test_a_pause_keeps_the_checkpoint_for_the_resume(swarm: Swarm, request: pytest.FixtureRequest) -> None:
    name = request.node.name
    swarm.agent(agents.agent)
    handle = swarm.start("wait", name)
    assert agents.began.setdefault(name, threading.Event()).wait(10)
    handle.pause("look at it")
    assert handle.await_status("paused").intent is not None
    agents.gate(name).set()
    handle.resume()
    assert handle.result() == "worker"
    assert handle.get().attempt == 2


def test_a_cancel_reaches_the_handler(swarm: Swarm, request: pytest.FixtureRequest) -> None:
    swarm.agent(agents.agent)
    handle = swarm.start("wait", request.node.name)
    handle.await_status("running")
    handle.cancel()
    handle.await_status("cancelled")
    with pytest.raises(ExecutionNotCompleted, match="cancelled"):
        handle.result()
    assert handle.execution_id in agents.cleaned


def test_a_question_is_answered(swarm: Swarm) -> None:
    swarm.agent(agents.agent)
    handle = swarm.start("approve", "all")
    handle.await_status("paused")
    handle.provide_input(True)
    assert handle.result() == "deleted"


def test_children_run_on_the_same_swarm(swarm: Swarm) -> None:
    swarm.agent(agents.agent)
    assert swarm.start("gather", ["a b", "c"]).result() == [{"text 0": 2}, {"text 0": 1}]


def test_process_handlers_run_in_processes(swarm: Swarm) -> None:
    swarm.agent(agents.apart)
    assert swarm.start("pid", [1]).result(timeout=30) != os.getpid()


# --- time ------------------------------------------------------------------------------------------------


def test_a_delayed_start_comes_when_the_clock_says_so(swarm: Swarm) -> None:
    swarm.agent(agents.agent)
    handle = swarm.start("count", TEXTS, start_at=swarm.clock.now() + timedelta(hours=3))
    swarm.clock.advance(3 * 3600 - 60)
    swarm.sweep()
    assert handle.get().status == "pending"
    swarm.clock.advance(60)
    swarm.sweep()
    assert handle.result() == COUNTS


def test_retries_wait_for_the_clock(swarm: Swarm) -> None:
    swarm.agent(agents.agent)
    handle = swarm.start("later")
    for attempt in (1, 2):
        eventually(lambda attempt=attempt: is_waiting(handle.get(), attempt))
        swarm.clock.advance(60)
        swarm.sweep()
    assert handle.result() == 3


def is_waiting(execution: Any, attempt: int) -> None:
    assert (execution.status, execution.attempt) == ("pending", attempt)


def test_a_queue_timeout_passes_with_the_clock(swarm: Swarm) -> None:
    handle = swarm.start("count", TEXTS, queue_timeout_seconds=30)
    swarm.clock.advance(31)
    assert swarm.sweep().moved == 1
    assert handle.get().status == "timed_out"


def test_no_agent_is_lost_because_a_test_moves_the_clock(swarm: Swarm) -> None:
    swarm.agent(agents.agent)
    swarm.clock.advance(7 * 86400)
    swarm.sweep()
    assert [one.state for one in swarm.client.agents()] == ["awake"]
    assert swarm.start("count", TEXTS).result() == COUNTS


def test_the_clock_does_not_go_backwards(swarm: Swarm) -> None:
    with pytest.raises(InvalidRequest, match="put back"):
        swarm.clock.advance(-1)


# --- loss ------------------------------------------------------------------------------------------------


def test_the_work_of_an_agent_that_is_cut_off_moves_on(swarm: Swarm, request: pytest.FixtureRequest) -> None:
    name = request.node.name
    first = swarm.agent(agents.agent, "first")
    handle = swarm.start("wait", name)
    handle.await_status("running")
    first.cut_off()
    swarm.agent(agents.agent, "second")
    swarm.clock.advance(swarm.settings.lease_seconds)
    swarm.sweep()
    agents.gate(name).set()
    assert handle.result() == "second"
    first.reconnect()
    eventually(lambda: is_awake(swarm, "first"))
    assert handle.result() == "second"


def is_awake(swarm: Swarm, name: str) -> None:
    assert swarm.client.agent(name).state == "awake"


def test_a_second_agent_of_a_name_takes_the_place_of_the_first(swarm: Swarm, request: pytest.FixtureRequest) -> None:
    name = request.node.name
    first = swarm.agent(agents.agent)
    handle = swarm.start("wait", name)
    handle.await_status("running")
    swarm.agent(agents.agent)
    eventually(lambda: must_hold(first.is_fenced))
    agents.gate(name).set()
    assert handle.result() == "worker"
    assert handle.get().attempt == 2


def test_a_drained_agent_hands_its_work_on(swarm: Swarm, request: pytest.FixtureRequest) -> None:
    name = request.node.name
    first = swarm.agent(agents.agent, "first")
    handle = swarm.start("wait", name)
    handle.await_status("running")
    swarm.agent(agents.agent, "second")
    assert first.drain()
    agents.gate(name).set()
    assert handle.result() == "second"


# --- isolation of tests ----------------------------------------------------------------------------------


def test_two_swarms_on_one_server_see_nothing_of_each_other(swarm: Swarm, swarm_server: str) -> None:
    swarm.agent(agents.agent)
    with Swarm(swarm_server) as other:
        waiting = other.start("count", TEXTS)
        assert swarm.start("count", TEXTS).result() == COUNTS
        assert (waiting.get().status, other.client.agents()) == ("pending", [])


def test_a_closed_swarm_leaves_nothing_on_the_server(swarm_server: str, swarm: Swarm) -> None:
    other = Swarm(swarm_server)
    other.agent(agents.agent)
    other.start("count", TEXTS).result()
    other.close()
    assert list(swarm._ledger.client.scan_iter(f"{{{other.settings.namespace}}}*")) == []


class TestSettings:
    @pytest.fixture
    def swarm_settings(self) -> dict[str, Any]:
        return {"max_payload_bytes": 1024}

    def test_a_test_may_have_settings_of_its_own(self, swarm: Swarm) -> None:
        with pytest.raises(InvalidRequest, match="1024"):
            swarm.start("count", {"texts": ["x" * 2000]})


# --- what a failing test says ------------------------------------------------------------------------------


def test_a_failure_is_caused_by_what_the_handler_raised_with_its_lines(swarm: Swarm) -> None:
    swarm.agent(agents.agent)
    handle = swarm.start("fail")
    with pytest.raises(ExecutionNotCompleted, match="ended as failed: Shaky: it broke") as caught:
        handle.result()
    cause = caught.value.__cause__
    assert isinstance(cause, agents.Shaky)
    assert Path(traceback.extract_tb(cause.__traceback__)[0].filename).name == "agents_under_test.py"
    with pytest.raises(AssertionError, match="not completed after 0 s: fail is failed; Shaky: it broke") as failed:
        handle.await_status("completed", timeout=0)
    assert failed.value.__cause__ is cause


@pytest.mark.parametrize(
    ("task_type", "options", "says"),
    [
        ("cuont", {}, r"cuont is pending; no agent can ever run .*did you mean 'count'"),
        (
            "count",
            {"start_at": "2099-01-01T00:00:00Z"},
            r"count is pending; .*; put swarm\.clock forward, then swarm\.sweep",
        ),
    ],
)
def test_a_wait_in_vain_says_where_it_is(swarm: Swarm, task_type: str, options: Any, says: str) -> None:
    swarm.agent(agents.agent)
    with pytest.raises(ResultNotReady, match=says):
        swarm.start(task_type, TEXTS, **options).result(timeout=0.1)


def test_a_wait_for_what_runs_or_asks_says_how_far_it_is(swarm: Swarm) -> None:
    asking, running = Agent("asking"), Agent("running")

    @asking.task("ask")
    async def ask(ctx: ExecutionContext) -> object:
        return await ctx.ask("Really?")

    @running.task("run")
    async def run(ctx: ExecutionContext) -> None:
        await ctx.progress(0.3, "reading")
        await asyncio.Event().wait()

    swarm.agent(asking)
    swarm.agent(running)
    asked = swarm.start("ask")
    asked.await_status("paused")
    with pytest.raises(
        ResultNotReady, match=r"after 0.1 s ask is paused; it asks 'Really\?': answer with provide_input"
    ):
        asked.result(timeout=0.1)
    begun = swarm.start("run")
    eventually(lambda: must_be(begun.get().progress.fraction, 0.3), within_ms=10_000)
    with pytest.raises(ResultNotReady, match="run is running; attempt 1 is at 30%, reading"):
        begun.result(timeout=0.1)


def test_a_failing_test_shows_the_line_of_the_handler_and_nothing_of_the_kit(tmp_path: Path) -> None:
    (tmp_path / "test_broken.py").write_text(BROKEN)
    ended = pytest_in(tmp_path)
    assert "2 failed" in ended.stdout
    assert ended.stdout.count('>       return {}["absent"]') == 2
    assert ".result == 1" in ended.stdout
    assert ".result() == 1" in ended.stdout
    assert "calling.py" not in ended.stdout
    assert "rehearsal.py" not in ended.stdout
    assert "swarm.py" not in ended.stdout


BROKEN = """
from mindswarm_exec import Agent
from mindswarm_exec.testing import run

agent = Agent("broken")


@agent.task("break")
async def broken(ctx):
    return {}["absent"]


def test_alone():
    assert run(broken).result == 1


def test_on_a_swarm(swarm):
    swarm.agent(agent)
    assert swarm.start("break").result() == 1
"""
