"""How the engine did: waiting and running times, work by agent. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mindswarm_exec.models.records import Execution


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, 95th percentile and maximum of durations in milliseconds."""

    median_ms: float
    p95_ms: float
    max_ms: float

    @classmethod
    def of(cls, durations: Sequence[float]) -> Spread:
        """The spread of durations; zeros if there are none."""
        ordered = sorted(durations) or [0.0]
        return cls(_percentile(ordered, 0.5), _percentile(ordered, 0.95), ordered[-1])


@dataclass(frozen=True, slots=True)
class Times:
    """Waiting and running times of the executions of one kind."""

    name: str
    executions: int
    waiting: Spread
    running: Spread


def times_by(found: Sequence[Execution], names: Sequence[str]) -> list[Times]:
    """Times by task type, in the order of `names`, and of all together."""
    groups = [(name, [execution for execution in found if execution.task_type == name]) for name in names]
    return [_times(name, group) for name, group in (*groups, ("all", list(found)))]


def times_by_priority(found: Sequence[Execution]) -> list[Times]:
    """Times by priority, the most urgent first."""
    levels = sorted({execution.priority for execution in found}, reverse=True)
    return [_times(str(level), [one for one in found if one.priority == level]) for level in levels]


def work_by_agent(found: Sequence[Execution]) -> list[tuple[str, int, float]]:
    """Each agent with the executions that completed on it and their running time in milliseconds."""
    counts = Counter(execution.agent_id or "?" for execution in found)
    busy: Counter[str] = Counter()
    for execution in found:
        busy[execution.agent_id or "?"] += round(_ms(execution.started_at, execution.finished_at))
    return [(name, counts[name], float(busy[name])) for name in sorted(counts)]


def span_ms(found: Sequence[Execution]) -> float:
    """From the first submission to the last end."""
    ends = [execution.finished_at for execution in found if execution.finished_at]
    return _ms(min(execution.created_at for execution in found), max(ends)) if ends else 0.0


def _times(name: str, group: Sequence[Execution]) -> Times:
    return Times(
        name,
        len(group),
        Spread.of([_ms(execution.created_at, execution.started_at) for execution in group]),
        Spread.of([_ms(execution.started_at, execution.finished_at) for execution in group]),
    )


def _ms(start: datetime | None, end: datetime | None) -> float:
    return (end - start).total_seconds() * 1000 if start and end else 0.0


def _percentile(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank percentile: a value that was measured, never one between two."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
