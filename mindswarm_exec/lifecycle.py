"""The life of an execution: its states, the one table of moves, and the choices between moves.

Nothing else says which state follows which. The ledger renders this table into the head of its scripts, the
documentation draws it, error messages quote it and the model test walks it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mindswarm_exec.models.options import RetryPolicy


class Status(StrEnum):
    """Where an execution stands. Exactly one at any moment."""

    PENDING = "pending"
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"

    @property
    def is_terminal(self) -> bool:
        return self in TERMINAL


PENDING, QUEUED, RUNNING, PAUSED = Status.PENDING, Status.QUEUED, Status.RUNNING, Status.PAUSED
COMPLETED, FAILED, CANCELLED, TIMED_OUT = (
    Status.COMPLETED,
    Status.FAILED,
    Status.CANCELLED,
    Status.TIMED_OUT,
)
TERMINAL = frozenset({COMPLETED, FAILED, CANCELLED, TIMED_OUT})


@dataclass(frozen=True, slots=True)
class Move:
    """One row: `name` takes an execution from any of `sources` to `target` and emits `event`, once.

    A `fenced` move is refused unless the caller holds the nonce of the current attempt.
    """

    name: str
    sources: tuple[Status, ...]
    target: Status
    event: str
    fenced: bool


# fmt: off
CREATE   = Move("create",   (),                                  PENDING,   "execution.created",         False)  # a submitter
QUEUE    = Move("queue",    (PENDING,),                          QUEUED,    "execution.queued",          False)  # the ledger, on a match
START    = Move("start",    (QUEUED,),                           RUNNING,   "execution.started",         True)   # the agent, by its claim
COMPLETE = Move("complete", (RUNNING,),                          COMPLETED, "execution.completed",       True)   # the agent
FAIL     = Move("fail",     (RUNNING,),                          FAILED,    "execution.failed",          True)   # the agent
POSTPONE = Move("postpone", (RUNNING,),                          PENDING,   "execution.retry_scheduled", True)   # the agent or a sweep: try again later
RELEASE  = Move("release",  (QUEUED, RUNNING),                   PENDING,   "execution.released",        True)   # a sweep, an agent draining
LOSE     = Move("lose",     (QUEUED, RUNNING),                   FAILED,    "execution.failed",          True)   # a sweep: too many attempts lost
PAUSE    = Move("pause",    (PENDING, QUEUED, RUNNING),          PAUSED,    "execution.paused",          False)  # anyone; the agent while it runs
RESUME   = Move("resume",   (PAUSED,),                           PENDING,   "execution.resumed",         False)  # anyone
CANCEL   = Move("cancel",   (PENDING, QUEUED, RUNNING, PAUSED),  CANCELLED, "execution.cancelled",       False)  # anyone; the agent while it runs
TIME_OUT = Move("time_out", (PENDING, QUEUED, RUNNING, PAUSED),  TIMED_OUT, "execution.timed_out",       False)  # the agent or a sweep
RETRY    = Move("retry",    (FAILED, CANCELLED, TIMED_OUT),      PENDING,   "execution.retry_scheduled", False)  # anyone
FREEZE   = Move("freeze",   (RUNNING,),                          PAUSED,    "execution.paused",          True)   # the agent: a process stopped in place
THAW     = Move("thaw",     (PAUSED,),                           RUNNING,   "execution.resumed",         False)  # anyone, while its process is frozen
STRAND   = Move("strand",   (PAUSED,),                           PAUSED,    "execution.released",        True)   # a sweep, an agent draining: the frozen process is gone
# fmt: on

MOVES = (
    CREATE,
    QUEUE,
    START,
    COMPLETE,
    FAIL,
    POSTPONE,
    RELEASE,
    LOSE,
    PAUSE,
    RESUME,
    CANCEL,
    TIME_OUT,
    RETRY,
    FREEZE,
    THAW,
    STRAND,
)

#: Events of an execution that are no moves: they carry news of an attempt, or a wish not yet obeyed.
NEWS_EVENTS = (
    "execution.progress",
    "execution.output",
    "execution.checkpoint",
    "execution.pause_requested",
    "execution.cancel_requested",
    "execution.budget",
)

#: The deadlines that are watched in each state. Their instants are the fields `<name>_at_ms` of an
#: execution; the earliest of those that are watched is its score in the `deadlines` zset.
WATCHED: dict[Status, tuple[str, ...]] = {
    PENDING: ("eligible", "queue_timeout"),
    QUEUED: ("delivery", "queue_timeout"),
    RUNNING: ("timeout", "stall", "pause_ack", "cancel_grace"),
    PAUSED: ("cancel_grace",),  # of a frozen process that has been told to end
}

#: The status that a task takes when its latest execution reaches a state.
TASK_STATUS: dict[Status, str] = {
    PENDING: "scheduled",
    QUEUED: "scheduled",
    RUNNING: "in_progress",
    PAUSED: "paused",
    COMPLETED: "done",
    FAILED: "failed",
    CANCELLED: "cancelled",
    TIMED_OUT: "failed",
}


def moves_from(status: Status) -> tuple[Move, ...]:
    """The rows that leave `status`, in table order."""
    return tuple(move for move in MOVES if status in move.sources)


# --- choices between rows --------------------------------------------------------------------------------


class OutcomeKind(StrEnum):
    """How an attempt ended, as its agent saw it."""

    SUCCEEDED = "succeeded"
    RAISED = "handler_error"
    TIMED_OUT = "timeout"
    STALLED = "stall"
    CANCELLED = "cancelled_by"
    PAUSED = "paused"
    HANDED_BACK = "handed_back"  # the agent drains; costs no attempt
    DEFERRED = "retry_after"  # the handler asked to be tried again later
    LIMITED = "limit"  # a resource limit ended it; its failure names which
    DIED = "process_died"  # the process of the handler ended without an answer
    REFUSED = "invalid_payload"  # the payload does not fit the handler's model; no retry can help


@dataclass(frozen=True, slots=True)
class AttemptFacts:
    """What the choice after an attempt depends on."""

    retry_policy: RetryPolicy
    #: attempts that this execution has spent before this one (lost and handed-back ones not counted)
    failed_attempts: int
    #: name of the error class, "" unless the outcome is an error
    error_type: str = ""
    #: `kind` of the failure where the outcome's own word does not say it, as for limits
    failure_kind: str = ""
    #: what the handler asked for with `retry_after`
    delay_ms: int = 0


@dataclass(frozen=True, slots=True)
class Choice:
    """A row, and for POSTPONE the delay before the next attempt in milliseconds."""

    move: Move
    delay_ms: int = 0


#: Attempts that a handler may ask for with `retry_after` where the submitter set no retry policy.
MOST_DEFERRED = 100


def after(kind: OutcomeKind, facts: AttemptFacts, uniform: Callable[[], float] = random.random) -> Choice:
    """Choose the row that follows an attempt that ended as `kind`."""
    failures = facts.failed_attempts + 1
    policy = facts.retry_policy
    match kind:
        case OutcomeKind.SUCCEEDED:
            return Choice(COMPLETE)
        case OutcomeKind.CANCELLED:
            return Choice(CANCEL)
        case OutcomeKind.PAUSED:
            return Choice(PAUSE)
        case OutcomeKind.HANDED_BACK:
            return Choice(RELEASE)
        case OutcomeKind.REFUSED:
            return Choice(FAIL)
        case OutcomeKind.DEFERRED:
            most = policy.max_attempts if policy.max_attempts > 1 else MOST_DEFERRED
            return Choice(POSTPONE, facts.delay_ms) if failures < most else Choice(FAIL)
        case (
            OutcomeKind.RAISED | OutcomeKind.TIMED_OUT | OutcomeKind.STALLED | OutcomeKind.LIMITED | OutcomeKind.DIED
        ):
            if policy.allows(facts.failure_kind or kind.value, facts.error_type, failures):
                return Choice(POSTPONE, policy.delay_ms(failures, uniform()))
            timed_out = kind in (OutcomeKind.TIMED_OUT, OutcomeKind.STALLED)
            return Choice(TIME_OUT if timed_out else FAIL)


def after_loss(lost_attempts: int, max_lost_attempts: int) -> Choice:
    """Choose the row for an attempt that was lost with its agent, being the `lost_attempts`-th lost one."""
    return Choice(LOSE if lost_attempts >= max_lost_attempts else RELEASE)
