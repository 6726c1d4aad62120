"""What ruled each agent out when a choice was made, one cause at a time, and how long that can be told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mindswarm_exec.ledger import operations
from mindswarm_exec.ledger.looks import SeenAgent
from mindswarm_exec.ledger.operations import Settlement
from mindswarm_exec.lifecycle import COMPLETE
from mindswarm_exec.models.explanations import Placement
from mindswarm_exec.models.options import AgentSelectionCriteria, ExecutionOptions
from mindswarm_exec.service.noted import read_note
from mindswarm_exec.settings import Settings
from tests.ledger.explained import Explained, explain
from tests.ledger.world import World

UNKNOWN = "had no free slot or was not open for work"


@pytest.fixture
def explained(valkey_url: str, namespace: str) -> Iterator[Explained]:
    explained = Explained(valkey_url, Settings(namespace=namespace))
    yield explained
    explained.close()


def submit(world: World, **criteria: object) -> str:
    options = ExecutionOptions(agent=AgentSelectionCriteria.model_validate(criteria))
    return world.submit("t", options) or ""


def placed(on: Explained, execution_id: str) -> Placement:
    placement = explain(on, execution_id).placement
    assert placement is not None
    return placement


def ruled_out(on: Explained, execution_id: str) -> dict[str, str]:
    return {one.agent_id: one.because for one in placed(on, execution_id).ruled_out}


def drain(world: World, agent_id: str) -> None:
    world.run(operations.set_agent_state(agent_id, "", "draining", accepts_work=False, event="agent.draining"))


def nap(world: World, agent_id: str) -> None:
    world.sleep(agent_id)
    world.wake_by_hand(agent_id)
    world.open_again(agent_id)


# --- states ----------------------------------------------------------------------------------------------


def test_each_agent_is_told_in_the_state_that_it_was_in_and_since_when(explained: Explained) -> None:
    world = explained.world
    for name in ("awake", "asleep", "waking", "drains", "lost", "busy", "twice"):
        world.open_agent(name, 2 if name == "twice" else 1)
    world.open_agent("other", task_types=["u"])
    world.register("unopened", world.model.agents["awake"].profile, 1)
    for name in ("busy", "twice", "twice"):
        submit(world, agent_id=name)
    world.advance(300)
    for lost in world.expire_lease("lost").lost:
        world.settle_lost("lost", lost)
    world.sleep("asleep")
    world.sleep("waking")
    world.advance(600)
    world.wake_by_hand("waking")
    drain(world, "drains")
    world.advance(900)
    assert ruled_out(explained, submit(world)) == {
        "asleep": "was asleep (for 25 min)",
        "waking": "was waking (for 15 min)",
        "drains": "was draining (for 15 min)",
        "lost": "was offline (for 25 min)",
        "busy": "was busy: its one slot was taken",
        "twice": "was busy: all 2 slots were taken",
        "other": "does not implement 't'",
        "unopened": "had registered 30 min before, and not opened for work yet",
    }


def test_what_is_told_of_a_choice_stays_true_of_it_whatever_becomes_of_the_agents(explained: Explained) -> None:
    world = explained.world
    for name in ("ant", "bee", "cat", "dog"):
        world.open_agent(name)
    world.sleep("bee")
    submit(world, agent_id="cat")
    drain(world, "dog")
    chosen = submit(world)
    told = ruled_out(explained, chosen)
    nap(world, "bee")
    for attempt in explained.held_by("cat"):
        explained.finish(attempt, Settlement(COMPLETE))
    drain(world, "cat")
    world.wake_by_hand("dog")
    assert ruled_out(explained, chosen) == told
    world.open_agent("bee")
    world.open_agent("cat")
    assert ruled_out(explained, chosen) == told | {"cat": "its process has registered since"}


def test_an_agent_that_a_sweep_finds_lost_was_awake_until_then(explained: Explained) -> None:
    world = explained.world
    world.open_agent("ant")
    submit(world)
    world.advance(world.settings.lease_seconds + 60)
    world.open_agent("bee", 2)
    before = submit(world, preferred_agent_id="bee")
    for lost in world.expire_lease("ant").lost:
        world.settle_lost("ant", lost)
    assert ruled_out(explained, before) == {"ant": "was busy: its one slot was taken"}


def test_an_agent_that_hands_work_on_when_it_drains_was_draining_for_the_one_that_takes_it(
    explained: Explained,
) -> None:
    """The change of state and the choice are of one script, and of one instant."""
    world = explained.world
    world.open_agent("ant")
    handed_on = submit(world)
    world.open_agent("bee")
    drain(world, "ant")
    assert placed(explained, handed_on).agent_id == "bee"
    assert ruled_out(explained, handed_on) == {"ant": "was draining (for 0.0 s)"}


def test_a_success_rate_that_is_asked_for_leaves_open_whether_it_was_too_low(explained: Explained) -> None:
    world = explained.world
    for name in ("ant", "bee", "cat"):
        world.open_agent(name)
    world.ledger.client.hset(world.ledger.keys.of("success", "bee"), "t", 0.5)
    world.sleep("cat")
    world.advance(180)
    assert ruled_out(explained, submit(world, min_success_rate=0.9)) == {
        "bee": "was busy: its one slot was taken, or its success rate was too low",
        "cat": "was asleep (for 3 min)",
    }


def test_a_record_keeps_the_latest_changes_of_state_and_no_more(explained: Explained) -> None:
    world = explained.world
    world.open_agent("ant", 2)
    world.open_agent("bee")
    submit(world, agent_id="bee")
    chosen = submit(world)
    for attempt in explained.held_by("bee"):
        explained.finish(attempt, Settlement(COMPLETE))
    for _ in range(5):
        nap(world, "bee")
    assert ruled_out(explained, chosen) == {"bee": "was busy: its one slot was taken"}
    for _ in range(20):
        nap(world, "bee")
    assert ruled_out(explained, chosen) == {"bee": UNKNOWN}
    assert len(world.snapshot().agents["bee"]["states"].split(";")) == 16


def test_a_state_that_is_taken_again_is_not_noted_again(explained: Explained) -> None:
    world = explained.world
    world.open_agent("ant")
    world.open_agent("bee")
    world.sleep("bee")
    world.advance(180)
    for _ in range(20):
        world.sleep_by_hand("bee")
    assert ruled_out(explained, submit(world)) == {"bee": "was asleep (for 3 min)"}


def test_a_change_that_was_not_noted_leaves_open_what_it_was(explained: Explained) -> None:
    """A process of an earlier version changes the state alone."""
    world = explained.world
    world.open_agent("ant")
    world.open_agent("bee")
    world.sleep("bee")
    chosen = submit(world)
    record = world.ledger.keys.of("agent", "bee")
    world.ledger.client.hset(record, mapping={"state": "awake", "accepts_work": "1"})
    assert ruled_out(explained, chosen) == {"bee": UNKNOWN}
    world.sleep("bee")
    assert ruled_out(explained, chosen) == {"bee": UNKNOWN}, "its history begins with that change"


def test_within_one_millisecond_the_number_of_the_match_tells_what_came_first() -> None:
    past = "5 7 draining 0;5 6 awake 1;4 2 awake 0"
    seen = SeenAgent("ant", "{}", "draining", False, 1, 0, False, 4, 9, None, 0, past)
    found = [seen.state_at(5, number) for number in (6, 7, 8)]
    assert [one and (one.state, one.accepts_work) for one in found] == [
        ("awake", False),
        ("awake", True),
        ("draining", False),
    ]
    assert seen.state_at(4, 2) is None


# --- those that were free --------------------------------------------------------------------------------


def test_all_that_were_free_are_named_up_to_five_and_of_more_it_stays_open(explained: Explained) -> None:
    world = explained.world
    for number in range(5):
        world.open_agent(f"free-{number}", 2)
    world.open_agent("busy")
    submit(world, agent_id="busy")
    chosen = submit(world)
    assert len(placed(explained, chosen).runners_up) == 4
    assert ruled_out(explained, chosen) == {"busy": "was busy: its one slot was taken"}
    world.open_agent("free-5", 2)
    chosen = submit(world)
    named = {placed(explained, chosen).agent_id, *(one.agent_id for one in placed(explained, chosen).runners_up)}
    told = ruled_out(explained, chosen)
    assert set(told) == {"busy", *(f"free-{number}" for number in range(6))} - named
    assert told["busy"] == "was busy: its one slot was taken, or its score was no more than 19"


def test_of_many_that_were_free_the_note_names_the_best_and_says_so_of_the_rest(explained: Explained) -> None:
    for number in range(8):
        explained.world.open_agent(f"a-{number}", number + 1)
    chosen = submit(explained.world)
    drain(explained.world, "a-1")
    placement = placed(explained, chosen)
    assert (placement.agent_id, placement.margin) == ("a-7", 2)
    assert [(one.agent_id, one.score) for one in placement.runners_up] == [
        (f"a-{number}", 10 + 2 * (number + 1) + 5) for number in (6, 5, 4, 3)
    ]
    assert ruled_out(explained, chosen) == {
        "a-0": "was busy: its one slot was taken, or its score was no more than 23",
        "a-1": "was busy: all 2 slots were taken, or its score was no more than 23",
        "a-2": "was busy: all 3 slots were taken, or its score was no more than 23",
    }


def test_the_agent_that_affinity_favours_is_named_with_it_however_many_were_better(explained: Explained) -> None:
    world = explained.world
    world.open_agent("last", 2)
    submit(world, affinity_key="k")
    for number in range(6):
        world.open_agent(f"free-{number}", 4)
    placement = placed(explained, submit(world, affinity_key="k"))
    best, *others = placement.runners_up
    assert placement.by == "score"
    assert [other.score for other in others] == [23] * 3 + [15]
    last = others[-1]
    assert (best.score, placement.margin) == (23, 0)
    assert (last.agent_id, last.load, last.max_concurrent) == ("last", 1, 2)
    assert last.terms is not None
    assert last.terms.model_dump() == {"idle": 0, "free_slots": 2, "success": 5, "affinity": 8}
    told = ruled_out(explained, submit(world, affinity_key="k", preferred_agent_id="last"))
    assert all(because.endswith("no more than 23") for because in told.values())


# --- notes -----------------------------------------------------------------------------------------------


def test_a_note_of_an_earlier_version_has_scores_alone() -> None:
    note = read_note("ant score 19.65 10 4 4.65 0 0 2 bee=1890 cat=1750")
    assert (note.choice.agent_id, note.choice.load, note.choice.max_concurrent) == ("ant", 0, 2)
    assert [(one.agent_id, one.score, one.terms, one.load) for one in note.others] == [
        ("bee", 18.9, None, None),
        ("cat", 17.5, None, None),
    ]
    assert (note.number, note.is_full) == (None, False)
    full = read_note("ant preferred 9 0 4 5 0 1 3 bee=1900 cat=1750 dog=1700 eel=1600 fox=1500")
    assert (full.is_full, len(full.others)) == (True, 5)


def test_a_choice_that_was_noted_by_an_earlier_version_is_explained_as_far_as_it_goes(explained: Explained) -> None:
    world = explained.world
    for name in ("ant", "bee", "cat"):
        world.open_agent(name)
    world.sleep("cat")
    chosen = submit(world, preferred_agent_id="ant")
    note = "ant preferred 17 10 2 5 0 0 1 bee=1700"
    world.ledger.client.hset(world.ledger.keys.of("execution", chosen), "decision", note)
    placement = placed(explained, chosen)
    (other,) = placement.runners_up
    assert (placement.margin, other.score, other.terms) == (0, 17, None)
    assert ruled_out(explained, chosen) == {"cat": UNKNOWN}


def test_points_beyond_those_that_count_are_not_taken_for_terms() -> None:
    packed = 260_000 * 2**35 + 7
    (other,) = read_note(f"ant score 3000 0 2990 10 0 5 1000 #9 10/3 bee={packed}:3/1000").others
    assert (other.score, other.terms, other.load, other.max_concurrent) == (2600, None, 3, 1000)


def test_a_score_is_read_also_as_the_server_writes_a_round_number() -> None:
    (other,) = read_note("ant score 2600 0 2595 5 0 5 1000 #9 10/3 bee=8.6e+15:167/1000").others
    assert other.score == int(8.6e15) // 2**35 / 100
