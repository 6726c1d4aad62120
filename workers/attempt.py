"""One attempt while it runs: what its handler reports and asks, and the wishes that reach it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue, ValidationError

from mindswarm_exec.children import ChildOutcome
from mindswarm_exec.context import ExecutionCancelled, SafePointReached
from mindswarm_exec.errors import InvalidRequest, UnknownAgent, UnknownExecution
from mindswarm_exec.identifiers import new_id, new_nonce
from mindswarm_exec.ledger import operations, reads
from mindswarm_exec.ledger.answers import Started
from mindswarm_exec.ledger.faces import SyncLedger
from mindswarm_exec.ledger.replies import (
    Absent,
    Accepted,
    AgentUnknown,
    Attempt,
    Done,
    Exhausted,
    Existing,
    Fenced,
    Metered,
    Refused,
    Wake,
)
from mindswarm_exec.lifecycle import CANCELLED
from mindswarm_exec.models.options import ExecutionOptions, StartRequest
from mindswarm_exec.models.records import Question
from mindswarm_exec.models.validation import invalid_request
from mindswarm_exec.service.actors import Actor, acting_as
from mindswarm_exec.service.questions import checked_schema
from mindswarm_exec.service.submission import start_operation, stored_json
from mindswarm_exec.tracing import note_existing, submitting
from workers.reports import Reports, storable
from workers.wishes import Wish

if TYPE_CHECKING:
    from mindswarm_exec.tracing.spans import AttemptSpan

__all__ = ["RunningAttempt", "Wish", "new_question", "storable"]

MAX_PROMPT = 10_000


@lru_cache(maxsize=256)
def _parsed(options: str) -> ExecutionOptions:
    """The options of an attempt; most executions share a few sets of them."""
    return ExecutionOptions.model_validate_json(options)


class RunningAttempt(Reports):
    """The engine's side of one attempt; the context of the handler speaks to it. Safe between threads."""

    def __init__(
        self,
        held: Attempt,
        ledger: SyncLedger,
        max_payload_bytes: int,
        publish: Callable[[Sequence[Wake]], None] = lambda wakes: None,
        span: AttemptSpan | None = None,
    ) -> None:
        super().__init__(held, ledger, max_payload_bytes)
        self.span = span
        self.trace = held.trace.context if held.trace is not None else None
        if span is not None and span.context is not None:
            self.trace = span.context
        self.traceparent = self.trace.traceparent if self.trace is not None else None
        self.tracestate = self.trace.tracestate if self.trace is not None else None
        self.options = _parsed(held.options)
        self.execution_id = held.execution_id
        self.task_type = held.task_type
        self.project_id = held.project_id
        self.task_id = held.task_id
        self.agent_id = held.agent_id
        self.attempt = held.number
        self.tags = self.options.tags
        #: set where the handler stopped by itself to wait for something: fields to store with its pause
        self.parked: dict[str, str] | None = None
        self.started_at = datetime.now(UTC)
        self._publish = publish

    # --- its trace -----------------------------------------------------------------------------------------

    def in_trace(self) -> AbstractContextManager[None]:
        """What this thread does, and tasks that it starts on the loop, lies under the span of the attempt."""
        return nullcontext() if self.span is None else self.span.current()

    def end_span(self, outcome: str) -> None:
        """End the span of an attempt that this agent itself gives up, though its code may go on."""
        if self.span is not None:
            self.span.end(outcome)

    def wish_for(self, wish: Wish) -> None:
        before = self.wish
        super().wish_for(wish)
        if self.span is not None and self.wish is not before:
            self.span.note(f"mindswarm.{wish.value}")

    def withdraw_pause(self) -> None:
        if self.span is not None and (self.is_frozen or self.wish is Wish.PAUSE):
            self.span.note("mindswarm.pause_withdrawn")
        super().withdraw_pause()

    # --- clocks ------------------------------------------------------------------------------------------

    @property
    def timeout_seconds(self) -> float | None:
        """The bound on its running time."""
        return self.options.run_seconds

    def overdue(self, now: float) -> Wish | None:
        """The timeout that has passed at `now` (monotonic seconds), if any. While it is frozen none does."""
        if self.is_frozen:
            return None
        timeout, stall = self.timeout_seconds, self.options.stall_timeout_seconds
        now -= self.frozen_seconds
        if timeout is not None and now - self.began >= timeout:
            return Wish.TIMEOUT
        if stall is not None and now - self.sign_of_life >= stall:
            return Wish.STALL
        return None

    @property
    def has_clock(self) -> bool:
        return self.timeout_seconds is not None or self.options.stall_timeout_seconds is not None

    # --- questions, budgets, pauses in place ---------------------------------------------------------------

    def ask(self, prompt: str, schema: dict[str, JsonValue] | None, key: str) -> JsonValue:
        """The answer to a question, or a stop here until there is one.

        Raises:
            SafePointReached: there is none yet; the question is recorded when the attempt settles.
            InvalidRequest: the schema is none, or the prompt is empty or too long.
        """
        question_id = hashlib.sha256(storable(key).encode()).hexdigest()[:16]
        self._note_life()
        stored = self._patiently(reads.fields(self.execution_id, [f"answer:{question_id}"]))
        self.raise_if_stopped()
        if stored:
            self._answers_used.add(question_id)
            answer: JsonValue = json.loads(stored[f"answer:{question_id}"])
            return answer
        question = new_question(question_id, prompt, schema)
        self.parked = {"question": question.model_dump_json(), "question_id": question_id}
        raise SafePointReached

    def meter(self, name: str, amount: float) -> None:
        """Count what was spent.

        Raises:
            SafePointReached: the budget was spent before; it pauses here.
            InvalidRequest: the amount is no number from 0 on, or the name is none.
        """
        if not (math.isfinite(amount) and amount >= 0) or not name or len(name) > 200:
            raise InvalidRequest(f"meter takes a name and a number from 0 on, not {name!r:.220} and {amount}.")
        self._note_life()
        reply = self._spend(storable(name), float(amount))
        self._heed(reply)
        self.raise_if_stopped()
        if isinstance(reply, Exhausted):
            self.parked = {}  # the ledger noted whose budget it was
            raise SafePointReached

    def _spend(self, name: str, amount: float) -> Metered | Exhausted | Absent | Fenced | None:
        with self._reporting:
            return self._patiently(operations.meter(self.held, new_nonce(), name, amount))

    def confirm_freeze(self) -> bool:
        """Record that the process is stopped in place; False if it is to go on instead."""
        data = json.dumps({"attempt": self.attempt, "agent_id": self.agent_id, "in_place": True})
        reply = self._patiently(operations.freeze(self.held, data))
        match reply:
            case Done():
                self.note_frozen()
                if self.span is not None:
                    self.span.note("mindswarm.frozen")
                return self.is_frozen
            case Refused():
                self.withdraw_pause()
            case Absent() | Fenced():
                self.wish_for(Wish.LOST)
            case None:
                pass
        return False

    # --- children ----------------------------------------------------------------------------------------

    def start_child(self, task_type: str, payload: JsonValue, options: dict[str, JsonValue], key: str) -> str:
        """Submit an execution that is part of this one; its id.

        Raises:
            InvalidRequest, UnknownAgent, LedgerFull: it was not submitted.
            ExecutionCancelled: this execution is to be cancelled, and gets no more children.
        """
        try:
            asked = StartRequest(
                task_type=task_type, payload=payload, options=ExecutionOptions.model_validate(options)
            )
        except ValidationError as error:
            raise invalid_request(error, "the child", StartRequest) from None
        execution_id = new_id()
        asking = acting_as(Actor(self.agent_id, "agent"))
        with submitting(task_type, execution_id, otherwise=self.trace) as trace, asking:
            operation = start_operation(
                execution_id,
                task_type,
                stored_json(payload, "the payload", self._max_payload_bytes),
                asked.options,
                project_id=self.project_id,
                parent_id=self.execution_id,
                idempotency_key=f"{self.execution_id}/{key}" if key else None,
                trace=trace,
            )
            self._note_life()
            return self._child_started(self._patiently(operation), execution_id, asked.options)

    def child_outcome(self, execution_id: str) -> ChildOutcome:
        """What has become of a child."""
        self._note_life()
        found = self._patiently(reads.fields(execution_id, ["status", "result", "error"]))
        if found and found["status"] == CANCELLED:
            self._heed_cancel()
        self.raise_if_stopped()
        if not found:
            raise UnknownExecution.of(execution_id)
        result, error = found.get("result"), found.get("error")
        return {
            "status": found["status"],
            "result": json.loads(result) if result else None,
            "error": json.loads(error) if error else None,
        }

    def _heed_cancel(self) -> None:
        """A child may have been cancelled with this execution, and the word of that be still on its way here."""
        own = self._patiently(reads.fields(self.execution_id, ["intent_kind"]))
        if own and own.get("intent_kind") == Wish.CANCEL:
            self.wish_for(Wish.CANCEL)

    def _child_started(self, reply: Started | None, execution_id: str, options: ExecutionOptions) -> str:
        match reply:
            case Accepted(wakes=wakes):
                self._publish(wakes)
                return execution_id
            case Existing(execution_id=earlier):
                note_existing(earlier)
                return earlier
            case AgentUnknown():
                raise UnknownAgent.of(options.agent.agent_id or "")
            case _:  # this execution is over or to be cancelled; the wish itself is on its way
                self.wish_for(Wish.CANCEL)
                raise ExecutionCancelled("an execution that is to be cancelled starts no children")


def new_question(question_id: str, prompt: str, schema: dict[str, Any] | None) -> Question:
    """What a handler asks. Raises InvalidRequest if the prompt or the schema is none."""
    if not prompt or len(prompt) > MAX_PROMPT:
        raise InvalidRequest(f"a question has a prompt of 1 to {MAX_PROMPT} characters, not {len(prompt)}.")
    checked = None if schema is None else checked_schema(schema)
    return Question(
        question_id=question_id, prompt=storable(prompt), answer_schema=checked, asked_at=datetime.now(UTC)
    )
