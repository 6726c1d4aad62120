"""What a submitter may ask for: options, retry policy, limits, and which agent may do the work."""

from __future__ import annotations

import hashlib
import json
import math
from datetime import UTC, datetime
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, field_validator, model_validator

from mindswarm_exec.identifiers import AgentId, ExecutionId, Name
from mindswarm_exec.models.trace_context import TraceContext, Traceparent, Tracestate

PRIORITY_NAMES = {"low": 2, "normal": 5, "high": 7, "critical": 9}

Seconds = Annotated[float, Field(gt=0, le=365 * 86400, allow_inf_nan=False)]

#: Limits of meters, by name.
Budgets = Annotated[dict[Name, Annotated[float, Field(ge=0, allow_inf_nan=False)]], Field(max_length=64)]


def _priority_number(value: object) -> object:
    if isinstance(value, str):
        if value not in PRIORITY_NAMES:
            raise ValueError(f"priority is 0 to 9 (9 most urgent) or one of {', '.join(PRIORITY_NAMES)}")
        return PRIORITY_NAMES[value]
    return value


Priority = Annotated[int, BeforeValidator(_priority_number), Field(ge=0, le=9)]


class WireModel(BaseModel):
    """A record of the wire: frozen; unknown fields, and numbers that JSON cannot write, are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, ser_json_inf_nan="null")


class RetryPolicy(WireModel):
    """When an attempt that failed or timed out is tried again, and after which delay.

    Attempts lost with their agent and attempts handed back by a draining agent are not counted here.
    """

    max_attempts: int = Field(1, ge=1, le=1000, description="attempts in all; 1 means no retry")
    backoff: Literal["fixed", "linear", "exponential"] = "exponential"
    initial_delay_seconds: float = Field(1.0, ge=0, le=86400, description="delay before the second attempt")
    max_delay_seconds: float = Field(300.0, ge=0, le=7 * 86400, description="no delay is longer")
    multiplier: float = Field(2.0, ge=1, le=100, description="growth of an exponential backoff")
    jitter: float = Field(0.1, ge=0, le=1, description="share of the delay that is drawn at random")
    retry_on: tuple[str, ...] = Field(
        (), max_length=64, description="error types or kinds that are retried; none named means all"
    )
    no_retry_on: tuple[str, ...] = Field((), max_length=64, description="those that never are")

    def allows(self, kind: str, error_type: str, failed_attempts: int) -> bool:
        """Whether another attempt may follow the `failed_attempts`-th failure."""
        if failed_attempts >= self.max_attempts:
            return False
        names = {kind, error_type}
        if names & set(self.no_retry_on):
            return False
        return not self.retry_on or bool(names & set(self.retry_on))

    def delay_ms(self, failed_attempts: int, uniform: float) -> int:
        """The delay after the `failed_attempts`-th failure; `uniform` in [0, 1) places it within the jitter.

        The jitter only shortens: the delay lies in (1 - jitter, 1] × the backoff, and never above the maximum.
        """
        match self.backoff:
            case "fixed":
                seconds = self.initial_delay_seconds
            case "linear":
                seconds = self.initial_delay_seconds * failed_attempts
            case "exponential":
                # 64 doublings pass any maximum that the model admits; the bound keeps floats finite
                seconds = self.initial_delay_seconds * self.multiplier ** min(failed_attempts - 1, 64)
        seconds = min(seconds, self.max_delay_seconds)
        return round(seconds * (1 - self.jitter * uniform) * 1000)


class ResourceLimits(WireModel):
    """Upper bounds of one attempt. All but `meters` hold for process handlers and commands only."""

    memory_mb: int | None = Field(None, ge=1, le=10**9, description="resident memory of all its processes together")
    cpu_seconds: Seconds | None = Field(None, description="of all its processes together, user and system")
    wall_seconds: Seconds | None = Field(None, description="time that it runs; frozen time does not count")
    output_mb: int | None = Field(
        None, ge=1, description="what it prints and streams; null: what MINDSWARM_MAX_OUTPUT_MB allows"
    )
    max_processes: int | None = Field(None, ge=1, description="processes at one time, its own included")
    meters: Budgets = Field(default_factory=dict, description="named budgets, spent by it and its children")


class Constraint(WireModel):
    """A condition on one label of an agent. An agent without the label meets only `exists: false` and `!=`."""

    label: Name
    op: Literal["=", "!=", ">", ">=", "<", "<=", "in", "exists"]
    value: str | bool | int | float | tuple[str | bool | int | float, ...] | None = None

    @field_validator("value", mode="before")
    @classmethod
    def _numbers_are_finite(cls, value: object) -> object:
        for one in value if isinstance(value, list | tuple) else (value,):
            if isinstance(one, float) and not math.isfinite(one):
                raise ValueError("a number has to be finite")
        return value

    @model_validator(mode="after")
    def _value_fits_op(self) -> Constraint:
        match self.op:
            case "in":
                fits = isinstance(self.value, tuple)
                wanted = "a list"
            case "exists":
                fits = self.value is None or isinstance(self.value, bool)
                wanted = "true, false or nothing"
            case "=" | "!=":
                fits = isinstance(self.value, str | bool | int | float)
                wanted = "a string, number or boolean"
            case _:
                fits = isinstance(self.value, int | float) and not isinstance(self.value, bool)
                wanted = "a number"
        if not fits:
            raise ValueError(f"op '{self.op}' on label '{self.label}' takes {wanted} as value")
        return self

    @property
    def told(self) -> str:
        """As people write it: `gpu_mb >= 16000`."""
        if self.op == "exists":
            return f"{self.label} {'exists' if self.value is not False else 'does not exist'}"
        value = self.value if isinstance(self.value, str) else json.dumps(self.value)
        return f"{self.label} {self.op} {value}"


class AgentSelectionCriteria(WireModel):
    """Which agents may serve an execution, and which one it would rather have."""

    agent_id: AgentId | None = Field(None, description="pre-assigned: used if it exists and can")
    preferred_agent_id: AgentId | None = Field(None, description="used if suitable and free")
    required_capabilities: frozenset[Name] = Field(frozenset(), max_length=64, description="all of these")
    constraints: tuple[Constraint, ...] = Field((), max_length=32, description="on labels, all of these")
    excluded_agents: frozenset[AgentId] = Field(frozenset(), max_length=256, description="none of these")
    affinity_key: Name | None = Field(None, description="rather the agent that last ran this key")
    min_success_rate: float | None = Field(
        None, ge=0, le=1, description="smoothed, on its task type; an agent without a past has 1"
    )

    @model_validator(mode="after")
    def _not_both_wanted_and_excluded(self) -> AgentSelectionCriteria:
        for wanted in (self.agent_id, self.preferred_agent_id):
            if wanted in self.excluded_agents:
                raise ValueError(f"agent '{wanted}' is both wanted and excluded; drop one of the two")
        return self


#: Shared defaults: records are frozen, and Pydantic would copy a default given as a value each time.
NO_RETRY, NO_LIMITS, ANY_AGENT = RetryPolicy(), ResourceLimits(), AgentSelectionCriteria()


class ExecutionOptions(WireModel):
    """How an execution is to be run. Durations in seconds."""

    priority: Priority = Field(5, description="0–9, 9 most urgent; or low, normal, high, critical")
    timeout_seconds: Seconds | None = Field(None, description="bound on one attempt's running time")
    queue_timeout_seconds: Seconds | None = Field(None, description="bound on waiting for an agent")
    stall_timeout_seconds: Seconds | None = Field(
        None, description="bound on silence: no progress, output, checkpoint or log from the handler"
    )
    start_at: datetime | None = Field(None, description="not before this instant (RFC 3339, with offset)")
    retry_policy: RetryPolicy = Field(
        default_factory=lambda: NO_RETRY, description="whether and when it is tried again"
    )
    resource_limits: ResourceLimits = Field(default_factory=lambda: NO_LIMITS, description="what an attempt may use")
    allow_parallel: bool = Field(True, description="false: one execution of the task at a time")
    concurrency_key: Name | None = Field(
        None, description="executions that name the same key share concurrency_limit"
    )
    concurrency_limit: int = Field(1, ge=1, le=100_000, description="how many of its key may have an agent at a time")
    force_start: bool = Field(False, description="may exceed an agent's slots")
    max_lost_attempts: int = Field(3, ge=1, le=100, description="attempts lost with their agent before it fails")
    agent: AgentSelectionCriteria = Field(default_factory=lambda: ANY_AGENT, description="which agents may serve it")
    tags: tuple[Name, ...] = Field((), max_length=32, description="words to find it by")

    @model_validator(mode="after")
    def _start_at_is_an_instant(self) -> ExecutionOptions:
        if self.start_at is None:
            return self
        if self.start_at.tzinfo is None:
            raise ValueError("start_at needs a UTC offset, such as 2026-01-31T12:00:00Z")
        try:
            self.start_at.astimezone(UTC)
        except OverflowError:
            raise ValueError("start_at lies in no year from 1 to 9999 of UTC") from None
        return self

    @property
    def start_at_ms(self) -> int | None:
        """`start_at` in Unix milliseconds."""
        return None if self.start_at is None else round(self.start_at.timestamp() * 1000)

    @property
    def run_seconds(self) -> float | None:
        """The bound on one attempt's running time: the tighter of the timeout and the limit of wall time."""
        bounds = (self.timeout_seconds, self.resource_limits.wall_seconds)
        return min((bound for bound in bounds if bound is not None), default=None)

    @cached_property
    def stored(self) -> str:
        """The JSON that the ledger keeps: what differs from the defaults, so that plain work stays small."""
        return self.model_dump_json(exclude_defaults=True)


