"""Who may serve, and who should: the algorithm on paper. `tests/ledger` holds the scripts to it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindswarm_exec.models.options import AgentSelectionCriteria, Constraint, DemandClass
from mindswarm_exec.selection import Candidate, LabelValue, Score, choose, is_free, meets, score, suits, unmet
from mindswarm_exec.settings import Settings

SETTINGS = Settings()
TYPES = frozenset({"t"})


def agent(agent_id: str, load: int = 0, **facts: object) -> Candidate:
    return Candidate(**{"agent_id": agent_id, "task_types": TYPES, "load": load, **facts})  # type: ignore[arg-type]


def chosen(agents: list[Candidate], last: str | None = None, **wishes: object) -> str | None:
    criteria = AgentSelectionCriteria.model_validate(wishes)
    found = choose(DemandClass.of("t", criteria), criteria, agents, last_agent_id=last, settings=SETTINGS)
    return found and found.agent_id


# --- the algorithm, step by step -----------------------------------------------------------------------------


def test_a_pre_assigned_agent_is_used_however_others_score() -> None:
    assert chosen([agent("busy", 2), agent("idle")], agent_id="busy") == "busy"


def test_a_pre_assigned_agent_that_is_full_is_waited_for() -> None:
    assert chosen([agent("full", 3), agent("idle")], agent_id="full") is None


def test_the_preferred_agent_is_used_if_it_is_free() -> None:
    assert chosen([agent("busy", 2), agent("idle")], preferred_agent_id="busy") == "busy"


@pytest.mark.parametrize("facts", [{"load": 3}, {"task_types": frozenset()}, {"accepts_work": False}])
def test_a_preferred_agent_that_is_full_unsuitable_or_asleep_is_passed_over(facts: dict[str, object]) -> None:
    assert chosen([agent("wanted", **facts), agent("other", 2)], preferred_agent_id="wanted") == "other"


def test_the_terms_of_a_score_are_those_of_the_algorithm() -> None:
    idle = agent("idle", max_concurrent=3, success_rates={"t": 0.5})
    assert score(idle, "t", has_affinity=True, settings=SETTINGS) == Score(10.0, 6.0, 2.5, 8.0)
    busy = agent("busy", 1, max_concurrent=3)
    assert score(busy, "t", has_affinity=False, settings=SETTINGS) == Score(0.0, 4.0, 5.0, 0.0)
    assert score(idle, "t", has_affinity=True, settings=SETTINGS).total == 26.5


@pytest.mark.parametrize(
    ("agents", "last", "expected"),
    [
        # idle: 10 + 6 + 5 = 21; busy: 4 + 5 = 9
        ([agent("busy", 1), agent("idle")], None, "idle"),
        # busy with affinity: 17, still below 21
        ([agent("busy", 1), agent("idle")], "busy", "idle"),
        # both busy: 9 + 8 = 17 beats 9, and 7 + 8 = 15 too
        ([agent("one", 1), agent("two", 1)], "two", "two"),
        ([agent("one", 1), agent("two", 2)], "two", "two"),
        # more slots: 10 + 10 + 5 = 25 beats 21; and busy with 5 of 6 free: 10 + 5 = 15 loses
        ([agent("three"), agent("five", max_concurrent=5)], None, "five"),
        ([agent("three"), agent("six", 1, max_concurrent=6)], None, "three"),
        # success: 10 + 6 + 4.5 = 20.5 loses to 21
        ([agent("good"), agent("fair", success_rates={"t": 0.9})], None, "good"),
        # the rate on another task type counts nothing
        (
            [agent("fair", success_rates={"t": 0.9}), agent("bad at u", success_rates={"u": 0})],
            None,
            "bad at u",
        ),
    ],
)
def test_the_highest_score_wins(agents: list[Candidate], last: str | None, expected: str) -> None:
    assert chosen(agents, last) == expected
    assert chosen(agents[::-1], last) == expected


def test_ties_go_to_the_agent_longest_unused() -> None:
    agents = [agent("new", last_used=9), agent("old", last_used=2), agent("middle", last_used=5)]
    assert chosen(agents) == "old"


def test_scores_that_differ_by_less_than_a_hundredth_tie() -> None:
    agents = [agent("better", last_used=2, success_rates={"t": 0.9999}), agent("older", last_used=1)]
    assert chosen([*agents, agent("best", last_used=3)]) == "older"
    agents = [agent("better", last_used=2), agent("older", last_used=1, success_rates={"t": 0.99})]
    assert chosen(agents) == "better"


def test_nobody_is_chosen_where_nobody_is_free() -> None:
    assert chosen([agent("full", 3), agent("asleep", accepts_work=False)]) is None
    assert chosen([]) is None


def test_an_agent_below_the_success_rate_asked_for_is_not_free() -> None:
    demand = DemandClass(task_type="t", min_success_rate=0.9)
    assert is_free(demand, agent("good", success_rates={"t": 0.9}))
    assert not is_free(demand, agent("bad", success_rates={"t": 0.89}))
    assert is_free(demand, agent("new"))


# --- who may serve -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wishes", "reason"),
    [
        ({}, None),
        ({"required_capabilities": ["gpu"]}, None),
        ({"required_capabilities": ["gpu", "web"]}, "lacks the capability web"),
        ({"excluded_agents": ["ant"]}, "is excluded"),
        ({"excluded_agents": ["bee"]}, None),
        ({"agent_id": "bee"}, "is not 'bee', to which it is assigned"),
        (
            {"constraints": [{"label": "mem", "op": ">=", "value": 16}]},
            "does not meet mem >= 16: it has 8",
        ),
        (
            {"constraints": [{"label": "region", "op": "=", "value": "eu"}]},
            "does not meet region = eu: it has nothing",
        ),
    ],
)
def test_what_keeps_an_agent_from_serving_is_said(wishes: dict[str, object], reason: str | None) -> None:
    demand = DemandClass.of("t", AgentSelectionCriteria.model_validate(wishes))
    ant = agent("ant", capabilities=frozenset({"gpu"}), labels={"mem": 8})
    assert unmet(demand, ant) == reason
    assert suits(demand, ant) is (reason is None)


def test_an_agent_without_the_task_type_cannot_serve() -> None:
    assert unmet(DemandClass(task_type="u"), agent("ant")) == "does not implement 'u'"


@pytest.mark.parametrize(
    ("op", "value", "label", "is_met"),
    [
        ("=", 1, 1.0, True),
        ("=", 1, True, False),
        ("=", "1", 1, False),
        ("=", True, True, True),
        ("=", False, 0, False),
        ("=", 0.0, -0.0, True),
        ("!=", 1, True, True),
        ("!=", 1, 1.0, False),
        (">", 8, 8, False),
        (">=", 8, 8.0, True),
        ("<", 8, 7.9, True),
        ("<=", 8, 8, True),
        (">=", 1, True, False),
        (">=", 8, "9", False),
        ("in", ("eu", 8), 8.0, True),
        ("in", ("eu", 8), "8", False),
        ("in", (1,), True, False),
        ("in", (), "eu", False),
        ("exists", None, "", True),
        ("exists", True, False, True),
        ("exists", False, 0, False),
    ],
)
def test_values_are_compared_within_their_kind(op: str, value: object, label: LabelValue, is_met: bool) -> None:
    assert meets(Constraint.model_validate({"label": "l", "op": op, "value": value}), label) is is_met


@pytest.mark.parametrize(
    ("op", "value", "is_met"),
    [
        ("=", 1, False),
        ("!=", 1, True),
        (">", 1, False),
        ("in", [1], False),
        ("exists", None, False),
        ("exists", True, False),
        ("exists", False, True),
    ],
)
def test_a_missing_label_meets_only_what_asks_for_its_absence(op: str, value: object, is_met: bool) -> None:
    assert meets(Constraint.model_validate({"label": "l", "op": op, "value": value}), None) is is_met


@given(
    loads=st.lists(st.tuples(st.integers(0, 4), st.integers(1, 4), st.integers(0, 9)), max_size=6),
    last=st.integers(0, 5),
)
def test_the_chosen_agent_is_free_and_none_that_is_free_scores_higher(
    loads: list[tuple[int, int, int]], last: int
) -> None:
    agents = [
        agent(f"a{i}", load, max_concurrent=slots, last_used=used) for i, (load, slots, used) in enumerate(loads)
    ]
    free = [one for one in agents if one.load < one.max_concurrent]
    found = chosen(agents, f"a{last}")
    assert (found is None) == (not free)
    if found is not None:
        totals = {one.agent_id: total(one, f"a{last}") for one in free}
        assert totals[found] == max(totals.values())


def total(candidate: Candidate, last: str) -> float:
    return score(candidate, "t", has_affinity=candidate.agent_id == last, settings=SETTINGS).total
