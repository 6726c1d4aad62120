"""DirectClient: the face of `ExecutionClient`, straight on the ledger, for trusted services beside it.

It skips HTTP, not the rules: the same scripts decide, the same errors are raised. Submitting costs one round
trip, in bulk far less; a result is waited for on a channel of its own.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import JsonValue

from mindswarm_exec.direct.outcomes import Outcomes
from mindswarm_exec.direct.requests import Options, asked, check_names, options_of, said, trace_of
from mindswarm_exec.direct.verbs import ServiceThread, ServiceVerbs
from mindswarm_exec.errors import ExecutionNotCompleted, ResultNotReady, UnknownAgent
from mindswarm_exec.identifiers import new_id
from mindswarm_exec.ledger.answers import Started
from mindswarm_exec.ledger.faces import SyncLedger, connect_sync
from mindswarm_exec.ledger.operations import Operation
from mindswarm_exec.ledger.replies import (
    Accepted,
    AgentUnknown,
    Existing,
    ParentOver,
    ParentUnknown,
    TaskUnknown,
    Wake,
)
from mindswarm_exec.lifecycle import COMPLETED, Status
from mindswarm_exec.models.explanations import Explanation
from mindswarm_exec.models.options import DEFAULT_PROJECT, ExecutionOptions, StartRequest
from mindswarm_exec.models.params import UNCHANGED, RetryFrom
from mindswarm_exec.models.records import Event, Execution
from mindswarm_exec.models.trace_context import TraceContext
from mindswarm_exec.service.actors import Actor, acting_as
from mindswarm_exec.service.control import Publisher
from mindswarm_exec.service.refusals import parent_refused
from mindswarm_exec.service.submission import start_operation, stored_json
from mindswarm_exec.settings import Settings
from mindswarm_exec.tracing import note_existing, submitting


class DirectHandle:
    """One execution that this client started or was given the id of."""

    def __init__(self, client: DirectClient, execution_id: str) -> None:
        self._client = client
        self.execution_id = execution_id

    def status(self) -> Status:
        return self._client.get(self.execution_id).status

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the result, at most `timeout` seconds.

        Raises:
            ExecutionNotCompleted: it ended without a result; `facts` name status and error.
            ResultNotReady: it has not ended yet.
            UnknownExecution: there is no such execution.
        """
        return self._client._await_result(self.execution_id, timeout)

    def events(self) -> Iterator[Event]:
        """Its events from the first that the stream keeps, each once, until it has ended."""
        return self._client.execution_events(self.execution_id)

    def pause(self, reason: str = "") -> Execution:
        return self._client.pause(self.execution_id, reason)

    def resume(
        self, reason: str = "", checkpoint: Any = UNCHANGED, meters: Mapping[str, float] | None = None
    ) -> Execution:
        return self._client.resume(self.execution_id, reason, checkpoint, meters)

    def provide_input(self, input: Any, question_id: str | None = None) -> Execution:
        return self._client.provide_input(self.execution_id, input, question_id)

    def cancel(self, reason: str = "", force: bool = False) -> Execution:
        return self._client.cancel(self.execution_id, reason, force)

    def retry(self, options: Options | None = None, start_from: RetryFrom | None = None) -> Execution:
        return self._client.retry(self.execution_id, options, start_from)

    def explain(self) -> Explanation:
        """Why it waits, or why it runs where it does."""
        return self._client.explain(self.execution_id)


