"""A past choice is explained as it was: held against the model of that moment, whatever has happened since."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mindswarm_exec.ledger.faces import SyncLedger
from mindswarm_exec.ledger.operations import Operation, Settlement
from mindswarm_exec.lifecycle import COMPLETE
from mindswarm_exec.models.explanations import Placement, RunnerUp, ScoreTerms
from mindswarm_exec.models.options import DemandClass, ExecutionOptions
from mindswarm_exec.selection import Candidate, choose, is_free, misses, reaches, score, suits
from mindswarm_exec.settings import Settings
from tests.ledger.explained import STATES_AT_LAST, Explained, begin, crowds, explain, submissions, worlds
from tests.ledger.invariants_of_agents import candidates
from tests.ledger.snapshot import Record, Snapshot

R = TypeVar("R")
thorough = settings(max_examples=50, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
#: What an agent that takes no work is told to have been, by its state.
CLOSED = {
    "awake": "had registered ",
    "sleeping": "was asleep (for ",
    "waking": "was waking (for ",
    "draining": "was draining (for ",
    "offline": "was offline (for ",
}
#: What becomes of agents after a choice: which of them, and how; or it ends all that it runs.
changes = st.lists(st.tuples(st.integers(0, 7), st.sampled_from([*STATES_AT_LAST, "done"])), max_size=4)


@dataclass(frozen=True)
class Moment:
    """What stood in the ledger before and after the script that chose, and the agents before it."""

    before: Snapshot
    after: Snapshot
    agents: dict[str, Candidate]


class Watched(SyncLedger):
    """The ledger, noting the moment of each choice."""

    def watch(self, explained: Explained) -> None:
        self.explained = explained
        #: by execution, of its latest choice
        self.moments: dict[str, Moment] = {}

    def run(self, operation: Operation[R]) -> R:
        before = Snapshot.of(self)
        reply = super().run(operation)
        after = Snapshot.of(self)
        for id, record in after.executions.items():
            if record.get("decision") != before.executions.get(id, {}).get("decision"):
                found = {one.agent_id: one for one in candidates(before, self.explained.world.model)}
                self.moments[id] = Moment(before, after, found)
        return reply

    def run_many(self, operations: Sequence[Operation[R]]) -> list[R]:
        return [self.run(operation) for operation in operations]


@pytest.fixture(scope="module")
def watched(valkey_url: str) -> Iterator[tuple[Explained, Watched]]:
    explained = Explained(valkey_url, Settings(namespace="t-watched-choices"))
    ledger = Watched(explained.world.ledger.client, explained.world.settings, test_clock=True)
    ledger.watch(explained)
    explained.world.ledger = ledger
    yield explained, ledger
    explained.close()


def change(on: Explained, since: list[tuple[int, str]]) -> None:
    """Let agents come to other states, or end what they run."""
    for which, state in since:
        names = sorted(on.world.model.agents)
        agent_id = names[which % len(names)]
        if state != "done":
            on.bring(agent_id, {"state": state, "slots": 2})
            continue
        for attempt in on.held_by(agent_id):
            on.finish(attempt, Settlement(COMPLETE, slot="wake"))


# --- the choice and the others that were free ------------------------------------------------------------


def scored(agent: Candidate, last: str | None, on: Explained) -> RunnerUp:
    """The agent as a runner-up is to be told, if the choice favoured the agent `last` for its affinity."""
    points = score(agent, "t", has_affinity=agent.agent_id == last, settings=on.world.settings)
    terms = ScoreTerms(**{name: getattr(points, name) for name in ScoreTerms.model_fields})
    known: dict[str, Any] = {"load": agent.load, "max_concurrent": agent.max_concurrent}
    return RunnerUp(agent_id=agent.agent_id, score=points.total, terms=terms, **known)


def expect_scores(told: RunnerUp | Placement, expected: RunnerUp) -> None:
    assert told.terms is not None
    assert expected.terms is not None
    assert (told.agent_id, told.load, told.max_concurrent, told.terms.model_dump(), told.score) == (
        expected.agent_id,
        expected.load,
        expected.max_concurrent,
        pytest.approx(expected.terms.model_dump()),
        pytest.approx(expected.score),
    )
    assert told.score == pytest.approx(sum(told.terms.model_dump().values()))


def rank(agent: Candidate, on: Explained) -> tuple[int, int, str]:
    """Where it stood among those that were free, without affinity."""
    points = score(agent, "t", has_affinity=False, settings=on.world.settings)
    return points.hundredths, -agent.last_used, agent.agent_id


@thorough
@given(drawn=worlds | crowds, wishes=submissions, since=changes)
def test_a_placement_is_what_selection_says_of_the_moment_before(
    explained: Explained, drawn: dict[str, Any], wishes: dict[str, Any], since: list[tuple[int, str]]
) -> None:
    begin(explained, drawn)
    found = explained.world.snapshot()
    agents = list(candidates(found, explained.world.model))
    options = ExecutionOptions(agent=wishes["agent"].model_copy(update={"agent_id": None}))
    demand = DemandClass.of("t", options.agent)
    last = found.families["affinity"].get(f"default {options.agent.affinity_key}")
    expected = choose(demand, options.agent, agents, last_agent_id=last, settings=explained.world.settings)
    execution_id = explained.world.submit("t", options) or ""
    placed = explain(explained, execution_id).placement
    if expected is None:
        assert placed is None
        return
    assert placed is not None
    expect_scores(placed, scored(expected, last, explained))
    free = [one for one in agents if suits(demand, one) and is_free(demand, one) and one != expected]
    free.sort(key=lambda one: rank(one, explained), reverse=True)
    named = free[:4] + [one for one in free[4:] if one.agent_id == last]
    runners_up = sorted((scored(one, last, explained) for one in named), key=lambda one: one.score, reverse=True)
    assert len(placed.runners_up) == len(runners_up)
    for told, runner_up in zip(placed.runners_up, runners_up, strict=True):
        expect_scores(told, runner_up)
    margin = round(placed.score - runners_up[0].score, 2) if runners_up else None
    assert placed.margin == pytest.approx(margin)
    change(explained, since)
    later = explain(explained, execution_id).placement
    assert later is not None
    if later.attempt == placed.attempt:
        assert later.model_copy(update={"ruled_out": ()}) == placed.model_copy(update={"ruled_out": ()})


# --- the others ------------------------------------------------------------------------------------------


@thorough
@given(drawn=worlds | crowds, since=changes)
def test_every_past_choice_tells_what_ruled_out_the_others_at_that_moment(
    watched: tuple[Explained, Watched], drawn: dict[str, Any], since: list[tuple[int, str]]
) -> None:
    on, ledger = watched
    ledger.moments.clear()
    begin(on, drawn)
    change(on, since)
    now = on.world.snapshot()
    for execution_id, moment in ledger.moments.items():
        placed = explain(on, execution_id).placement
        assert placed is not None
        named = {placed.agent_id, *(one.agent_id for one in placed.runners_up)}
        assert {one.agent_id for one in placed.ruled_out} == set(now.agents) - named
        record = moment.after.executions[execution_id]
        demand = DemandClass.model_validate_json(record.get("demand") or f'{{"task_type":"{record["task_type"]}"}}')
        for runner_up in placed.runners_up:
            expect_to_have_been_free(on, moment, runner_up, demand)
        for one in placed.ruled_out:
            told = one.because
            expect_to_be_true(on, moment, now.agents[one.agent_id], one.agent_id, told, demand, placed)


def expect_to_have_been_free(on: Explained, moment: Moment, told: RunnerUp, demand: DemandClass) -> None:
    """Its load may have changed within the script that chose."""
    agent = moment.agents[told.agent_id]
    loads = [len(one.held(told.agent_id)) for one in (moment.before, moment.after)]
    assert told.load is not None
    assert told.terms is not None
    assert min(loads) <= told.load <= max(loads)
    assert told.load < agent.max_concurrent == told.max_concurrent
    assert suits(demand, agent)
    settings = on.world.settings
    assert told.terms.idle == (settings.idle_bonus if told.load == 0 else 0)
    assert told.terms.free_slots == (agent.max_concurrent - told.load) * settings.free_slot_weight
    assert told.terms.success == pytest.approx(
        settings.success_weight * agent.success_rate(demand.task_type), abs=0.0051
    )


def expect_to_be_true(
    on: Explained,
    moment: Moment,
    present: Record,
    agent_id: str,
    told: str,
    demand: DemandClass,
    placed: Placement,
) -> None:
    """What ruled out one agent, of which the present record is known, is what the moment says of it."""
    then = moment.before.agents.get(agent_id)
    if then is None:
        assert told == "its process has registered since"
        return
    has_registered = then["registered_at_ms"] != present["registered_at_ms"]
    agent = moment.agents[agent_id]
    if not has_registered and misses(demand, agent):
        assert told == " and ".join(misses(demand, agent))
        return
    records = (then, moment.after.agents[agent_id])
    closed = [CLOSED[one["state"]] for one in records if one["accepts_work"] == "0"]
    if closed and (told.startswith(tuple(closed)) or len(closed) == 2):
        assert told.startswith(tuple(closed)), (told, closed)
    elif has_registered:
        assert told == "its process has registered since"
    else:
        expect_to_be_busy(on, moment, agent, told, demand, placed)


def expect_to_be_busy(
    on: Explained, moment: Moment, agent: Candidate, told: str, demand: DemandClass, placed: Placement
) -> None:
    """It was open: all its slots were taken, or what is told beside that was true."""
    first, *others = told.split(", or ")
    assert first in (f"was busy: all {agent.max_concurrent} slots were taken", "was busy: its one slot was taken")
    assert (demand.min_success_rate is not None) == ("its success rate was too low" in others)
    loads = [len(one.held(agent.agent_id)) for one in (moment.before, moment.after)]
    if max(loads) >= agent.max_concurrent or not reaches(demand, agent):
        return
    bound = float(others[-1].removeprefix("its score was no more than "))
    points = score(agent, demand.task_type, has_affinity=False, settings=on.world.settings)
    assert points.hundredths / 100 <= bound
    assert len(placed.runners_up) >= 4