DEFAULT_OPTIONS = ExecutionOptions()


class DemandClass(WireModel):
    """What an agent must have to serve an execution. Executions with equal demands share one class."""

    task_type: Name
    required_capabilities: tuple[Name, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    excluded_agents: tuple[AgentId, ...] = ()
    agent_id: AgentId | None = None
    min_success_rate: float | None = None

    @classmethod
    def of(cls, task_type: str, criteria: AgentSelectionCriteria, *, pinned: bool = True) -> DemandClass:
        """The class of a task type under `criteria`; `pinned=False` leaves the pre-assigned agent out."""
        return cls(
            task_type=task_type,
            required_capabilities=tuple(sorted(criteria.required_capabilities)),
            constraints=tuple(sorted(criteria.constraints, key=lambda c: c.model_dump_json())),
            excluded_agents=tuple(sorted(criteria.excluded_agents)),
            agent_id=criteria.agent_id if pinned else None,
            min_success_rate=criteria.min_success_rate,
        )

    @property
    def needs(self) -> tuple[str, ...]:
        """What it asks for beyond its task type, in words."""
        needs = [*self.required_capabilities, *(constraint.told for constraint in self.constraints)]
        needs += [f"not {agent_id}" for agent_id in self.excluded_agents]
        if self.agent_id is not None:
            needs.append(f"only {self.agent_id}")
        if self.min_success_rate is not None:
            needs.append(f"success rate >= {self.min_success_rate:g}")
        return tuple(needs)

    @cached_property
    def stored(self) -> str:
        """Canonical JSON, as kept in the ledger and read by its scripts."""
        fields: dict[str, Any] = self.model_dump(mode="json", exclude_defaults=True)
        return json.dumps(fields, sort_keys=True, separators=(",", ":"))

    @cached_property
    def class_id(self) -> str:
        """`<task type>#<digest>#<min success rate>`: scripts read the task type and the rate off the id."""
        digest = hashlib.sha256(self.stored.encode()).hexdigest()[:16]
        rate = "" if self.min_success_rate is None else f"{self.min_success_rate:.6g}"
        return f"{self.task_type}#{digest}#{rate}"


#: The project of what names none.
DEFAULT_PROJECT = "default"
IdempotencyKey = Annotated[str, Field(min_length=1, max_length=255)]


class StartRequest(WireModel):
    """The params of `mindswarm.execution.start`: `task_type` with `payload`, or `task_id`."""

    task_type: Name | None = Field(None, description="with payload; or task_id alone")
    payload: JsonValue = Field(None, description="what its handler is given")
    task_id: Name | None = Field(
        None, description="the task that it belongs to, whose task type and payload it has where none are given"
    )
    parent_id: ExecutionId | None = Field(
        None, description="the execution that it is part of: cancelled with it, and its spending counts there too"
    )
    project_id: Name = DEFAULT_PROJECT
    idempotency_key: Annotated[str, Field(min_length=1, max_length=255)] | None = Field(
        None, description="the same key in the same project is the same execution"
    )
    options: ExecutionOptions = Field(default_factory=lambda: DEFAULT_OPTIONS)
    traceparent: Traceparent | None = Field(None, description="W3C Trace Context: the span that it goes on from")
    tracestate: Tracestate | None = Field(None, description="its companion, handed on as it is")

    @property
    def trace(self) -> TraceContext | None:
        """The span that it goes on from, if the submitter names one."""
        return TraceContext.of(self.traceparent, self.tracestate)

    @model_validator(mode="after")
    def _a_tracestate_has_a_traceparent(self) -> StartRequest:
        if self.tracestate and not self.traceparent:
            raise ValueError("a tracestate goes with a traceparent; give both, or neither")
        return self

    @model_validator(mode="after")
    def _names_the_work(self) -> StartRequest:
        if self.task_type is None and self.task_id is None:
            raise ValueError("name the work: give task_type with payload, or the task_id of a task that has them")
        return self