class DirectClient(ServiceVerbs):
    """Submit, wait and control. Safe to share between threads; close it when done.

    Args:
        url: the ledger's Redis URL.
        settings: as the engine's own; default from the environment.
        publisher: wakes agents where the broker is another server than the ledger (`CeleryPublisher`).
        test_clock: go by a clock that tests put forward, as everything else on that ledger has to.
    """

    def __init__(
        self,
        url: str,
        settings: Settings | None = None,
        publisher: Publisher | None = None,
        *,
        test_clock: bool = False,
    ) -> None:
        self._settings = settings or Settings.from_environment()
        self._ledger = SyncLedger(connect_sync(url, self._settings), self._settings, test_clock=test_clock)
        self._publisher = publisher
        super().__init__(ServiceThread(url, self._settings, publisher, test_clock=test_clock))
        self._outcomes = Outcomes(self._ledger)

    def __enter__(self) -> DirectClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of all connections."""
        self._outcomes.close()
        self._ledger.close()
        self._thread.close()

    # --- submit ------------------------------------------------------------------------------------------

    def start(
        self,
        task_type: str | None = None,
        payload: JsonValue = None,
        *,
        project_id: str | None = None,
        task_id: str | None = None,
        parent_id: str | None = None,
        idempotency_key: str | None = None,
        traceparent: str | None = None,
        tracestate: str | None = None,
        options: Options | None = None,
        **more_options: Any,
    ) -> DirectHandle:
        """Submit one execution. Options go in `options` or as keyword arguments (`priority="high"`).

        It goes on from the span that `traceparent` names, or from the current span of the program. With `task_id`,
        what is not said is as the task says.

        Raises:
            InvalidRequest, PayloadTooLarge: nothing was stored.
            UnknownAgent, UnknownTask, UnknownExecution: a name in the request is not known.
            MoveRefused: the parent has ended or is to be cancelled.
            LedgerUnavailable: no answer; repeat it with the same `idempotency_key` to be safe.
        """
        parsed = options_of(options, more_options)
        named = {"parent_id": parent_id, "idempotency_key": idempotency_key}
        trace = trace_of(traceparent, tracestate)
        if task_id is not None or task_type is None:
            work = said(task_type=task_type, payload=payload, project_id=project_id, task_id=task_id, **named)
            return self._start_by_service(work, parsed, trace)
        project = project_id or DEFAULT_PROJECT
        check_names(task_type, project, **named)
        execution_id = new_id()
        with submitting(task_type, execution_id, given=trace) as within:
            operation = self._submission(execution_id, task_type, payload, parsed, project, within, **named)
            return self._handle(self._ledger.run(operation), execution_id, parsed, parent_id)

    def start_many(
        self,
        task_type: str,
        payloads: Iterable[JsonValue],
        *,
        project_id: str | None = None,
        traceparent: str | None = None,
        tracestate: str | None = None,
        **options: Any,
    ) -> list[DirectHandle]:
        """Submit one execution for each payload in one round trip; each is atomic by itself."""
        parsed = options_of(None, options)
        project = project_id or DEFAULT_PROJECT
        check_names(task_type, project)
        work = [(new_id(), payload) for payload in payloads]
        with submitting(task_type, count=len(work), given=trace_of(traceparent, tracestate)) as trace:
            replies = self._ledger.run_many(
                [self._submission(each, task_type, payload, parsed, project, trace) for each, payload in work]
            )
            return [self._handle(reply, each, parsed) for reply, (each, _) in zip(replies, work, strict=True)]

    def handle(self, execution_id: str) -> DirectHandle:
        """A handle on an execution that was started elsewhere."""
        return DirectHandle(self, execution_id)

    # --- steps -------------------------------------------------------------------------------------------

    def _start_by_service(
        self, work: dict[str, Any], options: ExecutionOptions, trace: TraceContext | None
    ) -> DirectHandle:
        """Submit what has to be looked up first."""
        span = trace.headers if trace is not None else {}
        request = asked(StartRequest, {**work, **span, "options": options}, "start")
        accepted = self._thread.call(lambda on: on.executions.start(request))
        return DirectHandle(self, accepted.execution_id)

    def _submission(
        self,
        execution_id: str,
        task_type: str,
        payload: JsonValue,
        options: ExecutionOptions,
        project_id: str,
        trace: TraceContext | None,
        **named: str | None,
    ) -> Operation[Started]:
        stored = stored_json(payload, "the payload", self._settings.max_payload_bytes)
        with acting_as(Actor()):
            return start_operation(
                execution_id, task_type, stored, options, project_id=project_id, trace=trace, **named
            )

    def _handle(
        self,
        reply: Started,
        execution_id: str,
        options: ExecutionOptions,
        parent_id: str | None = None,
    ) -> DirectHandle:
        match reply:
            case Accepted(wakes=wakes):
                self._publish(wakes)
                return DirectHandle(self, execution_id)
            case Existing(execution_id=earlier):
                note_existing(earlier)
                return DirectHandle(self, earlier)
            case AgentUnknown():
                raise UnknownAgent.of(options.agent.agent_id or "")
            case TaskUnknown():
                raise AssertionError("the work of a task is started by the service")
            case ParentUnknown() | ParentOver():
                raise parent_refused(parent_id, reply)

    def _publish(self, wakes: Sequence[Wake]) -> None:
        publisher = self._publisher
        if wakes and publisher is not None:
            self._thread.call(lambda _: publisher.publish(wakes))

    def _await_result(self, execution_id: str, timeout: float | None) -> Any:
        deadline = None if timeout is None else time.monotonic() + timeout
        for fields in self._outcomes.of(execution_id, deadline):
            if fields.get("status") is None:
                fields = self._archived_outcome(execution_id)
            status = Status(fields["status"])
            if status is COMPLETED:
                return json.loads(fields["result"])
            if status.is_terminal:
                raise _not_completed(execution_id, status, fields)
        raise ResultNotReady(
            f"execution {execution_id} has not ended within {timeout:g} s; it goes on. Wait again.",
            execution_id=execution_id,
        )

    def _archived_outcome(self, execution_id: str) -> Mapping[str, str]:
        """The outcome of what has left the ledger. Raises UnknownExecution if it was never there."""
        told = self.get(execution_id)
        error = "{}" if told.error is None else told.error.model_dump_json(exclude_defaults=True)
        return {"status": told.status.value, "result": json.dumps(told.result), "error": error}


def _not_completed(execution_id: str, status: Status, fields: Mapping[str, str]) -> ExecutionNotCompleted:
    error = json.loads(fields.get("error") or "{}")
    told = (error.get("type"), error.get("message") or error.get("kind") or "no reason is recorded")
    return ExecutionNotCompleted(
        f"execution {execution_id} ended as {status.value}: {': '.join(filter(None, told))}",
        execution_id=execution_id,
        status=status.value,
        error=error,
    )
