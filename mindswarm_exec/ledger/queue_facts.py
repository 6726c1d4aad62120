"""What one look at the queue finds, as look_at_queue.lua tells it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mindswarm_exec.lifecycle import Status


@dataclass(frozen=True, slots=True)
class ClassFacts:
    """A demand class with a backlog: its demand as JSON, who waits in its lane, who could take it, and its flow."""

    demand: str
    waiting: int
    suitable: int
    available: int
    #: since when the one waits that is among the longest of all; else the first in line
    since_ms: int | None
    came: int
    went: int


@dataclass(frozen=True, slots=True)
class QueueFacts:
    """The queue at one moment: `depth` by project and priority, `elsewhere` by project and place (`delay` …)."""

    now_ms: int
    by_status: dict[Status, int]
    depth: dict[tuple[str, int], int]
    elsewhere: dict[tuple[str, str], int]
    longest_since_ms: int | None
    classes: tuple[ClassFacts, ...]
    agents: dict[str, int]
    slots: int
    slots_taken: int


def read_queue_facts(reply: Any) -> QueueFacts:
    """The reply of the script."""
    now_ms, counts, depth, elsewhere, longest, classes, agents, slots, taken = reply[1:]
    return QueueFacts(
        now_ms=int(now_ms),
        by_status=dict(zip(Status, map(int, counts), strict=True)),
        depth={(project, int(priority)): count for (project, priority), count in _by_project(depth)},
        elsewhere=dict(_by_project(elsewhere)),
        longest_since_ms=_instant(longest),
        classes=tuple(map(_class_facts, classes)),
        agents={state: int(count) for state, count in zip(agents[::2], agents[1::2], strict=True)},
        slots=int(slots),
        slots_taken=int(taken),
    )


def _by_project(flat: Sequence[str]) -> list[tuple[tuple[str, str], int]]:
    """By project and what stands behind it; what is nought is left out."""
    found = [(name.rpartition(" "), int(count)) for name, count in zip(flat[::2], flat[1::2], strict=True)]
    return [((project, rest), count) for (project, _, rest), count in found if count]


def _class_facts(reply: Sequence[Any]) -> ClassFacts:
    demand, waiting, suitable, available, since, came, went = reply
    return ClassFacts(demand, int(waiting), int(suitable), int(available), _instant(since), int(came), int(went))


def _instant(said: str) -> int | None:
    return int(said) if said else None
