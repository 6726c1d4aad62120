"""What an observer of the ledger knows: what was accepted, which attempts exist, what each event said."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from mindswarm_exec.ledger.replies import Attempt
from mindswarm_exec.models.options import DemandClass, ExecutionOptions


class Seen(NamedTuple):
    """One event of an execution, as the stream has it."""

    event_id: str
    seq: int
    event_type: str
    data: str


@dataclass
class ModelExecution:
    options: ExecutionOptions
    #: whether it could exceed an agent's slots, now or before a retry with other options
    was_forced: bool = False
    #: retries that were answered with "ok"
    retries: int = 0
    #: removed after its retention
    forgotten: bool = False
    parent_id: str | None = None
    #: by itself and its descendants, of the one meter that there is
    spent: float = 0.0
    #: how often 80 % of a budget of its own were crossed
    crossings: int = 0
    #: retried by hand since its parent was last to be cancelled
    has_escaped: bool = False
    events: list[Seen] = field(default_factory=list)

    def was_retried(self, options: ExecutionOptions | None) -> None:
        self.retries += 1
        self.has_escaped = True
        if options is not None:
            self.options = options
            self.was_forced = self.was_forced or options.force_start


@dataclass
class ModelAttempt:
    """An attempt that an answer has named. `token` is that of the claim that took it up, if one did."""

    execution_id: str
    number: int
    nonce: str
    agent_id: str
    token: str | None = None
    #: whether its nonce has lost its right; the invariants find that out
    over: bool = False
    #: whether its process is stopped in place; the invariants find that out
    frozen: bool = False
    #: until the invariants have seen it
    is_new: bool = True

    @property
    def id(self) -> str:
        return f"{self.execution_id}.{self.number}"

    @property
    def held(self) -> Attempt:
        """As its agent presents it."""
        return Attempt(
            execution_id=self.execution_id,
            nonce=self.nonce,
            number=self.number,
            task_type="t",
            project_id="default",
            task_id=None,
            payload="",
            options="{}",
            checkpoint=None,
            failed_attempts=0,
            lost_attempts=0,
            intent="",
            agent_id=self.agent_id,
        )


@dataclass
class ModelAgent:
    profile: dict[str, Any]
    incarnation: str
    highest_max_concurrent: int
    old_incarnations: list[str] = field(default_factory=list)


@dataclass
class Model:
    executions: dict[str, ModelExecution] = field(default_factory=dict)
    agents: dict[str, ModelAgent] = field(default_factory=dict)
    #: by execution id and nonce
    attempts: dict[tuple[str, str], ModelAttempt] = field(default_factory=dict)
    demands: dict[str, DemandClass] = field(default_factory=dict)
    #: (agent, attempt id, nonce) whose code still runs though another may speak for the execution
    zombies: set[tuple[str, str, str]] = field(default_factory=set)
    #: idempotency key → the execution that it stands for
    idempotency: dict[str, str] = field(default_factory=dict)
    #: by agent: the types of its events, in order
    agent_events: dict[str, list[str]] = field(default_factory=dict)
    #: stream ids in stream order, as (ms, number)
    event_ids: list[tuple[int, ...]] = field(default_factory=list)
