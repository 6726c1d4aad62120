"""Asking for events: filters, cursors, pages and gaps; and how grave an event is, and what it says."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints

from mindswarm_exec.identifiers import AgentId, ExecutionId, Name
from mindswarm_exec.models.options import WireModel
from mindswarm_exec.models.records import Event, Task

Severity = Literal["info", "warning", "error"]
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "error")

_WARNINGS = frozenset(
    {
        "execution.released",
        "execution.retry_scheduled",
        "execution.timed_out",
        "execution.budget",
        "agent.offline",
    }
)
_ERRORS = frozenset({"execution.failed"})

#: The largest part of a stream id. Source: Redis streams, two unsigned 64-bit numbers.
_LARGEST = 2**64 - 1


def position(event_id: str) -> tuple[int, int]:
    """The place of an event id in the stream: ids compare as pairs of numbers, not as texts."""
    milliseconds, _, count = event_id.partition("-")
    return int(milliseconds), int(count or 0)


def _fits_a_stream(cursor: str) -> str:
    if max(position(cursor)) > _LARGEST:
        raise ValueError("a cursor is the event_id of an event, such as 1769860800000-0, or 0 for the oldest")
    return cursor


Cursor = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,20}(-[0-9]{1,20})?$"), AfterValidator(_fits_a_stream)]
EventPattern = Annotated[str, StringConstraints(pattern=r"^[a-z_.*]{1,64}$")]


class EventFilter(WireModel):
    """Which events are wanted. An event matches if it meets every field that is given."""

    event_types: tuple[EventPattern, ...] = Field(
        (), max_length=64, description="names, with * for any text: execution.*"
    )
    execution_ids: frozenset[ExecutionId] = Field(frozenset(), max_length=1000, description="about one of these")
    task_ids: frozenset[Name] = Field(frozenset(), max_length=1000, description="about one of these")
    agent_ids: frozenset[AgentId] = Field(frozenset(), max_length=1000, description="about one of these")
    project_ids: frozenset[Name] = Field(frozenset(), max_length=1000, description="in one of these")
    min_severity: Severity = Field("info", description="as severe as that, or more")

    def matches_type(self, event_type: str) -> bool:
        """Whether the type and its severity are wanted."""
        if SEVERITIES.index(severity_of(event_type)) < SEVERITIES.index(self.min_severity):
            return False
        return self._types is None or self._types.fullmatch(event_type) is not None

    def matches(self, event_type: str, project_id: str, task_id: str, execution_id: str, agent_id: str) -> bool:
        """Whether an event of this type and context is wanted. An empty id means none."""
        return (
            (not self.execution_ids or execution_id in self.execution_ids)
            and (not self.project_ids or project_id in self.project_ids)
            and (not self.task_ids or task_id in self.task_ids)
            and (not self.agent_ids or agent_id in self.agent_ids)
            and self.matches_type(event_type)
        )

    @cached_property
    def _types(self) -> re.Pattern[str] | None:
        # fnmatch guards its stars against backtracking; the pattern's alphabet leaves it only stars
        wanted = "|".join(fnmatch.translate(pattern) for pattern in self.event_types)
        return re.compile(wanted) if wanted else None


class Gap(WireModel):
    """Events are missing here. Read on from `resume_from` (exclusive) to have those that still exist.

    `slow`: the reader fell behind and its buffer was dropped; the events are in the stream.
    `trimmed`: the cursor is older than the stream, whose oldest event follows `resume_from`.
    `reset`: the stream is not the one that the cursor came from (a server restarted without its data).
    """

    reason: Literal["slow", "trimmed", "reset"]
    resume_from: str


class EventPage(WireModel):
    """Events in stream order. A page may be short of its limit, even empty: go on while `next_cursor` is set."""

    events: tuple[Event, ...]
    next_cursor: str | None = None


class EventSubscription(WireModel):
    """What one connection asked for."""

    subscription_id: str
    filter: EventFilter


class EventSubscriptions(WireModel):
    subscriptions: tuple[EventSubscription, ...]


class TaskPage(WireModel):
    """Tasks, newest first. A page may be short of its limit, even empty: go on while `next_cursor` is set."""

    tasks: tuple[Task, ...]
    next_cursor: str | None = None


def severity_of(event_type: str) -> Severity:
    if event_type in _ERRORS:
        return "error"
    return "warning" if event_type in _WARNINGS else "info"


#: What each type of event says. `{of}` is the execution, task or agent that it concerns.
_SENTENCES = {
    "execution.created": "{of} was accepted.",
    "execution.queued": "{of} was given to agent {agent}.",
    "execution.started": "{of} runs on agent {agent}.",
    "execution.progress": "{of} is {percent} done{message}.",
    "execution.output": "{of} produced output.",
    "execution.checkpoint": "{of} saved a checkpoint.",
    "execution.budget": "{of} has spent most of its budget{budget}.",
    "execution.pause_requested": "{of} was asked to pause.",
    "execution.paused": "{of} is paused.",
    "execution.resumed": "{of} was resumed.",
    "execution.cancel_requested": "{of} was asked to stop.",
    "execution.cancelled": "{of} was cancelled.",
    "execution.completed": "{of} completed.",
    "execution.failed": "{of} failed{error}.",
    "execution.timed_out": "{of} ran out of time{error}.",
    "execution.retry_scheduled": "{of} will be tried again{error}.",
    "execution.released": "{of} was taken back from agent {agent} and waits for another.",
    "agent.registered": "{of} registered.",
    "agent.sleeping": "{of} went to sleep.",
    "agent.wake_requested": "{of} was told to wake up.",
    "agent.woken": "{of} woke up.",
    "agent.draining": "{of} takes no new work.",
    "agent.offline": "{of} was not heard of for a lease, or left.",
}

#: What it says if its data holds this fact.
_VARIANTS = {
    ("execution.pause_requested", "withdrawn"): "{of} is no longer asked to pause.",
    ("execution.pause_requested", "unacknowledged"): "{of} reached no safe point in time; the pause stands.",
    ("execution.pause_requested", "meter"): "{of} was asked to pause: a budget is spent{budget}.",
    ("execution.resumed", "in_place"): "{of} goes on in place, on agent {agent}.",
    (
        "execution.cancelled",
        "unresponsive",
    ): "{of} was cancelled; its code on agent {agent} did not stop and is fenced.",
}


def describe(event_type: str, context: Mapping[str, str], data: Mapping[str, Any]) -> str:
    """One sentence for people. `context` holds the four ids of an event; empty means none."""
    variants = (_VARIANTS[event_type, fact] for fact in data if data[fact] and (event_type, fact) in _VARIANTS)
    sentence = next(variants, _SENTENCES.get(event_type))
    kind, _, fact = event_type.partition(".")
    of = f"{kind.capitalize()} {context.get(kind + '_id', '')}".strip()
    if sentence is None:
        return f"{of}: {fact.replace('_', ' ')}."
    return sentence.format(
        of=of,
        agent=context.get("agent_id") or "none",
        percent=_percent(data.get("fraction")),
        message=f": {data['message']}" if data.get("message") else "",
        error=_error_kind(data.get("error")),
        budget=budget_of(data),
    )


def budget_of(data: Mapping[str, Any]) -> str:
    """` (80 of 100 tokens)`, or nothing where the data tells of no budget."""
    spent, limit = data.get("spent"), data.get("limit")
    if not isinstance(spent, int | float) or not isinstance(limit, int | float):
        return ""
    return f" ({spent:g} of {limit:g} {data.get('meter')})"


def _percent(fraction: object) -> str:
    return f"{fraction:.0%}" if isinstance(fraction, int | float) else "partly"


def _error_kind(error: object) -> str:
    """The kind and type of an error, never its message: that may quote a payload."""
    if not isinstance(error, Mapping):
        return ""
    named = " ".join(str(error[part]) for part in ("kind", "type") if error.get(part))
    return f" ({named})" if named else ""
