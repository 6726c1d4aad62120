"""The system as Prometheus reads it. Sources: Prometheus text format 0.0.4; OpenMetrics 1.0."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from mindswarm_exec.lifecycle import Status
from mindswarm_exec.service.monitoring import Readings

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PREFIX = "mindswarm_"
#: Task types that have a label of their own: those that most work waits for.
MOST_TASK_TYPES = 50
OTHERS = "(others)"


@dataclass(frozen=True, slots=True)
class Family:
    """One metric. `samples`: value by its labels, ready to be written."""

    name: str
    kind: Literal["gauge", "counter"]
    meaning: str
    samples: Mapping[str, float]

    def text(self) -> str:
        return self._told(self._sample_name)

    def open_metrics(self) -> str:
        """The same, but that a counter goes by its name without the `_total` of its samples."""
        return self._told(self.name)

    @property
    def _sample_name(self) -> str:
        return f"{self.name}_total" if self.kind == "counter" else self.name

    def _told(self, name: str) -> str:
        head = f"# HELP {name} {self.meaning}\n# TYPE {name} {self.kind}\n"
        lines = (f"{self._sample_name}{labels} {value:.15g}\n" for labels, value in self.samples.items())
        return head + "".join(lines)


def media_type_for(accept: str) -> str:
    """The form to answer in: OpenMetrics to those who say that they take it, as Prometheus does."""
    return OPEN_METRICS if "application/openmetrics-text" in accept else TEXT


def exposition(readings: Readings, media_type: str = TEXT) -> str:
    """Every family, in the order below."""
    families = (*_queue(readings), *_agents(readings), *_counters(readings))
    if media_type == OPEN_METRICS:
        return "".join(family.open_metrics() for family in families) + "# EOF\n"
    return "".join(family.text() for family in families)


def _queue(readings: Readings) -> Iterator[Family]:
    queue = readings.queue
    states = {status.value: queue.by_state.get(status.value, 0) for status in Status}
    by_task_type = _most(readings.waiting_by_task_type)
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


def _agents(readings: Readings) -> Iterator[Family]:
    yield _gauge("agents", "agents by state", _labelled("state", readings.queue.agents))
    yield _one("slots", "slots of all agents that are not offline", readings.queue.slots_total)
    yield _one("slots_taken", "slots that hold an attempt", readings.queue.slots_taken)
    age_ms = readings.sweep_age_ms
    samples = {} if age_ms is None else {"": age_ms / 1000}
    yield _gauge("sweep_age_seconds", "time since the latest sweep; none if there was none", samples)


def _counters(readings: Readings) -> Iterator[Family]:
    yield _counter("submissions", "executions accepted", {"": readings.submissions})
    yield _counter("completions", "ends of executions, by outcome", _labelled("outcome", readings.completions))
    yield _counter("events", "events, by type", _labelled("type", readings.events))


def _one(name: str, meaning: str, value: float) -> Family:
    return _gauge(name, meaning, {"": value})


def _gauge(name: str, meaning: str, samples: Mapping[str, float]) -> Family:
    return Family(PREFIX + name, "gauge", meaning, samples)


def _counter(name: str, meaning: str, samples: Mapping[str, float]) -> Family:
    return Family(PREFIX + name, "counter", f"{meaning}, since the ledger began", samples)


def _labelled(label: str, values: Mapping[str, int]) -> dict[str, float]:
    # no value needs escaping: states, priorities, outcomes and event types are ours, task types have no quotes
    return {f'{{{label}="{name}"}}': value for name, value in sorted(values.items())}


def _most(waiting: Mapping[str, int]) -> dict[str, int]:
    """Those with the most, the others as one: a scrape stays small, whatever callers invent."""
    ranked = sorted(waiting.items(), key=lambda item: (-item[1], item[0]))
    rest = sum(count for _, count in ranked[MOST_TASK_TYPES:])
    return dict(ranked[:MOST_TASK_TYPES]) | ({OTHERS: rest} if rest else {})
