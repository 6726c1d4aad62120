"""Agents that sleep: they go to sleep when idle or told to, and waking is what work or an operator brings about."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mindswarm_exec.lifecycle import COMPLETED, PENDING, RUNNING
from tests.e2e.swarm import Process, Swarm
from tests.eventually import eventually, must_be

SLEEPER = "tests.e2e.sleepers:sleeper"


@pytest.fixture
def swarm(tmp_path: Path) -> Iterator[Swarm]:
    # the lease is long, so that an agent that is stopped is passed over before it is lost
    with Swarm(tmp_path, MINDSWARM_WAKE_SECONDS="1.5", MINDSWARM_LEASE_SECONDS="6") as swarm:
        swarm.dispatcher()
        swarm.beat()
        yield swarm


def sleeper(swarm: Swarm, name: str, after_seconds: float | None = None) -> Process:
    """Start an agent with hooks; wait until it is open."""
    setting = {} if after_seconds is None else {"MINDSWARM_SLEEP_AFTER_SECONDS": str(after_seconds)}
    process = swarm.agent(name, SLEEPER, SWARM_SLEEPER=name, **setting)
    swarm.await_agents(name)
    return process


def asleep(swarm: Swarm, name: str) -> Process:
    """Start an agent and put it to sleep by hand."""
    process = sleeper(swarm, name)
    assert swarm.run(swarm.agents.sleep(name)).state == "sleeping"
    await_hooks(swarm, name, "start", "sleep")
    return process


def hooks(swarm: Swarm, name: str) -> list[str]:
    lines = [line.split() for line in swarm.written("hooks")]
    return [words[1] for words in lines if words[0] == name]


def await_hooks(swarm: Swarm, name: str, *wanted: str) -> None:
    eventually(lambda: must_be(hooks(swarm, name), list(wanted)), 15_000)


def agent_events(swarm: Swarm, name: str) -> list[str]:
    found = [fields for _, fields in swarm.redis.xrange(swarm.key("events"))]
    types = [fields["type"].removeprefix("agent.") for fields in found if fields["agent_id"] == name]
    return [event_type for event_type in types if not event_type.startswith("execution.")]


def runs(swarm: Swarm, name: str, file: str, **options: Any) -> str:
    """An execution that runs on the agent until `file` appears."""
    execution_id = swarm.start("wait.async", {"file": file}, **options)
    assert swarm.await_status(execution_id, RUNNING).agent_id == name
    return execution_id


def _at_least(found: float, least: float) -> None:
    assert found >= least


def test_an_idle_agent_sleeps_keeps_its_lease_and_is_woken_by_work_that_only_it_can_do(swarm: Swarm) -> None:
    sleeper(swarm, "idle", after_seconds=1.0)
    swarm.await_agents("idle", state="sleeping")
    await_hooks(swarm, "idle", "start", "sleep")
    lease_ms = int(swarm.redis.hget(swarm.key("agent", "idle"), "lease_expires_at_ms") or 0)
    eventually(lambda: _at_least(time.time() * 1000, lease_ms + 6_000), 20_000)
    assert swarm.agent_record("idle").state == "sleeping"
    execution_id = swarm.start("echo", 1, priority=0)
    ended = swarm.await_end(execution_id)
    assert (ended.status, ended.agent_id) == (COMPLETED, "idle")
    swarm.await_agents("idle", state="sleeping")
    await_hooks(swarm, "idle", "start", "sleep", "wake", "woke", "sleep")
    assert agent_events(swarm, "idle") == ["registered", "sleeping", "woken", "sleeping"]


def test_urgent_work_wakes_a_sleeper_while_the_awake_agent_is_busy_and_other_work_does_not(swarm: Swarm) -> None:
    asleep(swarm, "rested")
    sleeper(swarm, "busy")
    first = runs(swarm, "busy", "done")
    calm = swarm.start("echo", "calm", priority=6)
    assert swarm.get(calm).status is PENDING
    assert swarm.agent_record("rested").state == "sleeping"
    assert swarm.get(calm).waiting_for.reason == "agents_busy"  # type: ignore[union-attr]
    urgent = runs(swarm, "rested", "done", priority=7)
    assert hooks(swarm, "rested") == ["start", "sleep", "wake", "woke"]
    assert swarm.get(calm).status is PENDING
    swarm.touch("done")
    for execution_id in (first, calm, urgent):
        assert swarm.await_end(execution_id).status is COMPLETED


def test_an_agent_told_to_sleep_finishes_first_and_a_pinned_execution_wakes_it(swarm: Swarm) -> None:
    sleeper(swarm, "told")
    sleeper(swarm, "other")
    running = runs(swarm, "told", "finish", agent={"agent_id": "told"})
    assert swarm.run(swarm.agents.sleep("told")).state == "sleeping"
    assert swarm.run(swarm.agents.sleep("told")).load == 1
    elsewhere = swarm.start("echo", 1, on="told")
    assert swarm.await_end(elsewhere).agent_id == "other"
    assert hooks(swarm, "told") == ["start"]
    swarm.touch("finish")
    assert swarm.await_end(running).agent_id == "told"
    await_hooks(swarm, "told", "start", "sleep")
    pinned = swarm.start("echo", 2, agent={"agent_id": "told"})
    assert swarm.await_end(pinned).agent_id == "told"
    await_hooks(swarm, "told", "start", "sleep", "wake", "woke")
    assert agent_events(swarm, "told") == ["registered", "sleeping", "woken"]


def test_an_agent_is_woken_by_hand_with_its_hooks_and_one_that_drains_at_once(swarm: Swarm) -> None:
    asleep(swarm, "hand")
    assert swarm.run(swarm.agents.wake("hand")).state in ("waking", "awake")
    swarm.await_agents("hand")
    await_hooks(swarm, "hand", "start", "sleep", "wake", "woke")
    assert swarm.run(swarm.agents.drain("hand")).state == "draining"
    assert swarm.run(swarm.agents.wake("hand")).state == "awake"
    execution_id = swarm.start("echo", 1)
    assert swarm.await_end(execution_id).agent_id == "hand"
    assert len(hooks(swarm, "hand")) == 4


def test_words_that_come_late_put_no_agent_to_sleep_and_wake_none(swarm: Swarm) -> None:
    sleeper(swarm, "steady")
    channel = swarm.key("control", "steady")
    swarm.redis.publish(channel, "sleeping steady")
    assert swarm.await_end(swarm.start("echo", 1)).agent_id == "steady"
    assert hooks(swarm, "steady") == ["start"]
    swarm.run(swarm.agents.sleep("steady"))
    await_hooks(swarm, "steady", "start", "sleep")
    swarm.redis.publish(channel, "awake steady")
    swarm.run(swarm.agents.wake("steady"))
    swarm.await_agents("steady")
    swarm.redis.publish(channel, "waking steady")
    swarm.run(swarm.agents.sleep("steady"))
    await_hooks(swarm, "steady", "start", "sleep", "wake", "woke", "sleep")


def test_an_agent_whose_hook_hangs_or_that_is_stopped_is_passed_over_and_the_next_wakes(swarm: Swarm) -> None:
    asleep(swarm, "last")
    stopped = asleep(swarm, "stopped")
    asleep(swarm, "hung")
    # the one longest unused wakes first, so this one is used
    swarm.run(swarm.agents.wake("last"))
    swarm.await_agents("last")
    assert swarm.await_end(swarm.start("echo", 0)).agent_id == "last"
    swarm.run(swarm.agents.sleep("last"))
    await_hooks(swarm, "last", "start", "sleep", "wake", "woke", "sleep")
    swarm.touch("hung.hangs")
    stopped.freeze()
    execution_id = swarm.start("echo", 1)
    waiting = swarm.get(execution_id).waiting_for
    assert waiting is not None
    assert waiting.reason == "agents_asleep"
    assert waiting.detail in ("agent 'hung' is waking", "agent 'stopped' is waking")
    assert swarm.await_end(execution_id).agent_id == "last"
    for name in ("hung", "stopped"):
        assert swarm.agent_record(name).state == "sleeping"
    await_hooks(swarm, "hung", "start", "sleep", "wake")
    (swarm.files / "hung.hangs").unlink()
    stopped.thaw()
    swarm.await_agents("hung", "stopped")  # late, but awake: they open by themselves
    assert agent_events(swarm, "hung") == ["registered", "sleeping", "woken"]


def test_an_agent_whose_hook_fails_to_wake_it_sleeps_on_and_the_next_wakes_at_once(swarm: Swarm) -> None:
    asleep(swarm, "broken")
    sound = sleeper(swarm, "sound")
    assert swarm.await_end(swarm.start("echo", 0)).agent_id == "sound"
    swarm.run(swarm.agents.sleep("sound"))
    await_hooks(swarm, "sound", "start", "sleep")
    swarm.touch("broken.cannot-wake")
    swarm.touch("broken.cannot-unload")
    assert swarm.await_end(swarm.start("echo", 1)).agent_id == "sound"
    assert swarm.agent_record("broken").state == "sleeping"
    assert "a hook failed: on_wake 'load_again'" in swarm.named("broken").log
    (swarm.files / "broken.cannot-wake").unlink()
    swarm.run(swarm.agents.wake("broken"))
    swarm.await_agents("broken")
    assert swarm.run(swarm.agents.sleep("broken")).state == "sleeping"
    eventually(lambda: must_be("a hook failed: on_sleep 'unload'" in swarm.named("broken").log, True))
    assert swarm.agent_record("broken").state == "sleeping"
    assert sound.is_alive


def test_an_agent_that_was_frozen_in_its_sleep_beyond_its_lease_sleeps_on(swarm: Swarm) -> None:
    frozen = asleep(swarm, "frozen")
    incarnation = swarm.agent_record("frozen").incarnation
    frozen.freeze()
    swarm.await_agents("frozen", state="offline")
    frozen.thaw()
    swarm.await_agents("frozen", state="sleeping")
    assert swarm.agent_record("frozen").incarnation != incarnation
    assert swarm.await_end(swarm.start("echo", 1)).agent_id == "frozen"
    await_hooks(swarm, "frozen", "start", "sleep", "wake", "woke")


def test_a_failing_on_start_hook_ends_the_process_before_the_agent_is_known(swarm: Swarm) -> None:
    swarm.touch("faulty.cannot-start")
    process = swarm.agent("faulty", SLEEPER, SWARM_SLEEPER="faulty")
    assert process.exit_code() == 70
    assert "its on_start hook 'load' failed: RuntimeError: the model is missing" in process.log
    assert not swarm.redis.exists(swarm.key("agent", "faulty"))
