"""What the engine tells: the records of the wire.

Instants are timezone-aware UTC datetimes (RFC 3339 on the wire); measured durations end in `_ms`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, PlainSerializer

from mindswarm_exec.identifiers import AgentId, Name
from mindswarm_exec.lifecycle import Status
from mindswarm_exec.models.options import DEFAULT_OPTIONS, ExecutionOptions, WireModel
from mindswarm_exec.models.trace_context import TraceContext


def _rfc3339(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Instant = Annotated[datetime, PlainSerializer(_rfc3339, return_type=str, when_used="json")]


def instant(milliseconds: int | str | None) -> datetime | None:
    """The datetime of an instant in Unix milliseconds; None for None or an empty string."""
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC) if milliseconds else None


class Progress(WireModel):
    fraction: float = 0.0
    message: str = ""


class Receipt(WireModel):
    """How far a control wish has got. `kind` is `pause` or `cancel`."""

    kind: Literal["pause", "cancel"]
    reason: str = ""
    requested_at: Instant
    acknowledged_at: Instant | None = Field(None, description="the handler's agent obeyed")
    checkpoint_id: str | None = Field(None, description="the checkpoint that a resume continues from")
    slot_released_at: Instant | None = Field(None, description="no slot is held any more; never for a frozen process")
    overdue_at: Instant | None = Field(
        None, description="no safe point was reached within pause_ack_seconds; the wish stands"
    )
    unresponsive: bool = Field(
        False, description="the handler ignored the cancel; it is fenced, its slot taken until its code ends"
    )


class Question(WireModel):
    """What a handler asked with `ctx.ask`; the execution is parked on it."""

    question_id: str
    prompt: str
    answer_schema: dict[str, Any] | None = Field(None, description="JSON Schema that the answer has to fit")
    asked_at: Instant


class Meter(WireModel):
    """What an execution and its children have spent of a named budget."""

    spent: float = 0.0
    limit: float | None = None


class Failure(WireModel):
    """Why an execution ended abnormally."""

    kind: str = Field(description="handler_error, timeout, stall, agent_lost, cancelled_by, memory_limit, …")
    type: str = Field("", description="class name of the handler's exception, if there was one")
    message: str = ""
    measured: dict[str, JsonValue] = Field(default_factory=dict)


#: The closed list of causes, each with what kind of waiting it is.
WAITING_KINDS: dict[str, str] = {
    "no_such_task_type": "never",
    "no_suitable_agent": "never",
    "agents_offline": "not_now",
    "agents_asleep": "not_now",
    "agents_busy": "not_now",
    "success_rate": "not_now",
    "concurrency_key": "not_now",
    "start_at": "on_purpose",
    "retry_delay": "on_purpose",
    "paused": "on_purpose",
    "input_required": "on_purpose",
    "budget": "on_purpose",
}
#: Causes for which an execution is paused, not waiting.
PAUSES = ("paused", "input_required", "budget")


class WaitingFor(WireModel):
    """Why an execution waits."""

    reason: Literal[
        "no_such_task_type",
        "no_suitable_agent",
        "agents_offline",
        "agents_asleep",
        "agents_busy",
        "success_rate",
        "concurrency_key",
        "start_at",
        "retry_delay",
        "paused",
        "input_required",
        "budget",
    ]
    kind: Literal["never", "not_now", "on_purpose"] = Field(
        description="never as things are; not now; or held on purpose"
    )
    detail: str
    next_step: str = Field("", description="how it goes on: by itself, or by what somebody has to do")
    nearest: str | None = Field(None, description="the name that was probably meant")
    until: Instant | None = Field(None, description="when the cause is over by itself, where that is known")


class Execution(WireModel):
    """One request to run a task type, and what has become of it."""

    execution_id: str
    status: Status
    task_type: str
    task_id: str | None = None
    parent_id: str | None = None
    project_id: str
    agent_id: str | None = Field(None, description="of its latest attempt")
    attempt: int = Field(0, description="attempts begun so far; 0 before the first match")
    failed_attempts: int = Field(0, description="that failed or timed out")
    lost_attempts: int = Field(0, description="whose agent was lost")
    priority: int
    progress: Progress = Field(default_factory=Progress)
    intent: Receipt | None = Field(None, description="how far the pause or cancel has got that was asked for")
    pause_reason: Literal["requested", "input_required", "budget"] | None = Field(
        None, description="why it is paused; null if it is not"
    )
    is_frozen: bool = Field(False, description="paused in place: its process is stopped and keeps its slot")
    question: Question | None = Field(None, description="what it waits to be told, with provideInput")
    meters: dict[str, Meter] = Field(default_factory=dict)
    waiting_for: WaitingFor | None = Field(None, description="why it waits; null if it does not, and in listings")
    payload: JsonValue = None
    result: JsonValue = Field(None, description="of one that completed")
    error: Failure | None = Field(None, description="why it, or its latest attempt, ended without a result")
    checkpoint: JsonValue = Field(None, description="the latest, which the next attempt goes on from")
    options: ExecutionOptions = Field(default_factory=lambda: DEFAULT_OPTIONS)
    decision: dict[str, JsonValue] | None = Field(None, description="how its agent was chosen")
    tags: tuple[str, ...] = ()
    traceparent: str | None = Field(None, description="W3C Trace Context: the span that its attempts go on from")
    tracestate: str | None = None
    created_at: Instant
    queued_at: Instant | None = Field(None, description="when an agent was last chosen")
    started_at: Instant | None = Field(None, description="of its latest attempt")
    finished_at: Instant | None = Field(None, description="null until it has ended")

    @property
    def trace(self) -> TraceContext | None:
        """The trace that it belongs to, if any."""
        return TraceContext.of(self.traceparent, self.tracestate)


class EventContext(WireModel):
    project_id: str | None = None
    task_id: str | None = None
    execution_id: str | None = None
    agent_id: str | None = None


class Event(WireModel):
    """A fact."""

    event_id: str = Field(description="its place in the stream, and the cursor of a reader")
    seq: int = Field(description="counts the events of its execution from 1, without gaps; 0: of an agent or a task")
    event_type: str
    timestamp: Instant = Field(description="by the clock of the ledger's server")
    source: str = Field(description="who made it happen: client, agent:<agent_id>, sweep or ledger")
    context: EventContext = Field(description="what it is about")
    data: dict[str, JsonValue] = Field(default_factory=dict, description="what there is to tell beside, by its type")
    metadata: dict[str, JsonValue] = Field(default_factory=dict, description="its severity: info, warning or error")
    description: str = Field("", description="the same as a sentence")


class AgentRecord(WireModel):
    """An agent as the ledger knows it."""

    agent_id: str
    state: Literal["awake", "sleeping", "waking", "draining", "offline"] = Field(
        description="waking: told to, and not yet open for work"
    )
    task_types: dict[str, dict[str, JsonValue]] = Field(
        description="by task type: isolation, payload_schema, result_schema"
    )
    capabilities: tuple[str, ...] = ()
    labels: dict[str, str | bool | int | float] = Field(default_factory=dict)
    max_concurrent: int
    load: int = Field(description="slots taken, by held attempts")
    held: tuple[str, ...] = Field((), description="ids of the executions whose attempts it holds")
    unresponsive: tuple[str, ...] = Field(
        (), description="those of them whose attempt is over, but not its code: fenced, forced or timed out"
    )
    success_rates: dict[str, float] = Field(default_factory=dict, description="smoothed, by task type")
    incarnation: str
    registered_at: Instant | None = None
    lease_expires_at: Instant | None = None


class Task(WireModel):
    """A work item that a person or program tracks; executions may belong to it."""

    task_id: str
    title: str
    description: str = ""
    project_id: str = "default"
    assignee: str | None = None
    status: str = "open"
    task_type: str | None = None
    payload: JsonValue = None
    execution_id: str | None = Field(None, description="its latest execution")
    created_at: Instant
    updated_at: Instant


class HistoryEntry(WireModel):
    """One move or piece of news in an execution's record, or one execution in a listing."""

    event_id: str
    seq: int
    event_type: str
    timestamp: Instant
    data: dict[str, JsonValue] = Field(default_factory=dict)


