"""The system as Prometheus text. Source: Prometheus exposition format 0.0.4."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from mindswarm_exec.lifecycle import Status
from mindswarm_exec.service.monitoring import Readings

#: Labels, ready to be written, and the value.
Sample = tuple[str, float]
PREFIX = "mindswarm_"


def exposition(readings: Readings) -> str:
    """Every family in one text, in the order below."""
    return "".join((*_queue(readings), *_agents(readings), *_counters(readings)))


def _queue(readings: Readings) -> Iterator[str]:
    queue = readings.queue
    states = {status.value: queue.by_state.get(status.value, 0) for status in Status}
    by_task_type = readings.waiting_by_task_type
    oldest_seconds = (queue.oldest_wait_ms or 0) / 1000
    yield _gauge("executions", "executions kept, by state", _labelled("state", states))
    yield _gauge(
        "waiting", "executions that wait for an agent, by priority", _labelled("priority", queue.by_priority)
    )
    yield _gauge(
        "waiting_for_task_type",
        "executions that wait for an agent, by task type",
        _labelled("task_type", by_task_type),
    )
    yield _one("delayed", "executions that wait for a start time or a retry delay", queue.delayed)
    yield _one("held_by_concurrency", "executions that wait for a concurrency key", queue.held_by_concurrency)
    yield _one("oldest_wait_seconds", "the longest wait of a pending execution", oldest_seconds)
    yield _one("work_in_hand", "executions that wait, have a slot, or are due within a minute", readings.work_in_hand)


def _agents(readings: Readings) -> Iterator[str]:
    yield _gauge("agents", "agents by state", _labelled("state", readings.queue.agents))
    yield _one("slots", "slots of all agents that are not offline", readings.queue.slots_total)
    yield _one("slots_taken", "slots that hold an attempt", readings.queue.slots_taken)
    age_ms = readings.sweep_age_ms
    samples = [] if age_ms is None else [("", age_ms / 1000)]
    yield _gauge("sweep_age_seconds", "time since the latest sweep; none if there was none", samples)


def _counters(readings: Readings) -> Iterator[str]:
    yield _counter("submissions", "executions accepted", [("", readings.submissions)])
    yield _counter("completions", "ends of executions, by outcome", _labelled("outcome", readings.completions))
    yield _counter("events", "events, by type", _labelled("type", readings.events))


def _one(name: str, meaning: str, value: float) -> str:
    return _gauge(name, meaning, [("", value)])


def _gauge(name: str, meaning: str, samples: Iterable[Sample]) -> str:
    return _family(PREFIX + name, "gauge", meaning, samples)


def _counter(name: str, meaning: str, samples: Iterable[Sample]) -> str:
    return _family(f"{PREFIX}{name}_total", "counter", f"{meaning}, since the ledger began", samples)


def _family(name: str, kind: Literal["gauge", "counter"], meaning: str, samples: Iterable[Sample]) -> str:
    head = f"# HELP {name} {meaning}\n# TYPE {name} {kind}\n"
    return head + "".join(f"{name}{labels} {value:.15g}\n" for labels, value in samples)


def _labelled(label: str, values: Mapping[str, int]) -> list[Sample]:
    # no value needs escaping: states, priorities, outcomes and event types are ours, task types have no quotes
    return [(f'{{{label}="{name}"}}', value) for name, value in sorted(values.items())]
