"""Run one handler to its end, or to a pause or cancel at a checkpoint, without any server."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import JsonValue
from pydantic_core import to_jsonable_python

from mindswarm_exec.agent import Agent, Handler
from mindswarm_exec.direct.requests import Options, options_of, trace_of
from mindswarm_exec.errors import ExecutionNotCompleted
from mindswarm_exec.identifiers import new_id, new_nonce
from mindswarm_exec.ledger.replies import Attempt, AttemptTrace
from mindswarm_exec.lifecycle import COMPLETED, OutcomeKind, Status
from mindswarm_exec.models.options import StartRequest
from mindswarm_exec.models.records import Failure, Question
from mindswarm_exec.settings import Settings
from mindswarm_exec.testing.offers import offer_of, target_of
from mindswarm_exec.testing.raised import Raised
from mindswarm_exec.testing.rehearsed_attempt import RehearsedAttempt, Script
from workers.calling import HandlerCalls
from workers.isolation.process import ProcessIsolation
from workers.outcome import settlement

#: Of a handler that no agent of an imported module offers.
UNOFFERED = "rehearsal"


@dataclass(frozen=True)
class Rehearsal:
    """What one run of a handler did.

    Attributes:
        status: the state that its execution would be in afterwards; `pending` if it would be tried again.
        error: why it did not complete, as the execution's record would say it.
        exception: what the handler raised, with its traceback; None for one in a process of its own.
        progress: every (fraction, message).
        output: every (stream, text), what a process printed included.
        checkpoints: every state, the oldest first.
        meters: what was spent, by name.
        questions: what was asked, answered or not; `question` is the one that it waits on.
        children: the executions that it started.
        retry_after_seconds: what it asked for with `retry_after`, or what the retry policy says.
    """

    status: Status
    _result: JsonValue
    error: Failure | None
    exception: Exception | None = field(repr=False)
    progress: Sequence[tuple[float, str]]
    output: Sequence[tuple[str, str]]
    checkpoints: Sequence[dict[str, JsonValue]]
    meters: Mapping[str, float]
    questions: Sequence[Question]
    question: Question | None
    children: Sequence[StartRequest]
    retry_after_seconds: float | None

    @property
    def result(self) -> Any:
        """The result as callers get it: JSON.

        Raises:
            ExecutionNotCompleted: there is none; its cause is what the handler raised.
        """
        __tracebackhide__ = True  # pytest shows the line of the test, and of the handler
        if self.status is not COMPLETED:
            detail = f": {self.error.type or self.error.kind}: {self.error.message}" if self.error else ""
            raise ExecutionNotCompleted(
                f"the handler did not complete, its execution would be {self.status.value}{detail}",
                status=self.status.value,
                error=self.error.model_dump(mode="json") if self.error else None,
            ) from self.exception
        return self._result

    def text(self, stream: str = "output") -> str:
        """All that was put out on one stream."""
        return "".join(text for name, text in self.output if name == stream)


def run(
    handler: Handler | Callable[..., Any],
    payload: Any = None,
    *,
    checkpoint: dict[str, JsonValue] | None = None,
    answers: Mapping[str, Any] | None = None,
    children: Mapping[str, Any] | None = None,
    pause_at: int | None = None,
    cancel_at: int | None = None,
    attempt: int = 1,
    traceparent: str | None = None,
    settings: Settings | None = None,
    options: Options | None = None,
    **more_options: Any,
) -> Rehearsal:
    """Run a handler as an agent would, and answer what it did. Needs no server; hooks for a cancel run too.

    Whether it runs async, on a thread or in a process is what its agent says. The limits of a process are enforced,
    timeouts are not.

    Args:
        handler: the decorated function, or `agent.handlers[task_type]`, as for a command.
        payload: JSON or what becomes JSON, such as a Pydantic model; validated as on an agent.
        checkpoint: the state to go on from, as after a resume.
        answers: by prompt, or by key where `ctx.ask` is given one; without an answer it pauses there.
        children: results by task type: a value, a function of the payload, or an exception for a child that fails.
        pause_at, cancel_at: the number of the checkpoint, from 1, at which that is asked for.
        attempt: the ordinal of this attempt.
        traceparent: the span that the execution goes on from.
        options: as for `start`, also by keyword, such as `resource_limits={"meters": {"tokens": 100}}`.

    Raises:
        InvalidRequest: an option does not fit, or the agent of a process handler cannot be imported.
    """
    agent, offered = _seen(handler)
    settings = settings or Settings()
    script = Script(pause_at, cancel_at, answers or {}, children or {})
    held = _held(offered.task_type, payload, checkpoint, attempt, options_of(options, more_options).stored)
    if (context := trace_of(traceparent, None)) is not None:
        held = replace(held, trace=AttemptTrace(context, waited_ms=0))
    running = RehearsedAttempt(held, script, settings.max_payload_bytes)
    raised = Raised()
    return _performed(_calls(agent, offered, raised, settings), running, raised)


def _seen(wanted: Handler | Callable[..., Any]) -> tuple[Agent, Handler]:
    """The handler and its agent; for what nobody offers an agent of its own."""
    found = offer_of(wanted)
    if found is not None:
        return found
    if isinstance(wanted, Handler):
        return Agent(UNOFFERED), wanted
    is_async = inspect.iscoroutinefunction(wanted)
    return Agent(UNOFFERED), Handler(UNOFFERED, wanted, "async" if is_async else "thread")


def _calls(agent: Agent, handler: Handler, raised: Raised, settings: Settings) -> HandlerCalls:
    """Where the handler is called, alone, with its agent's hooks for a cancel."""
    alone = Agent(agent.name)
    alone.cancel_hooks = agent.cancel_hooks
    alone.handlers[handler.task_type] = raised.noting_handler(handler)
    processes = ProcessIsolation(target_of(agent), settings) if handler.isolation == "process" else None
    return HandlerCalls(alone, processes, settings.max_payload_bytes)


def _held(
    task_type: str, payload: Any, checkpoint: dict[str, JsonValue] | None, attempt: int, options: str
) -> Attempt:
    return Attempt(
        execution_id=new_id(),
        nonce=new_nonce(),
        number=attempt,
        task_type=task_type,
        project_id="default",
        task_id=None,
        payload=json.dumps(to_jsonable_python(payload)),
        options=options,
        checkpoint=None if checkpoint is None else json.dumps(checkpoint),
        failed_attempts=attempt - 1,
        lost_attempts=0,
        intent="",
        agent_id=UNOFFERED,
    )


def _performed(calls: HandlerCalls, running: RehearsedAttempt, raised: Raised) -> Rehearsal:
    calls.start()
    try:
        outcome = calls.perform(running)
        assert outcome is not None, "only another attempt could take its place, and there is none"
        if outcome.kind is OutcomeKind.CANCELLED:
            calls.clean_up(running)
    finally:
        calls.close()
    how, _ = settlement(running, outcome, "wake")
    question = running.questions[-1] if running.parked and how.move.target.value == "paused" else None
    return Rehearsal(
        status=how.move.target,
        _result=None if outcome.result is None else json.loads(outcome.result),
        error=outcome.failure,
        exception=raised.of(running.execution_id),
        progress=running.told,
        output=running.printed,
        checkpoints=running.checkpoints,
        meters=dict(running.spent),
        questions=running.questions,
        question=question,
        children=running.started,
        retry_after_seconds=how.delay_ms / 1000 if how.move.name == "postpone" else None,
    )
