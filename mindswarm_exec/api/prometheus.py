"""The queue as Prometheus text. Source: Prometheus exposition format 0.0.4."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mindswarm_exec.models.records import QueueStatus


def exposition(status: QueueStatus) -> str:
    """One gauge a line group, in the order below."""
    oldest_seconds = (status.oldest_wait_ms or 0) / 1000
    families = [
        _gauge("executions", "executions by state", _labelled("state", status.by_state)),
        _gauge(
            "waiting", "executions that wait for an agent, by priority", _labelled("priority", status.by_priority)
        ),
        _gauge("delayed", "executions that wait for a start time or a retry delay", [("", status.delayed)]),
        _gauge(
            "held_by_concurrency", "executions that wait for a concurrency key", [("", status.held_by_concurrency)]
        ),
        _gauge("oldest_wait_seconds", "the longest wait for an agent", [("", oldest_seconds)]),
        _gauge("slots", "slots of all agents", [("", status.slots_total)]),
        _gauge("slots_taken", "slots that hold an attempt", [("", status.slots_taken)]),
        _gauge("agents", "agents by state", _labelled("state", status.agents)),
    ]
    return "".join(families)


def _gauge(name: str, meaning: str, samples: Iterable[tuple[str, float]]) -> str:
    name = f"mindswarm_{name}"
    head = f"# HELP {name} {meaning}\n# TYPE {name} gauge\n"
    return head + "".join(f"{name}{labels} {value:g}\n" for labels, value in samples)


def _labelled(label: str, values: Mapping[str, int]) -> list[tuple[str, float]]:
    return [(f'{{{label}="{name}"}}', value) for name, value in sorted(values.items())]
