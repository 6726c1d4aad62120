"""What a person is told, by the command line, of executions that wait for every cause in one swarm of real agents."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mindswarm_exec.lifecycle import COMPLETED, PAUSED, PENDING, RUNNING
from tests.cli.conftest import command
from tests.e2e.swarm import Swarm
from tests.eventually import eventually, must_be

#: One slot; what it alone can do is `echo`, `steps` and the like.
SOLO = "tests.e2e.sleepers:sleeper"
#: Many slots; what it alone can do is `ask.async`, `spend.async`, `fail.thread`.
DESK = "tests.e2e.controlled:agent"


@dataclass(frozen=True)
class Room:
    """The swarm, with an API that the command line speaks to."""

    swarm: Swarm
    api_url: str

    def says(self, *words: str, columns: int = 80) -> str:
        said = command(*words, MINDSWARM_API_URL=self.api_url, COLUMNS=str(columns))
        assert said.code == 0, said.err
        assert all(len(line) <= columns for line in said.out.splitlines()), said.out
        return said.out

    def start(self, *words: str) -> str:
        said = command("start", *words, "--json", MINDSWARM_API_URL=self.api_url)
        assert said.code == 0, said.err
        return str(said.document["execution_id"])

    def explained(self, execution_id: str) -> Any:
        said = command("explain", execution_id, "--json", MINDSWARM_API_URL=self.api_url)
        assert said.code == 0, said.err
        return said.document

    def causes(self, execution_id: str) -> list[str]:
        """What it waits for, and what it would wait for next."""
        found = self.explained(execution_id)
        return [one["reason"] for one in (found["waiting"], *found["then"]) if one is not None]

    def answer(self, execution_id: str) -> list[str]:
        """The first sentence that a person reads, with its lines joined, and the next step."""
        told = " ".join(self.says("explain", execution_id, columns=80).split())
        return told.partition(" execution ")[0].split("→ ")


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    with Swarm(tmp_path_factory.mktemp("explained")) as swarm:
        swarm.dispatcher()
        swarm.beat()
        swarm.agent("solo", SOLO)
        swarm.agent("desk", DESK)
        swarm.await_agents("solo", "desk")
        yield Room(swarm, swarm.api())


@pytest.fixture(scope="module")
def holding(room: Room) -> Iterator[str]:
    """What runs in the one slot of `solo` until the tests are over."""
    execution_id = room.start("steps", '{"steps": 1, "hold": 0, "file": "go"}')
    room.swarm.await_status(execution_id, RUNNING)
    yield execution_id
    room.swarm.touch("go")


def test_what_runs_tells_who_was_chosen_and_what_ruled_the_others_out(room: Room, holding: str) -> None:
    first, _ = told = room.says("explain", holding).split("\n", 1)
    assert first.startswith("Runs on agent solo: it had the highest score")
    assert "does not implement 'steps'" in told[1]
    assert "idle 10 + free slots 2 + success 5 + affinity 0" in " ".join(told[1].split())


def test_what_waits_for_a_slot_tells_whose_and_who_is_before_it_in_other_lanes_too(room: Room, holding: str) -> None:
    first = room.start("echo", "1")
    other = room.start("echo", "2", "--exclude", "nobody")
    assert room.answer(first)[0].strip() == "Not now: 1 of 1 slots of solo are taken."
    assert "nobody: the next free slot is its own" in room.says("explain", first)
    assert f"none of the 1 that ask for the same, and 1 more that the same agents could do: …{first[-8:]}" in (
        " ".join(room.says("explain", other).split())
    )
    assert room.explained(other)["lane"]["just_ahead"] == [first]
    for one in (first, other):
        room.says("cancel", one)


def test_what_never_runs_says_so_first_and_behind_what_holds_it_on_purpose(room: Room) -> None:
    assert "no registered agent implements it (did you mean 'echo'?)" in room.answer(room.start("ech"))[0]
    gpu = room.start("echo", "--require", "gpu")
    assert "Never as things are" in room.answer(gpu)[0]
    assert "the nearest miss is solo, which lacks the capability gpu" in room.answer(gpu)[0]
    later = room.start("ech", "--start-at", "10m")
    told, _, then = room.says("explain", later).partition("and then")
    assert told.startswith("Held on purpose: it was asked not to start before")
    assert then.strip().startswith("Never as things are: no agent can ever run 'ech'")
    assert room.causes(later) == ["start_at", "no_such_task_type"]


def test_what_is_paused_tells_by_whom_and_what_it_would_wait_for_then(room: Room, holding: str) -> None:
    waiting = room.start("echo", "3")
    room.says("pause", waiting, "--reason", "lunch")
    told, step = room.answer(waiting)
    assert told.startswith("Held on purpose: it was paused by client (cli")
    assert "lunch" in told
    assert f"mindswarm-exec resume {waiting}" in step
    assert room.causes(waiting) == ["paused", "agents_busy"]
    room.says("resume", waiting)
    assert room.causes(waiting) == ["agents_busy"]
    room.says("cancel", waiting)


def test_a_key_tells_who_holds_it_and_that_the_holder_waits_itself(room: Room, holding: str) -> None:
    holder, held = (room.start("echo", "4", "--concurrency-key", "door") for _ in range(2))
    told, step = room.answer(held)
    assert f"concurrency key 'door' admits 1 at a time; held by {holder} (waits itself)" in told
    assert f"mindswarm-exec explain {holder}" in step
    assert room.causes(held) == ["concurrency_key", "agents_busy"]
    room.says("cancel", holder)
    assert room.causes(held) == ["agents_busy"]
    room.says("cancel", held)


def test_a_failed_attempt_tells_when_the_next_is_due(room: Room) -> None:
    policy = '{"retry_policy": {"max_attempts": 3, "initial_delay_seconds": 290, "jitter": 0}}'
    failed = room.start("fail.thread", '{"until": 9, "type": "ValueError"}', "--options", policy)
    room.swarm.await_status(failed, PENDING)
    eventually(lambda: must_be(room.causes(failed), ["retry_delay"]), 10_000)
    told, step = room.answer(failed)
    assert "1 attempt failed, and the next attempt is due at" in told
    assert step.strip().startswith("it goes on by itself in 4 min")
    assert f"attempt 1 went to {room.explained(failed)['placement']['agent_id']}" in room.says("explain", failed)
    best = room.start("fail.thread", "{}", "--options", '{"agent": {"min_success_rate": 1}}')
    assert room.causes(best) == ["success_rate"]
    for one in (failed, best):
        room.says("cancel", one)


def test_a_spent_budget_tells_whose_it_is_and_how_it_goes_on(room: Room) -> None:
    spent = room.start(
        "spend.async",
        '{"amount": 10, "times": 4, "checkpoints": true}',
        "--options",
        '{"resource_limits": {"meters": {"tokens": 20}}}',
    )
    room.swarm.await_status(spent, PAUSED)
    told, step = room.answer(spent)
    assert "of the budget of tokens, 20 of 20 are spent" in told
    assert f"mindswarm-exec resume {spent} --meter tokens=LIMIT" in step
    room.says("resume", spent, "--meter", "tokens=100")
    assert room.swarm.await_end(spent).status is COMPLETED


def test_a_question_whose_agent_has_died_tells_of_both(room: Room) -> None:
    asking = room.start("ask.async", "{}")
    room.swarm.await_status(asking, PAUSED)
    assert room.causes(asking) == ["input_required"]
    room.swarm.named("desk").kill()
    late = eventually(lambda: _silent(room.explained(asking)), 10_000)
    assert late.startswith("its lease ran out") or late == "offline"
    eventually(lambda: must_be(room.causes(asking), ["input_required", "agents_offline"]), 15_000)
    told, step = room.answer(asking)
    assert "its handler waits for the answer to 'May it go on?'" in told
    assert f"mindswarm-exec provide-input {asking} JSON" in step
    assert "desk is offline" in room.says("explain", asking, columns=120)
    room.swarm.agent("desk", DESK)
    room.swarm.await_agents("desk")
    assert room.causes(asking) == ["input_required"]
    room.says("cancel", asking)


def test_a_simulation_tells_what_start_then_does_and_what_one_more_agent_would_change(
    room: Room, holding: str
) -> None:
    assert room.says("simulate", "quick.async").startswith("It would start at once on agent desk")
    assert "It would wait. Not now: 1 of 1 slots of solo are taken." in room.says("simulate", "echo")
    more = ("--with-agent", '{"max_concurrent": 1}')
    assert "on agent one-more" in room.says("simulate", "echo", *more)
    waiting = room.start("echo", "5")
    assert "1 of 1 slots of solo, one-more" not in room.says("simulate", "echo", *more)
    assert "2 of 2 slots of solo, one-more are taken" in " ".join(room.says("simulate", "echo", *more).split())
    room.says("cancel", waiting)


def test_an_agent_that_drains_with_work_behind_it_is_told_as_what_it_is(room: Room, holding: str) -> None:
    waiting = room.start("echo", "6")
    room.says("agent-drain", "solo")
    assert room.causes(waiting) == ["agents_offline"]
    assert "solo is draining" in room.answer(waiting)[0]
    room.swarm.await_status(holding, PENDING)  # it stopped at its checkpoint and was handed back
    assert room.causes(holding) == ["agents_offline"]
    room.swarm.touch("go")
    room.swarm.agent("solo", SOLO)
    assert all(room.swarm.await_end(one).status is COMPLETED for one in (holding, waiting))
    assert "it ran last on agent solo" in room.says("explain", waiting, columns=120)


def _silent(found: Any) -> str:
    desk = next(one for one in found["candidates"] if one["agent_id"] == "desk")
    assert desk["silence"] or desk["state"] == "offline"
    return desk["silence"] or str(desk["state"])


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Room]:
    """Six agents: two are free, one each is asleep, drains, is busy, and cannot do `echo`."""
    with Swarm(tmp_path) as swarm:
        swarm.dispatcher()
        for name in ("asleep", "busy", "drains", "free", "idle"):
            swarm.agent(name, SOLO)
        swarm.agent("desk", DESK)
        swarm.await_agents("asleep", "busy", "drains", "free", "idle", "desk")
        yield Room(swarm, swarm.api())


def test_a_choice_tells_every_agent_as_it_was_then_and_goes_on_telling_it(crew: Room) -> None:
    held = crew.start("steps", '{"steps": 1, "hold": 0, "file": "go"}', "--agent", "busy")
    crew.swarm.await_status(held, RUNNING)
    crew.says("agent-sleep", "asleep")
    crew.says("agent-drain", "drains")
    chosen = crew.start("echo", "1")
    assert crew.swarm.await_end(chosen).status is COMPLETED
    placed = crew.explained(chosen)["placement"]
    (other,) = placed["runners_up"]
    assert {placed["agent_id"], other["agent_id"]} == {"free", "idle"}
    assert (other["load"], other["max_concurrent"], other["score"]) == (0, 1, sum(other["terms"].values()))
    crew.says("agent-wake", "asleep")
    crew.says("agent-wake", "drains")
    crew.swarm.touch("go")
    assert crew.swarm.await_end(held).status is COMPLETED
    said = " ".join(crew.says("explain", chosen, columns=160).split())
    assert f"{other['agent_id']} 17 free too, with 0 of 1 slots taken: idle 10 + free slots 2 + success 5" in said
    for told in (
        "asleep – was asleep (for ",
        "drains – was draining (for ",
        "busy – was busy: its one slot was taken",
    ):
        assert told in said
    assert "desk – does not implement 'echo'" in said
    assert crew.explained(chosen)["placement"] == placed
