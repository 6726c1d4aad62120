"""What a submitter may ask for: what is refused, how that reads; that nothing is lost on the way to the ledger."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from mindswarm_exec.models.options import (
    PRIORITY_NAMES,
    AgentSelectionCriteria,
    Constraint,
    DemandClass,
    ExecutionOptions,
    ResourceLimits,
    RetryPolicy,
    StartRequest,
)
from mindswarm_exec.models.validation import invalid_request


def refusal(model: type[BaseModel], **values: Any) -> str:
    """The sentence with which the model refuses the values."""
    with pytest.raises(ValidationError) as caught:
        model.model_validate(values)
    return str(invalid_request(caught.value, "start", model))


# --- what is refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"priority": "urgent"}, "priority is 0 to 9 (9 most urgent) or one of low, normal, high, critical"),
        ({"priority": 10}, "priority must be less than or equal to 9"),
        ({"priority": -1}, "priority must be greater than or equal to 0"),
        ({"timeout_seconds": 0}, "timeout_seconds must be greater than 0"),
        ({"timeout_seconds": float("inf")}, "timeout_seconds must be a finite number"),
        ({"queue_timeout_seconds": -5}, "queue_timeout_seconds must be greater than 0"),
        ({"stall_timeout_seconds": 1e9}, "stall_timeout_seconds must be less than or equal to 31536000"),
        ({"start_at": "2026-01-31T12:00:00"}, "start_at needs a UTC offset, such as 2026-01-31T12:00:00Z"),
        ({"concurrency_limit": 0}, "concurrency_limit must be greater than or equal to 1"),
        ({"concurrency_key": "a b"}, "concurrency_key does not have the form that is allowed"),
        ({"max_lost_attempts": 0}, "max_lost_attempts must be greater than or equal to 1"),
        ({"tags": ["no spaces here"]}, "tags[0] does not have the form that is allowed"),
        ({"timeout": 5}, "timeout is not a field that exists here (did you mean 'timeout_seconds'?)"),
        ({"retry_policy": {"max_attempts": 0}}, "retry_policy.max_attempts must be greater than or equal to 1"),
        ({"retry_policy": {"backoff": "random"}}, "retry_policy.backoff must be 'fixed', 'linear' or 'exponential'"),
        ({"retry_policy": {"jitter": 1.5}}, "retry_policy.jitter must be less than or equal to 1"),
        (
            {"resource_limits": {"memory_mb": 10**30}},
            "memory_mb must be less than or equal to 1000000000",
        ),
        ({"resource_limits": {"memory_mb": 0}}, "resource_limits.memory_mb must be greater than or equal to 1"),
        ({"start_at": "2026-01-31T12:00:00"}, "start_at needs a UTC offset"),
        ({"start_at": "9999-12-31T23:59:59-12:00"}, "start_at lies in no year from 1 to 9999 of UTC"),
        ({"start_at": "0001-01-01T00:00:00+12:00"}, "start_at lies in no year from 1 to 9999 of UTC"),
        ({"agent": {"agent_id": "Big"}}, "agent.agent_id does not have the form that is allowed"),
        ({"agent": {"agent_id": "\x06\x163"}}, "agent.agent_id does not have the form that is allowed"),
        ({"agent": {"agent_id": "a" * 10_000}}, "agent.agent_id does not have the form that is allowed"),
        ({"agent": {"min_success_rate": 2}}, "agent.min_success_rate must be less than or equal to 1"),
        (
            {"agent": {"agent_id": "ant", "excluded_agents": ["ant"]}},
            "agent 'ant' is both wanted and excluded; drop one of the two",
        ),
    ],
)
def test_options_that_do_not_fit_are_refused_in_a_sentence_that_names_them(
    options: dict[str, Any], sentence: str
) -> None:
    assert sentence in refusal(ExecutionOptions, **options)


@pytest.mark.parametrize(
    ("op", "value", "wanted"),
    [
        ("=", None, "a string, number or boolean"),
        ("!=", ["eu"], "a string, number or boolean"),
        (">=", "16", "a number"),
        ("<", True, "a number"),
        (">", None, "a number"),
        ("in", "eu", "a list"),
        ("exists", "yes", "true, false or nothing"),
    ],
)
def test_a_constraint_whose_value_does_not_fit_its_operator_is_refused(op: str, value: Any, wanted: str) -> None:
    assert f"op '{op}' on label 'mem' takes {wanted} as value" in refusal(Constraint, label="mem", op=op, value=value)


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_a_constraint_on_a_number_that_is_none_is_refused(value: float) -> None:
    """JSON has no such number, so no script could compare it."""
    assert "finite" in refusal(Constraint, label="mem", op=">=", value=value)


def test_a_number_too_large_for_json_is_refused_where_any_number_goes() -> None:
    with pytest.raises(ValidationError, match="finite"):
        ResourceLimits.model_validate_json('{"meters": {"tokens": 1e999}}')


def test_a_refusal_never_repeats_what_was_sent() -> None:
    secret = "sk live 123"  # with spaces: no name
    assert secret not in refusal(ExecutionOptions, concurrency_key=secret, tags=[secret], agent={"x": secret})


def test_a_request_has_to_name_its_work() -> None:
    assert "name the work: give task_type with payload, or the task_id" in refusal(StartRequest, payload={})
    assert StartRequest(task_id="task-1").task_type is None


def test_a_request_without_a_proper_task_type_or_key_is_refused() -> None:
    assert "task_type does not have the form" in refusal(StartRequest, task_type="_kombu.binding.x")
    assert "idempotency_key" in refusal(StartRequest, task_type="t", idempotency_key="")
    assert "idempotency_key" in refusal(StartRequest, task_type="t", idempotency_key="k" * 256)


@pytest.mark.parametrize(("name", "number"), PRIORITY_NAMES.items())
def test_a_priority_by_name_is_its_number(name: str, number: int) -> None:
    assert ExecutionOptions.model_validate({"priority": name}).priority == number


# --- demand classes ------------------------------------------------------------------------------------------

CONSTRAINTS = (
    {"label": "mem", "op": ">=", "value": 16},
    {"label": "region", "op": "in", "value": ["eu", "us"]},
    {"label": "mem", "op": "<", "value": 64},
)


def class_of(**wishes: Any) -> str:
    return DemandClass.of("t", AgentSelectionCriteria.model_validate(wishes)).class_id


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_equal_wishes_share_a_class_in_whatever_order_they_stand(order: tuple[int, ...]) -> None:
    names = ("ant", "bee", "cat")
    wishes = {"required_capabilities": names, "excluded_agents": names, "constraints": CONSTRAINTS}
    assert class_of(**{k: [v[i] for i in order] for k, v in wishes.items()}) == class_of(**wishes)


def test_each_wish_that_rules_agents_out_makes_a_class_of_its_own() -> None:
    wishes: list[dict[str, Any]] = [
        {},
        {"agent_id": "ant"},
        {"required_capabilities": ["gpu"]},
        {"excluded_agents": ["ant"]},
        {"constraints": CONSTRAINTS[:1]},
        {"constraints": [{"label": "mem", "op": "=", "value": "16"}]},
        {"constraints": [{"label": "mem", "op": "=", "value": 16}]},
        {"constraints": [{"label": "mem", "op": "=", "value": True}]},
        {"min_success_rate": 0.5},
    ]
    assert len({class_of(**wish) for wish in wishes}) == len(wishes)


def test_what_only_ranks_agents_does_not_divide_a_class() -> None:
    assert class_of(preferred_agent_id="ant", affinity_key="k") == class_of()


def test_a_class_can_leave_the_pre_assigned_agent_out() -> None:
    criteria = AgentSelectionCriteria(agent_id="ant")
    assert DemandClass.of("t", criteria, pinned=False).class_id == class_of()


def test_a_class_id_tells_the_task_type_and_the_success_rate() -> None:
    task_type, digest, rate = DemandClass(task_type="code.survey", min_success_rate=0.25).class_id.split("#")
    assert (task_type, len(digest), rate) == ("code.survey", 16, "0.25")


# --- what is stored ------------------------------------------------------------------------------------------

names = st.sampled_from(["a", "b.c", "d/e"])
retry_policies = st.builds(
    RetryPolicy,
    max_attempts=st.integers(1, 9),
    backoff=st.sampled_from(["fixed", "linear", "exponential"]),
    retry_on=st.lists(st.text(max_size=5), max_size=2).map(tuple),
)
criteria = st.builds(
    AgentSelectionCriteria,
    agent_id=st.none() | st.just("ant"),
    required_capabilities=st.frozensets(names),
    constraints=st.lists(
        st.builds(Constraint, label=names, op=st.just("="), value=st.sampled_from([1, 1.5, "1", True, False, ""]))
        | st.builds(Constraint, label=names, op=st.just("in"), value=st.just((1, "1", True, 1.5)))
        | st.builds(Constraint, label=names, op=st.just("exists"), value=st.sampled_from([None, True, False])),
        max_size=3,
    ).map(tuple),
    min_success_rate=st.none() | st.floats(0, 1),
)
options = st.builds(
    ExecutionOptions,
    priority=st.integers(0, 9),
    timeout_seconds=st.none() | st.floats(0.001, 1000),
    start_at=st.none() | st.datetimes(timezones=st.just(UTC), min_value=datetime(2000, 1, 1)),
    retry_policy=retry_policies,
    resource_limits=st.builds(ResourceLimits, meters=st.dictionaries(names, st.floats(0, 10), max_size=2)),
    force_start=st.booleans(),
    agent=criteria,
    tags=st.lists(names, max_size=2).map(tuple),
)


@given(options)
def test_options_come_back_from_the_ledger_as_they_went_in(found: ExecutionOptions) -> None:
    assert ExecutionOptions.model_validate_json(found.stored) == found


@given(criteria)
def test_a_demand_comes_back_from_the_ledger_as_it_went_in(wishes: AgentSelectionCriteria) -> None:
    demand = DemandClass.of("t", wishes)
    again = DemandClass.model_validate_json(demand.stored)
    assert again == demand
    assert again.stored == demand.stored
    kinds = [type(value) for one in demand.constraints for value in (one.value, *_members(one.value))]
    assert [type(value) for one in again.constraints for value in (one.value, *_members(one.value))] == kinds


def _members(value: object) -> tuple[object, ...]:
    return value if isinstance(value, tuple) else ()


def test_plain_options_cost_the_ledger_nothing() -> None:
    assert ExecutionOptions().stored == "{}"
    assert json.loads(DemandClass(task_type="t").stored) == {"task_type": "t"}
