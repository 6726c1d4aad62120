"""What the ledger answers: one class for each word that a script may reply, with its data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from mindswarm_exec.identifiers import attempt_id
from mindswarm_exec.lifecycle import Status
from mindswarm_exec.models.trace_context import TraceContext


@dataclass(frozen=True, slots=True)
class Wake:
    """A message that the caller should publish to the agent's queue: the ledger could not do it itself.

    If it is never published, the sweep sends it again.
    """

    agent_id: str
    execution_id: str
    nonce: str
    attempt_id: str
    task_type: str
    priority: int


class AttemptTrace(NamedTuple):
    """The trace that an attempt belongs to, and how long the execution waited for this attempt."""

    context: TraceContext
    waited_ms: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """All that an agent needs to run one attempt. `payload`, `options` and `checkpoint` are JSON text."""

    execution_id: str
    nonce: str
    number: int
    task_type: str
    project_id: str
    task_id: str | None
    payload: str
    options: str
    checkpoint: str | None
    failed_attempts: int
    lost_attempts: int
    intent: str
    agent_id: str
    trace: AttemptTrace | None = None

    @property
    def id(self) -> str:
        return attempt_id(self.execution_id, self.number)


@dataclass(frozen=True, slots=True)
class LostAttempt:
    """An attempt whose agent process is gone; whoever learns of it settles it."""

    execution_id: str
    number: int
    nonce: str
    status: Status
    lost_attempts: int
    max_lost_attempts: int | None


@dataclass(frozen=True, slots=True)
class HeldAttempt:
    """An attempt that the ledger counts against an agent's slots. `status` is None if it is over."""

    execution_id: str
    number: int
    nonce: str
    status: Status | None
    intent: str


@dataclass(frozen=True, slots=True)
class DueExecution:
    """An execution past its deadline; instants in Unix milliseconds, None where nothing is watched."""

    execution_id: str
    status: Status
    nonce: str
    number: int
    agent_id: str
    failed_attempts: int
    deliveries: int
    options: str
    eligible_at_ms: int | None
    queue_timeout_at_ms: int | None
    delivery_at_ms: int | None
    timeout_at_ms: int | None
    stall_at_ms: int | None
    pause_ack_at_ms: int | None
    cancel_grace_at_ms: int | None


# --- the words -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Accepted:
    """The execution is stored. `suitable_agents` counts the registered agents that could ever serve it."""

    status: Status
    suitable_agents: int
    wakes: tuple[Wake, ...] = ()


@dataclass(frozen=True, slots=True)
class Existing:
    """It was there before, under this id."""

    execution_id: str


@dataclass(frozen=True, slots=True)
class Done:
    """It is done. `status` is the state that the execution or agent is in now."""

    status: str
    wakes: tuple[Wake, ...] = ()
    #: how many are to follow by `cancel_children`, or by `resume_starved`
    followers_left: int = 0


@dataclass(frozen=True, slots=True)
class Claimed:
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Settled:
    """The attempt is over. `following` is the next one, already started on this agent."""

    status: Status
    following: Attempt | None = None
    wakes: tuple[Wake, ...] = ()


@dataclass(frozen=True, slots=True)
class Reported:
    """The news is recorded. `intent` is a wish not yet obeyed: pause, cancel or nothing."""

    intent: str


@dataclass(frozen=True, slots=True)
class Rolled:
    """Ends are counted. `behind`: events still to be read; `lost`: events ever trimmed away unread."""

    read: int
    behind: int
    lost: int
    #: the minute that is counted into; nothing is added to those before it any more
    minute_ms: int
    now_ms: int
    #: hours with counts that are not yet added up, the first one first
    unfolded: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Metered:
    """The amount is counted. `spent` is what the execution itself has spent by now, with its children."""

    intent: str
    spent: float


@dataclass(frozen=True, slots=True)
class Exhausted:
    """The amount is counted, but the budget was spent before: the attempt is to stop here."""

    spent: float
    limit: float


@dataclass(frozen=True, slots=True)
class AwaitsInput:
    """It is parked on a question; an answer lets it go on, a resume does not."""


@dataclass(frozen=True, slots=True)
class NotObeyed:
    """Its handler was asked to pause and still runs: there is no checkpoint at rest that could be replaced."""


@dataclass(frozen=True, slots=True)
class BudgetSpent:
    """It is paused because a budget of `execution_id`, itself or an ancestor, is spent, and still is."""

    execution_id: str
    meter: str
    spent: float
    limit: float


@dataclass(frozen=True, slots=True)
class Answered:
    """That question has its answer already."""


@dataclass(frozen=True, slots=True)
class AnotherQuestion:
    """It waits for the answer to another question by now."""

    question_id: str


@dataclass(frozen=True, slots=True)
class ParentUnknown:
    """There is no execution of the parent's id."""


@dataclass(frozen=True, slots=True)
class ParentOver:
    """The parent has ended, or is to be cancelled: it gets no more children."""

    status: str


@dataclass(frozen=True, slots=True)
class Registered:
    lost: tuple[LostAttempt, ...] = ()


@dataclass(frozen=True, slots=True)
class Renewed:
    sweep_age_ms: int
    state: str
    held: tuple[HeldAttempt, ...] = ()


@dataclass(frozen=True, slots=True)
class Offline:
    lost: tuple[LostAttempt, ...] = ()


@dataclass(frozen=True, slots=True)
class Due:
    """What has passed its deadline at `now_ms`, the server's clock."""

    now_ms: int
    agents: tuple[str, ...] = ()
    executions: tuple[DueExecution, ...] = field(default=())
    #: cancelled executions whose children are still to be cancelled
    parents: tuple[str, ...] = ()
    #: executions whose budget was raised, while others still stand still for it
    raised: tuple[str, ...] = ()
    #: agents whose lease begins anew, for nobody could renew it
    spared: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Absent:
    """There is no such execution, agent or task. `wakes` if the end of a stale attempt freed a slot."""

    wakes: tuple[Wake, ...] = ()


@dataclass(frozen=True, slots=True)
class Fenced:
    """Another attempt, or another process of that agent, has taken over. `wakes` as in `Absent`.

    `ended_by` is how another ended the attempt, as long as there is no later one: the name of a row, or "forced",
    "withdrawn" or "replaced".
    """

    wakes: tuple[Wake, ...] = ()
    ended_by: str = ""


@dataclass(frozen=True, slots=True)
class Taken:
    """Another message of the same attempt was claimed before."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The present state (`status`) forbids it. `wakes` as in `Absent`."""

    status: str
    wakes: tuple[Wake, ...] = ()


@dataclass(frozen=True, slots=True)
class AgentUnknown:
    """The pre-assigned agent has never registered."""


@dataclass(frozen=True, slots=True)
class TaskUnknown:
    """The task has never been created."""


@dataclass(frozen=True, slots=True)
class Expired:
    """The agent's lease ran out; it must register again."""


@dataclass(frozen=True, slots=True)
class Alive:
    """The agent's lease holds."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """The agent has been offline for its retention and is no longer listed."""
