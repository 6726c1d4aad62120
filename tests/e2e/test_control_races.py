"""Control against everything that happens at the same time: claims, completions, drains, agents that freeze."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Iterator

import pytest

from mindswarm_exec.errors import MoveRefused
from mindswarm_exec.lifecycle import CANCELLED, COMPLETED, PAUSED, RUNNING, Status
from mindswarm_exec.models.options import StartRequest
from mindswarm_exec.models.records import Execution
from tests.e2e.controlled_swarm import ControlledSwarm, gone
from tests.e2e.swarm import Process
from tests.eventually import eventually, must_be

WIDE = "tests.e2e.controlled:wide"
ENDS = {f"execution.{status}" for status in Status if status.is_terminal}
KINDS = ("async", "thread", "process")


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlledSwarm]:
    with ControlledSwarm(tmp_path_factory.mktemp("races"), agents=("stays",)) as swarm:
        yield swarm


@pytest.fixture(autouse=True)
def _slots_return_to_zero(swarm: ControlledSwarm) -> Iterator[None]:
    """Whatever a test did, nobody holds anything when its handlers have ended. What it started ends with it."""
    yield
    for agent in swarm.run(swarm.agents.list()):
        swarm.await_load(agent.agent_id, 0)
    for process in swarm.processes:
        if process.name not in ("beat", "dispatcher", "stays") and process.is_alive:
            process.terminate()
            process.exit_code()


# --- wishes against claims and completions ---------------------------------------------------------------


async def unless_completed(verb: Awaitable[Execution]) -> None:
    """Carry out the verb; that it comes too late is no fault."""
    try:
        await verb
    except MoveRefused as refused:
        if refused.facts["found"] != "completed":
            raise


def test_a_thousand_cancels_against_a_thousand_claims_and_completions(swarm: ControlledSwarm) -> None:
    swarm.agent("wide", WIDE)
    swarm.await_agents("wide")
    drawn = random.Random(48)
    only_wide = {"agent": {"agent_id": "wide"}}

    async def start_and_cancel(number: int) -> str:
        kind = ("quick", "quick.async")[number % 2]
        request = StartRequest.model_validate({"task_type": kind, "payload": number, "options": only_wide})
        execution_id = (await swarm.executions.start(request)).execution_id
        await asyncio.sleep(drawn.random() * 0.3)
        await unless_completed(swarm.executions.cancel(execution_id, force=number % 3 == 0))
        return execution_id

    ids: list[str] = []
    for first in range(0, 1000, 100):
        ids += swarm.all_of(*(start_and_cancel(number) for number in range(first, first + 100)))
    for execution_id in ids:
        swarm.await_end(execution_id)
    ends = Counter(
        (fields["execution_id"], fields["type"])
        for _, fields in swarm.redis.xrange(swarm.key("events"))
        if fields["type"] in ENDS and fields["execution_id"] in set(ids)
    )
    assert set(ends.values()) == {1}
    assert Counter(execution_id for execution_id, _ in ends) == dict.fromkeys(ids, 1)
    found = Counter(end for _, end in ends)
    assert set(found) <= {"execution.completed", "execution.cancelled"}
    for status in (CANCELLED, COMPLETED):
        assert found[f"execution.{status}"] >= 20, f"the race was none: {found}"
    swarm.await_load("wide", 0)
    again = swarm.start("quick", "free again", **only_wide)
    assert swarm.await_end(again).status is COMPLETED


def test_pauses_against_completions_leave_nothing_stuck(swarm: ControlledSwarm) -> None:
    drawn = random.Random(49)

    async def start_and_pause(number: int) -> str:
        request = StartRequest(task_type=("quick", "quick.async", "quick.process")[number % 3], payload=number)
        execution_id = (await swarm.executions.start(request)).execution_id
        await asyncio.sleep(drawn.random() * 0.1)
        await unless_completed(swarm.executions.pause(execution_id))
        return execution_id

    for first in range(0, 90, 15):
        for execution_id in swarm.all_of(*(start_and_pause(number) for number in range(first, first + 15))):
            if swarm.await_status(execution_id, PAUSED, COMPLETED).status is PAUSED:
                swarm.resume(execution_id)
            ended = swarm.await_end(execution_id)
            assert (ended.status, ended.failed_attempts) == (COMPLETED, 0), (
                f"{ended.error} {swarm.events(execution_id)}"
            )


@pytest.mark.parametrize("kind", KINDS)
def test_pauses_and_resumes_in_a_row_leave_it_running(swarm: ControlledSwarm, kind: str, file: str) -> None:
    drawn = random.Random(50)
    execution_id = swarm.counting(f"steps.{kind}", file)

    async def pause_and_resume() -> None:
        for _ in range(12):
            await swarm.executions.pause(execution_id)
            await asyncio.sleep(drawn.random() * 0.06)
            await swarm.executions.resume(execution_id)
            await asyncio.sleep(drawn.random() * 0.06)

    swarm.run(pause_and_resume())
    assert swarm.await_status(execution_id, RUNNING).intent is None
    swarm.touch(file)
    ended = swarm.await_end(execution_id)
    assert (ended.status, ended.failed_attempts, ended.lost_attempts) == (COMPLETED, 0, 0)
    assert ended.result["from"] == (3 if ended.attempt > 1 else 0)


# --- agents that leave -----------------------------------------------------------------------------------


def leaving(swarm: ControlledSwarm, name: str, **environment: str) -> Process:
    process = swarm.controlled(name, **environment)
    swarm.await_agents(name)
    return process


def runs_on(swarm: ControlledSwarm, execution_id: str, agent: str) -> None:
    found = swarm.get(execution_id)
    assert (found.status, found.agent_id) == (RUNNING, agent)


def test_an_agent_that_is_told_to_end_hands_on_what_checkpoints_and_what_waits(
    swarm: ControlledSwarm, file: str
) -> None:
    leaves = leaving(swarm, "leaves")
    steps = [swarm.counting(f"steps.{kind}", file, on="leaves") for kind in KINDS]
    pids = [swarm.pid_of(execution_id) for execution_id in steps]
    leaves.freeze()  # what is sent to it now stays unclaimed
    waits = swarm.start("quick", 1, on="leaves")
    leaves.terminate()
    leaves.thaw()
    assert leaves.exit_code() == 0
    for execution_id in steps:
        eventually(lambda one=execution_id: runs_on(swarm, one, "stays"), 10_000)
    eventually(lambda: gone(pids[2]))
    swarm.touch(file)
    for execution_id in (*steps, waits):
        ended = swarm.await_end(execution_id)
        assert (ended.status, ended.failed_attempts, ended.lost_attempts) == (COMPLETED, 0, 0)
    assert [swarm.get(execution_id).result["from"] for execution_id in steps] == [3, 3, 3]


@pytest.mark.parametrize("kind", KINDS)
def test_one_handler_that_hangs_is_handed_back_at_the_end_of_the_grace_and_the_exit_code_says_so(
    swarm: ControlledSwarm, kind: str, file: str
) -> None:
    name = f"hangs-{kind}"
    hangs = leaving(swarm, name, MINDSWARM_DRAIN_GRACE_SECONDS="1")
    steps = swarm.counting(f"steps.{kind}", file, on=name)
    deaf = swarm.running(f"deaf.{kind}", file, on=name)
    pid = swarm.pid_of(deaf)
    hangs.terminate()
    assert hangs.exit_code() == 75
    eventually(lambda: gone(pid), 10_000)
    swarm.touch(file)
    for execution_id in (steps, deaf):
        ended = swarm.await_end(execution_id)
        assert (ended.status, ended.agent_id) == (COMPLETED, "stays")
        assert (ended.attempt, ended.failed_attempts, ended.lost_attempts) == (2, 0, 0)


def test_a_drain_by_hand_hands_on_every_handler_that_checkpoints_and_lets_the_others_end(
    swarm: ControlledSwarm, file: str
) -> None:
    leaving(swarm, "drained")
    steps = [swarm.counting(f"steps.{kind}", file, on="drained") for kind in KINDS]
    stays = swarm.running("wait.thread", file, on="drained")
    record = swarm.run(swarm.agents.drain("drained"))
    assert record.state == "draining"
    for execution_id in steps:
        eventually(lambda one=execution_id: runs_on(swarm, one, "stays"), 10_000)
    assert swarm.agent_record("drained").held == (stays,)
    swarm.touch(file)
    for execution_id in steps:
        ended = swarm.await_end(execution_id)
        assert (ended.result, ended.attempt, ended.failed_attempts) == ({"agent": "stays", "from": 3}, 2, 0)
    assert swarm.await_end(stays).result == {"agent": "drained", "attempt": 1}


def test_what_was_frozen_when_its_agent_is_drained_by_hand_is_stranded(swarm: ControlledSwarm, file: str) -> None:
    leaving(swarm, "drained-too")
    execution_id = swarm.running("wait.process", file, on="drained-too")
    pid = swarm.pid_of(execution_id)
    swarm.pause(execution_id)
    assert swarm.await_status(execution_id, PAUSED).is_frozen
    swarm.run(swarm.agents.drain("drained-too"))
    stranded = swarm.released(execution_id)
    assert (stranded.status, stranded.is_frozen) == (PAUSED, False)
    eventually(lambda: gone(pid))
    swarm.touch(file)
    swarm.resume(execution_id)
    assert swarm.await_end(execution_id).result == {"agent": "stays", "attempt": 2}


def test_a_drain_whose_message_was_lost_is_learnt_with_the_next_renewal(swarm: ControlledSwarm, file: str) -> None:
    leaving(swarm, "deafened")
    execution_id = swarm.counting("steps.async", file, on="deafened")
    swarm.redis.hset(swarm.key("agent", "deafened"), mapping={"state": "draining", "accepts_work": "0"})
    eventually(lambda: must_be(swarm.get(execution_id).agent_id, "stays"), 10_000)
    swarm.touch(file)
    assert swarm.await_end(execution_id).result == {"agent": "stays", "from": 3}


# --- agents that freeze ----------------------------------------------------------------------------------


def test_a_process_of_an_agent_that_froze_beyond_its_lease_reports_in_vain_and_is_ended(
    swarm: ControlledSwarm, file: str
) -> None:
    nomad = leaving(swarm, "nomad")
    works = swarm.running("wait.process", file, on="nomad")
    counts = swarm.counting("steps.process", f"{file}.steps", on="nomad")
    pids = [swarm.pid_of(execution_id) for execution_id in (works, counts)]
    nomad.freeze()
    for execution_id in (works, counts):
        eventually(lambda one=execution_id: runs_on(swarm, one, "stays"), 15_000)
    since = swarm.redis.xrevrange(swarm.key("events"), count=1)[0][0]
    nomad.thaw()
    for pid in pids:
        eventually(lambda one=pid: gone(one), 10_000)
    swarm.await_agents("nomad")
    sources = eventually(lambda: _checkpointed_by(swarm, counts, since))
    assert set(sources) == {"agent:stays"}
    swarm.touch(file)
    swarm.touch(f"{file}.steps")
    for execution_id in (works, counts):
        ended = swarm.await_end(execution_id)
        assert (ended.status, ended.result["agent"], ended.lost_attempts) == (COMPLETED, "stays", 1)
        assert swarm.event_types(execution_id).count("completed") == 1
    swarm.await_load("nomad", 0)


def _checkpointed_by(swarm: ControlledSwarm, execution_id: str, since: str) -> list[str]:
    """Who recorded its checkpoints since then; waits for ten of them."""
    events = [fields for _, fields in swarm.redis.xrange(swarm.key("events"), f"({since}")]
    mine = [one for one in events if one["execution_id"] == execution_id]
    sources = [one["source"] for one in mine if one["type"] == "execution.checkpoint"]
    assert len(sources) >= 10
    return sources


def test_a_result_that_waited_in_a_frozen_agent_is_refused(swarm: ControlledSwarm, file: str) -> None:
    nomad = leaving(swarm, "late-nomad")
    execution_id = swarm.running("wait.process", file, on="late-nomad")
    nomad.freeze()
    swarm.touch(file)  # the process ends by itself; its agent cannot tell
    ended = swarm.await_end(execution_id)
    assert (ended.result["agent"], ended.attempt) == ("stays", 2)
    nomad.thaw()
    swarm.await_load("late-nomad", 0)
    assert swarm.get(execution_id) == ended
    assert swarm.event_types(execution_id).count("completed") == 1