MISSING = "why what was archived is not in this listing, though it may match; null: nothing is left out"


class ExecutionHistory(WireModel):
    """With an `execution_id`: its moves, oldest first. With filters: executions, newest first."""

    execution_id: str | None = None
    entries: tuple[HistoryEntry, ...] = ()
    executions: tuple[Execution, ...] = ()
    next_cursor: str | None = None
    missing: str | None = Field(None, description=MISSING)


class ExecutionPage(WireModel):
    executions: tuple[Execution, ...]
    next_cursor: str | None = None
    missing: str | None = Field(None, description=MISSING)


class BulkOutcome(WireModel):
    """What one call did to all executions that its filters admit."""

    verb: Literal["cancel", "retry"]
    matched: int = Field(description="executions that the filters admit, counted before anything was done")
    done: int = Field(description="of these, what was cancelled, asked to stop or brought back")
    refused: int = Field(description="of these, what had moved on meanwhile, so that it was left alone")
    dry_run: bool = Field(False, description="true: nothing was done")
    execution_ids: tuple[str, ...] = Field((), description="the first 100 that matched")


class ExecutionMetrics(WireModel):
    """What one execution took, all attempts together. A clock that still runs is read now."""

    execution_id: str
    status: Status
    attempts: int
    failed_attempts: int
    lost_attempts: int
    waiting_ms: int = Field(description="in every state but running and paused")
    waited_ms: dict[str, int] = Field(
        default_factory=dict, description="the same by cause, and what it was paused for: agent, delivery, paused, …"
    )
    running_ms: int | None = Field(None, description="null if it never ran")
    total_ms: int = Field(description="since it was created, to its end or now")
    progress: float = 0.0
    cpu_ms: int | None = Field(None, description="of the attempts that ran in processes and were settled")
    peak_rss_mb: float | None = Field(None, description="likewise: the largest resident memory of their leaders")
    output_bytes: int = Field(0, description="of the attempts that were settled")
    meters: dict[str, Meter] = Field(default_factory=dict)


