"""The span of an attempt as the engine keeps it: when it begins, what it is told, whether it counts at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mindswarm_exec.ledger.replies import Attempt, Fenced, Settled
from mindswarm_exec.lifecycle import CANCEL, FAIL, POSTPONE, TIME_OUT, OutcomeKind
from mindswarm_exec.tracing import spans_in_use
from workers.wishes import Wish

if TYPE_CHECKING:
    from mindswarm_exec.tracing.spans import AttemptSpan
    from workers.attempt import RunningAttempt
    from workers.outcome import Outcome

#: Ends of an attempt that are nobody's failure, though something is told of why.
ASKED_FOR = (OutcomeKind.CANCELLED, OutcomeKind.DEFERRED)
#: How an attempt ends that is cancelled over its head.
CANCELLED_BY = (CANCEL.name, "forced")
#: How a sweep ends an attempt whose clock has run out.
RAN_OUT = (TIME_OUT.name, FAIL.name, POSTPONE.name)


def begun_span(held: Attempt) -> AttemptSpan | None:
    """The span of an attempt that was just claimed; None where this agent does not trace."""
    spans = spans_in_use()
    if spans is None:
        return None
    from mindswarm_exec.tracing.spans import AttemptIdentity

    who = AttemptIdentity(held.execution_id, held.task_type, held.project_id, held.agent_id, held.number, held.nonce)
    if held.trace is None:
        return spans.attempt(who, None, 0)
    return spans.attempt(who, held.trace.context, held.trace.waited_ms)


def settle_span(running: RunningAttempt, outcome: Outcome | None, reply: object) -> None:
    """End the span of an attempt, if it has one, by the ledger's answer to its settlement.

    An attempt that was found lost has its span from whoever found it so, under the same id: this one is dropped.
    """
    if running.span is None:
        return
    if outcome is None and isinstance(reply, Fenced):
        _end_over_its_head(running.span, reply.ended_by)
    elif not (isinstance(reply, Settled) or _was_stopped(running, outcome)):
        return
    elif outcome is None:
        running.span.end("released")
    elif outcome.failure is None or outcome.kind in ASKED_FOR:
        running.span.end(outcome.kind.value)
    else:
        running.span.end(outcome.failure.kind, outcome.failure.type or outcome.failure.kind, is_failure=True)


def _end_over_its_head(span: AttemptSpan, ended_by: str) -> None:
    """A report learnt that another had ended the attempt before the word of why came here: the ledger knows."""
    if ended_by in CANCELLED_BY:
        span.end(OutcomeKind.CANCELLED.value)
    elif ended_by in RAN_OUT:
        span.end(OutcomeKind.TIMED_OUT.value, OutcomeKind.TIMED_OUT.value, is_failure=True)


def _was_stopped(running: RunningAttempt, outcome: Outcome | None) -> bool:
    """Whether it was settled over its head by what this agent was told, such as a forced cancel."""
    return outcome is not None and running.wish not in (None, Wish.PAUSE, Wish.HAND_BACK, Wish.LOST)
