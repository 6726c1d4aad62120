"""Who sleeps, and whom waiting work wakes: the decisions of the ledger, one by one."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from mindswarm_exec.identifiers import new_nonce
from mindswarm_exec.ledger import operations
from mindswarm_exec.ledger.operations import Settlement
from mindswarm_exec.ledger.replies import Done, Refused, Renewed
from mindswarm_exec.lifecycle import COMPLETE, FAIL, PENDING, QUEUED
from mindswarm_exec.models.options import ExecutionOptions
from mindswarm_exec.service import sweeps
from mindswarm_exec.service.waiting import waiting_for
from tests.ledger.world import World

WAKE_SECONDS = 30


def submitted(world: World, **options: Any) -> str:
    execution_id = world.submit("t", ExecutionOptions.model_validate(options))
    assert execution_id is not None
    return execution_id


def asleep(world: World, *names: str, **profile: Any) -> None:
    """Agents that went to sleep by their own wish."""
    for name in names:
        world.open_agent(name, **profile)
        assert world.sleep(name) == Done("sleeping")


def states(world: World) -> dict[str, str]:
    return {name: record["state"] for name, record in world.snapshot().agents.items()}


def status(world: World, execution_id: str) -> str:
    return world.snapshot().status_of(execution_id)


def sweep_in(world: World, seconds: float) -> None:
    """Time passes, in which all agents are heard of; then a sweep."""
    world.advance(seconds)
    for agent_id, agent in world.model.agents.items():
        world.run(operations.renew(agent_id, agent.incarnation))
    sweeps.sweep(world.ledger)


# --- going to sleep ------------------------------------------------------------------------------------------


def test_an_agent_that_holds_something_or_is_told_otherwise_does_not_go_to_sleep(world: World) -> None:
    world.open_agent()
    execution_id = submitted(world)
    assert world.sleep("ant") == Refused("awake")
    world.settle(world.running(execution_id), Settlement(COMPLETE))
    world.run(operations.set_agent_state("ant", "", "draining", accepts_work=False))
    assert world.sleep("ant") == Refused("draining")


def test_a_sleeper_is_given_nothing_though_it_is_preferred_or_the_start_is_forced(world: World) -> None:
    asleep(world, "ant")
    world.open_agent("bee")
    submitted(world)
    forced = submitted(world, force_start=True, agent={"preferred_agent_id": "ant"})
    assert world.snapshot().executions[forced]["agent_id"] == "bee"
    assert status(world, submitted(world, agent={"preferred_agent_id": "ant"})) is PENDING
    assert states(world) == {"ant": "sleeping", "bee": "awake"}


def test_an_agent_that_work_waits_for_alone_is_waking_as_soon_as_it_sleeps(world: World) -> None:
    world.open_agent()
    running = world.running(submitted(world))
    waiting = submitted(world)
    assert world.sleep_by_hand("ant") == Done("waking")
    world.settle(running, Settlement(COMPLETE))
    assert status(world, waiting) is PENDING
    world.open_again("ant")
    assert status(world, waiting) is QUEUED


# --- whom work wakes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("priority", "then"), [(6, "sleeping"), (7, "waking"), (9, "waking")])
def test_while_an_awake_agent_is_busy_only_urgent_work_wakes_a_sleeper(
    priority: int, then: str, world: World
) -> None:
    asleep(world, "ant")
    world.open_agent("bee")
    submitted(world)
    submitted(world, priority=priority)
    assert states(world) == {"ant": then, "bee": "awake"}


def test_urgent_work_that_finds_a_free_agent_wakes_nobody(world: World) -> None:
    asleep(world, "ant")
    world.open_agent("bee")
    submitted(world, priority=9)
    assert states(world) == {"ant": "sleeping", "bee": "awake"}


def test_work_that_only_sleepers_can_serve_wakes_one_and_more_of_it_no_other(world: World) -> None:
    asleep(world, "ant", "bee")
    world.open_agent("cat", task_types=["u"])
    waiting = [submitted(world, priority=0) for _ in range(3)]
    assert sorted(states(world).values()) == ["awake", "sleeping", "waking"]
    assert all(status(world, one) is PENDING for one in waiting)


def test_the_sleeper_with_the_highest_success_rate_wakes_and_of_equals_the_one_longest_unused(world: World) -> None:
    for name, row in (("ant", FAIL), ("bee", COMPLETE), ("cat", COMPLETE)):
        world.open_agent(name)
        attempt = world.running(submitted(world, agent={"agent_id": name}))
        world.settle(attempt, Settlement(row, outcome="1" if row is COMPLETE else "0"))
        world.sleep(name)
    woken = []
    for _ in range(3):
        submitted(world, priority=9)
        woken += [name for name, state in states(world).items() if state == "waking" and name not in woken]
    assert woken == ["bee", "cat", "ant"]


def test_a_pinned_execution_wakes_its_agent_and_no_other(world: World) -> None:
    asleep(world, "ant", "bee")
    world.open_agent("cat")
    submitted(world, priority=0, agent={"agent_id": "bee"})
    assert states(world) == {"ant": "sleeping", "bee": "waking", "cat": "awake"}


def test_a_waking_agent_takes_what_waits_when_it_opens(world: World) -> None:
    asleep(world, "ant")
    execution_id = submitted(world)
    assert status(world, execution_id) is PENDING
    reply = world.open_again("ant")
    assert (reply.status, [wake.execution_id for wake in reply.wakes]) == ("awake", [execution_id])
    assert status(world, execution_id) is QUEUED


@pytest.mark.parametrize("how", ["drains", "leaves", "is put to sleep", "is lost"])
def test_when_the_last_awake_agent_goes_while_work_waits_a_sleeper_wakes(how: str, world: World) -> None:
    asleep(world, "ant")
    world.open_agent("bee")
    world.running(submitted(world))
    submitted(world)
    assert states(world)["ant"] == "sleeping"
    match how:
        case "drains":
            world.run(operations.set_agent_state("bee", "", "draining", accepts_work=False))
        case "leaves":
            incarnation = world.model.agents["bee"].incarnation
            world.run(operations.set_agent_state("bee", incarnation, "offline", accepts_work=False))
        case "is put to sleep":
            world.sleep_by_hand("bee")
        case "is lost":
            world.advance(16)
            world.run(operations.renew("ant", world.model.agents["ant"].incarnation))
            world.expire_lease("bee")
    assert "waking" in states(world).values()


def test_when_the_last_awake_agent_comes_back_without_the_task_type_a_sleeper_wakes(world: World) -> None:
    asleep(world, "ant")
    world.open_agent("bee")
    world.running(submitted(world))
    waiting = submitted(world)
    assert states(world)["ant"] == "sleeping"
    world.register("bee", {"task_types": ["u"], "capabilities": [], "labels": {}}, 1)
    assert (status(world, waiting), states(world)) == (PENDING, {"ant": "waking", "bee": "awake"})


def test_an_agent_below_the_success_rate_does_not_keep_a_better_sleeper_from_waking(world: World) -> None:
    asleep(world, "ant")
    world.open_agent("bee")
    world.settle(world.running(submitted(world)), Settlement(FAIL, outcome="0"))
    submitted(world, agent={"min_success_rate": 0.95})
    assert states(world) == {"ant": "waking", "bee": "awake"}


def test_a_sleeper_below_the_success_rate_is_not_woken_for_nothing(world: World) -> None:
    world.open_agent("ant")
    world.settle(world.running(submitted(world)), Settlement(FAIL, outcome="0"))
    world.sleep("ant")
    submitted(world, priority=9, agent={"min_success_rate": 0.95})
    assert states(world) == {"ant": "sleeping"}


def test_an_agent_that_falls_below_the_success_rate_leaves_its_work_to_a_sleeper(world: World) -> None:
    asleep(world, "ant")
    world.open_agent("bee")
    running = world.running(submitted(world))
    submitted(world, agent={"min_success_rate": 0.95})
    assert states(world)["ant"] == "sleeping"
    world.settle(running, Settlement(FAIL, outcome="0"))
    assert states(world)["ant"] == "waking"


# --- not waking in time --------------------------------------------------------------------------------------


def test_an_agent_that_does_not_open_in_time_is_passed_over_and_the_next_wakes(world: World) -> None:
    asleep(world, "ant", "bee")
    submitted(world)
    (first,) = (name for name, state in states(world).items() if state == "waking")
    sweep_in(world, WAKE_SECONDS - 1)
    assert states(world)[first] == "waking"
    sweep_in(world, 1)
    (second,) = (name for name, state in states(world).items() if state == "waking")
    assert (states(world)[first], second != first) == ("sleeping", True)
    sweep_in(world, WAKE_SECONDS)
    assert set(states(world).values()) == {"sleeping"}, "nobody is tried again and again"
    submitted(world, priority=9)
    assert set(states(world).values()) == {"sleeping"}


def test_urgent_work_that_still_waits_for_one_passed_over_wakes_the_next_though_another_is_awake(
    world: World,
) -> None:
    asleep(world, "ant", "bee")
    world.open_agent("cat")
    submitted(world)
    submitted(world)
    submitted(world, priority=8)
    sweep_in(world, WAKE_SECONDS)
    assert sorted(states(world).values()) == ["awake", "sleeping", "waking"]


def test_urgent_work_for_a_waking_agent_that_is_lost_wakes_the_next(world: World) -> None:
    asleep(world, "ant", "bee")
    world.open_agent("cat")
    submitted(world)
    submitted(world, priority=8)
    (first,) = (name for name, state in states(world).items() if state == "waking")
    world.advance(16)
    for name in {"ant", "bee", "cat"} - {first}:
        world.run(operations.renew(name, world.model.agents[name].incarnation))
    world.expire_lease(first)
    assert sorted(states(world).values()) == ["awake", "offline", "waking"]


def test_urgent_work_for_a_waking_agent_that_is_drained_wakes_the_next(world: World) -> None:
    asleep(world, "ant", "bee")
    world.open_agent("cat")
    submitted(world)
    submitted(world, priority=8)
    (first,) = (name for name, state in states(world).items() if state == "waking")
    world.run(operations.set_agent_state(first, "", "draining", accepts_work=False))
    assert sorted(states(world).values()) == ["awake", "draining", "waking"]


def renewed(world: World, agent_id: str) -> str:
    """The state that its next renewal tells an agent."""
    reply = world.run(operations.renew(agent_id, world.model.agents[agent_id].incarnation))
    assert isinstance(reply, Renewed)
    return reply.state


def test_one_that_missed_its_call_is_told_to_wake_until_it_opens_or_says_that_it_cannot(world: World) -> None:
    asleep(world, "ant", "bee")
    submitted(world)
    sweep_in(world, WAKE_SECONDS)
    sweep_in(world, WAKE_SECONDS)
    assert states(world) == {"ant": "sleeping", "bee": "sleeping"}
    assert [renewed(world, name) for name in ("ant", "bee", "bee")] == ["waking"] * 3
    world.run(operations.pass_over("bee", world.model.agents["bee"].incarnation))
    assert renewed(world, "bee") == "sleeping"
    world.open_again("ant")
    assert renewed(world, "ant") == "awake"


def test_one_that_missed_its_call_and_is_sent_to_sleep_by_hand_sleeps_and_may_be_woken(world: World) -> None:
    asleep(world, "ant")
    execution_id = submitted(world)
    sweep_in(world, WAKE_SECONDS)
    world.run(operations.cancel(execution_id, new_nonce(), "", force=False, error="{}", data="{}"))
    world.run(operations.set_agent_state("ant", "", "sleeping", accepts_work=False))
    assert renewed(world, "ant") == "sleeping"
    submitted(world)
    assert states(world) == {"ant": "waking"}


@pytest.mark.parametrize("how", ["by itself", "by hand", "registers anew"])
def test_one_that_was_passed_over_is_chosen_again_when_it_has_opened(how: str, world: World) -> None:
    asleep(world, "ant")
    execution_id = submitted(world)
    sweep_in(world, WAKE_SECONDS)
    assert "passed_over" in world.snapshot().agents["ant"]
    match how:
        case "by itself":
            world.open_again("ant")
        case "by hand":
            assert world.wake_by_hand("ant") == Done("waking")
            world.open_again("ant")
        case "registers anew":
            world.open_agent("ant")
    world.settle(world.running(execution_id), Settlement(COMPLETE))
    world.sleep("ant")
    submitted(world)
    assert states(world) == {"ant": "waking"}


def test_an_agent_that_cannot_wake_says_so_and_the_next_wakes_at_once(world: World) -> None:
    asleep(world, "ant", "bee")
    submitted(world)
    (first,) = (name for name, state in states(world).items() if state == "waking")
    world.run(operations.pass_over(first, world.model.agents[first].incarnation), twice=True)
    assert states(world)[first] == "sleeping"
    assert "waking" in states(world).values()


def test_what_waits_for_sleepers_says_who_sleeps_who_wakes_and_who_did_not(world: World) -> None:
    asleep(world, "ant")
    execution_id = submitted(world)
    assert reason(world, execution_id) == ("agents_asleep", "agent 'ant' is waking")
    sweep_in(world, WAKE_SECONDS)
    sleeps = "the agents that could serve it sleep: ant; 1 of them did not wake in time"
    assert reason(world, execution_id) == ("agents_asleep", sleeps)
    world.open_agent("bee")
    urgent = [submitted(world, priority=9) for _ in range(2)][-1]
    assert reason(world, urgent) == ("agents_busy", "1 of 1 slots of bee are taken")
    world.wake_by_hand("ant")
    busy = "1 of 1 slots of bee are taken; agent 'ant' is waking"
    assert reason(world, urgent) == ("agents_busy", busy)


def reason(world: World, execution_id: str) -> tuple[str, str]:
    look = world.run(operations.look(execution_id))
    assert look is not None
    told = waiting_for(look)
    assert told is not None
    return told.reason, told.detail


# --- by hand -------------------------------------------------------------------------------------------------


def test_a_sleeper_woken_by_hand_takes_no_work_before_it_has_opened(world: World) -> None:
    asleep(world, "ant")
    assert world.wake_by_hand("ant") == Done("waking")
    execution_id = submitted(world)
    assert status(world, execution_id) is PENDING
    world.open_again("ant")
    assert status(world, execution_id) is QUEUED


def test_a_sleeper_that_was_drained_wakes_with_its_hooks_and_one_that_never_slept_at_once(world: World) -> None:
    asleep(world, "ant")
    world.open_agent("bee")
    for name, then in (("ant", "waking"), ("bee", "awake")):
        world.run(operations.set_agent_state(name, "", "draining", accepts_work=False))
        assert world.wake_by_hand(name) == Done(then)


@pytest.mark.parametrize("word", ["draining", "sleeping"])
def test_an_agent_does_not_open_against_the_word_of_an_operator(word: str, world: World) -> None:
    asleep(world, "ant")
    world.wake_by_hand("ant")
    world.run(operations.set_agent_state("ant", "", word, accepts_work=False))
    assert world.open_again("ant") == Refused(word)


def test_the_control_channel_says_who_is_waking_last(world: World) -> None:
    world.open_agent()
    submitted(world)
    with world.ledger.client.pubsub() as listener:
        listener.subscribe(world.ledger.keys.of("control", "ant"))
        assert listener.get_message(timeout=20)
        world.sleep_by_hand("ant")
        said = [listener.get_message(timeout=20) for _ in range(2)]
    assert [one and one["data"] for one in said] == ["sleeping ant", "waking ant"]


def test_work_that_waits_for_busy_agents_asks_one_question_about_sleep(world: World) -> None:
    """Selection stays fast: an urgent arrival looks for a sleeper, any other for an agent that is awake."""
    world.open_agent()
    submitted(world)
    submitted(world)
    plain, urgent = (commands_of(world, priority=priority) for priority in (5, 9))
    assert plain - urgent == Counter({"scard": 1})
    assert urgent - plain == Counter({"zrange": 1})


def commands_of(world: World, **options: Any) -> Counter[str]:
    """The commands that the script of one submission calls, counted by the server."""
    before = _counts(world)
    submitted(world, **options)
    counted = _counts(world)
    counted.subtract(before)
    return +counted


def _counts(world: World) -> Counter[str]:
    found = world.ledger.client.info("commandstats")
    return Counter({name.removeprefix("cmdstat_"): stats["calls"] for name, stats in found.items()})