class Percentiles(WireModel):
    """By nearest rank, off by at most 3.2 %; null of nothing."""

    p50: float | None = None
    p90: float | None = None
    p99: float | None = None


class MetricGroup(WireModel):
    """What ended with one agent, task type, project or status. Times since it was created, or last brought back."""

    key: str
    count: int
    completed: int
    failed: int
    cancelled: int
    timed_out: int
    success_rate: float | None = Field(description="completed, of all but the cancelled")
    throughput_per_minute: float = 0.0
    mean_waiting_ms: float | None = Field(description="in every state but running and paused")
    mean_running_ms: float | None = Field(description="over all attempts, of those that ran")
    waiting_ms: Percentiles = Field(default_factory=Percentiles)
    running_ms: Percentiles = Field(default_factory=Percentiles)
    utilisation: float | None = Field(
        None, description="of an agent: the part of its slots that was held while it was there, sampled"
    )


class MetricWindow(WireModel):
    """Executions that ended within the window, grouped."""

    window: str
    group_by: str
    since: Instant = Field(description="the window begins at a full minute, hour or day")
    until: Instant
    groups: tuple[MetricGroup, ...]
    behind: int = Field(0, description="events still to be counted; more than none after a pause of the scheduler")
    lost: int = Field(0, description="events of the window that were trimmed away before they were counted")


class DepthOfClass(WireModel):
    task_type: str
    required_capabilities: tuple[str, ...] = ()
    needs: tuple[str, ...] = Field(
        (), description="all that it asks for beyond the task type, in words: capabilities, constraints, agents, rate"
    )
    waiting: int = Field(description="how many that ask for the same wait")
    suitable_agents: int = Field(description="registered and able, if awake and free")
    free_agents: int = Field(description="of those, awake with a free slot")
    oldest_wait_ms: int | None = Field(
        None, description="of the 200 that wait longest; of a class without one of them, the first in line"
    )
    arrivals_per_minute: float = Field(0.0, description="asked for an agent, over the last five minutes")
    services_per_minute: float = Field(0.0, description="given to an agent, over the last five minutes")
    predicted_start_seconds: float | None = Field(
        None, description="until the first in line is given to an agent, at that rate; null: unknown"
    )


class QueueStatus(WireModel):
    """What waits and who could take it, at one moment."""

    project_id: str | None = None
    by_state: dict[str, int] = Field(description="executions kept, of all projects")
    by_priority: dict[str, int] = Field(description="executions that wait for an agent, the most urgent first")
    by_class: tuple[DepthOfClass, ...] = Field(
        (), description="of those that wait for an agent, by what they ask for"
    )
    waiting: int = Field(description="for an agent")
    delayed: int = Field(description="wait for a start time or a retry")
    held_by_concurrency: int = Field(description="wait for a concurrency key")
    oldest_wait_ms: int | None = Field(None, description="of a pending execution")
    slots_total: int = Field(description="of all agents that are not offline")
    slots_taken: int = Field(description="that hold an attempt")
    agents: dict[str, int] = Field(description="count of agents by state")


class HandlerInfo(WireModel):
    """What an agent says of one handler when it registers."""

    isolation: Literal["async", "thread", "process"]
    payload_schema: dict[str, Any] | None = None
    result_schema: dict[str, Any] | None = None


class AgentProfile(WireModel):
    """What an agent says of itself when it registers."""

    agent_id: AgentId
    task_types: dict[Name, HandlerInfo]
    capabilities: tuple[Name, ...] = ()
    labels: dict[Name, str | bool | int | float] = Field(default_factory=dict)
    max_concurrent: int = Field(3, ge=1, le=1000)
