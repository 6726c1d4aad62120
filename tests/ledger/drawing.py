"""What the rule machine draws: options, agents, endings. Few values each, so that they meet."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from mindswarm_exec.ledger.operations import Settlement
from mindswarm_exec.lifecycle import CANCEL, COMPLETE, FAIL, PAUSE, POSTPONE, RELEASE, STRAND, TIME_OUT
from mindswarm_exec.models.options import AgentSelectionCriteria, Constraint, ExecutionOptions
from tests.ledger.invariants_of_control import METER

AGENTS = ("ant", "bee", "cat")
CAPABILITIES = ("gpu", "web")
SECONDS = (5, 20, 60)

questions = st.sampled_from(["where", "when"])
slots = st.sampled_from(["claim", "claim", "wake", "keep"])

#: What is spent at once, and what limits are raised to; all of it exact in binary.
amounts = st.sampled_from([0.5, 2.5, 4, 12])
raised_limits = st.sampled_from([4, 20, 80])

task_types = st.sampled_from(["t", "t", "t", "u"])

constraints = st.sampled_from(
    [
        Constraint(label="mem", op=">=", value=8),
        Constraint(label="mem", op="=", value="8"),
        Constraint(label="mem", op="!=", value=True),
        Constraint(label="region", op="in", value=("eu", 8)),
        Constraint(label="region", op="exists"),
    ]
)


def rarely(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """None most of the time."""
    return st.integers(0, 5).flatmap(lambda n: strategy if n == 5 else st.none())


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


criteria = st.fixed_dictionaries(
    {
        "agent_id": rarely(st.sampled_from(AGENTS)),
        "preferred_agent_id": rarely(st.sampled_from(AGENTS)),
        "required_capabilities": rarely(st.frozensets(st.sampled_from(CAPABILITIES), min_size=1)),
        "constraints": rarely(st.tuples(constraints)),
        "affinity_key": rarely(st.sampled_from(["k", "l"])),
        "min_success_rate": rarely(st.sampled_from([0.95, 1.0])),
    }
).map(lambda values: AgentSelectionCriteria(**_given(values)))

excluding = st.sampled_from(AGENTS).map(lambda name: AgentSelectionCriteria(excluded_agents=frozenset({name})))

options = st.fixed_dictionaries(
    {
        "priority": st.sampled_from([0, 5, 5, 5, 9]),
        "timeout_seconds": rarely(st.sampled_from(SECONDS)),
        "queue_timeout_seconds": rarely(st.sampled_from(SECONDS)),
        "stall_timeout_seconds": rarely(st.sampled_from(SECONDS)),
        "retry_policy": rarely(st.sampled_from([{"max_attempts": 3, "jitter": 0, "initial_delay_seconds": 20}])),
        "concurrency_key": rarely(st.just("key")),
        "allow_parallel": rarely(st.just(False)),
        "force_start": rarely(st.just(True)),
        "resource_limits": st.sampled_from([None, None, {"meters": {METER: 5}}, {"meters": {METER: 10}}]),
        "max_lost_attempts": rarely(st.just(1)),
        "agent": rarely(criteria | excluding),
    }
).map(lambda values: ExecutionOptions(concurrency_limit=2, **_given(values)))

profiles = st.fixed_dictionaries(
    {
        "task_types": st.sampled_from([["t"], ["t"], ["t", "u"], ["u"]]),
        "capabilities": st.lists(st.sampled_from(CAPABILITIES), unique=True),
        "labels": st.sampled_from([{}, {"mem": 8}, {"mem": 16.5, "region": "eu"}, {"mem": "8"}, {"mem": True}]),
    }
)

#: How an agent ends an attempt. A zero delay brings the same execution back at once.
settlements = st.builds(
    lambda row, slot, delay_ms: Settlement(
        row,
        slot=slot,
        outcome={COMPLETE: "1", FAIL: "0", TIME_OUT: "0", POSTPONE: "0"}.get(row, ""),
        counter="failed_attempts" if row is POSTPONE else "",
        delay_ms=delay_ms if row is POSTPONE else 0,
    ),
    st.sampled_from([COMPLETE, FAIL, POSTPONE, POSTPONE, RELEASE, PAUSE, CANCEL, TIME_OUT]),
    slots,
    st.sampled_from([0, 0, 20_000]),
)

#: What is said of a frozen attempt; the rows that its state forbids are refused.
frozen_settlements = st.builds(
    lambda row, slot: Settlement(row, slot=slot),
    st.sampled_from([STRAND, STRAND, CANCEL, CANCEL, COMPLETE, PAUSE, RELEASE]),
    slots,
)
