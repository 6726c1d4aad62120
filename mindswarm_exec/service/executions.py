"""ExecutionService: the verbs of the product. Knows no HTTP and no Celery."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from typing import Final, Literal, Protocol, overload

from pydantic import JsonValue

from mindswarm_exec.errors import InvalidRequest, UnknownAgent, UnknownExecution, UnknownTask
from mindswarm_exec.identifiers import is_id, new_id, new_nonce
from mindswarm_exec.ledger import operations, reads
from mindswarm_exec.ledger.answers import Controlled
from mindswarm_exec.ledger.faces import AsyncLedger
from mindswarm_exec.ledger.operations import Operation
from mindswarm_exec.ledger.reads import Record
from mindswarm_exec.ledger.replies import Absent, Accepted, AgentUnknown, Done, Existing, Refused, TaskUnknown, Wake
from mindswarm_exec.lifecycle import CANCEL, PAUSE, PENDING, RESUME, RETRY, TERMINAL, Move, Status
from mindswarm_exec.models.options import ExecutionOptions, StartRequest
from mindswarm_exec.models.records import (
    Execution,
    ExecutionHistory,
    ExecutionMetrics,
    ExecutionPage,
    Failure,
    MetricWindow,
    QueueStatus,
)
from mindswarm_exec.service import listing, metrics
from mindswarm_exec.service.names import nearest
from mindswarm_exec.service.queue import queue_status
from mindswarm_exec.service.records import execution_record, history_entries
from mindswarm_exec.service.refusals import refusal
from mindswarm_exec.service.submission import option_fields, pinned_class, start_operation, stored_json
from mindswarm_exec.service.waiting import waiting_for
from mindswarm_exec.settings import Settings


class Unchanged(Enum):
    """The type of UNCHANGED: "leave it as it is", where None is a value of its own."""

    UNCHANGED = "unchanged"


UNCHANGED: Final = Unchanged.UNCHANGED


class Publisher(Protocol):
    """Hands wake messages to Celery where the ledger could not do it itself (another broker)."""

    async def publish(self, wakes: Sequence[Wake]) -> None: ...


class Background(Protocol):
    """The work of an embedded engine between calls."""

    async def start(self) -> None: ...
    async def stop(self) -> None: ...


class ExecutionService:
    """Submit, control and look at executions.

    Every verb that changes something is written to the ledger before it answers. Where an answer is lost
    (LedgerUnavailable), a submission may be repeated with its idempotency key.
    """

    def __init__(
        self,
        ledger: AsyncLedger,
        settings: Settings,
        publisher: Publisher | None = None,
        background: Background | None = None,
    ) -> None:
        self._ledger = ledger
        self._settings = settings
        self._publisher = publisher
        self._background = background

    # --- submit and control ------------------------------------------------------------------------------

    @overload
    async def start(self) -> None: ...

    @overload
    async def start(self, request: StartRequest) -> Execution: ...

    async def start(self, request: StartRequest | None = None) -> Execution | None:
        """Accept an execution, and give it to an agent if one is free.

        One that no registered agent could ever serve is accepted, and says so in `waiting_for`; why one waits
        for agents that are merely busy is told by `get`.

        Without a request: begin the background work of an embedded engine (sweeps, where no beat runs), until
        `stop`. Beside a running beat it only looks on.

        Raises:
            UnknownAgent: `options.agent.agent_id` has never registered.
            UnknownTask: `task_id` has never been created.
            InvalidRequest: the task names no task type and the request neither.
            PayloadTooLarge: the payload is over the limit.
        """
        if request is None:
            if self._background is not None:
                await self._background.start()
            return None
        return await self._submit(request)

    async def stop(self) -> None:
        """End the background work that `start()` began."""
        if self._background is not None:
            await self._background.stop()

    async def _submit(self, request: StartRequest) -> Execution:
        task_type, payload, options, project_id = await self._work_of(request)
        execution_id = new_id()
        reply = await self._ledger.run(
            start_operation(
                execution_id,
                task_type,
                stored_json(payload, "the payload", self._settings.max_payload_bytes),
                options,
                project_id=project_id,
                task_id=request.task_id,
                idempotency_key=request.idempotency_key,
            )
        )
        match reply:
            case Accepted(wakes=wakes, suitable_agents=suitable):
                await self._publish(wakes)
                return await self._answered(execution_id, explained=suitable == 0)
            case Existing(execution_id=earlier):
                return await self.get(earlier)
            case AgentUnknown():
                raise await self._unknown_agent(options)
            case TaskUnknown():
                raise UnknownTask.of(request.task_id or "")

    async def pause(self, execution_id: str, reason: str = "") -> Execution:
        """Pause what waits; ask a running handler to stop at its next checkpoint. The receipt tells which."""
        operation = operations.pause(self._checked(execution_id), new_nonce(), reason, _data(reason=reason))
        return await self._control(PAUSE, execution_id, operation)

    async def resume(
        self,
        execution_id: str,
        reason: str = "",
        checkpoint: JsonValue | Literal[Unchanged.UNCHANGED] = UNCHANGED,
    ) -> Execution:
        """Let a paused execution go on, from its checkpoint or from `checkpoint` in its place."""
        fields: dict[str, str | int | float] = {}
        if checkpoint is not UNCHANGED:
            fields["checkpoint"] = stored_json(checkpoint, "the checkpoint", self._settings.max_payload_bytes)
        data = _data(reason=reason, checkpoint_edited=bool(fields) or None)
        operation = operations.resume(self._checked(execution_id), new_nonce(), data, fields)
        return await self._control(RESUME, execution_id, operation)

    async def cancel(self, execution_id: str, reason: str = "", force: bool = False) -> Execution:
        """Cancel what does not run; ask what runs to clean up and stop. `force` fences it at once."""
        error = Failure(kind="cancelled_by", message=reason or "cancelled on request")
        operation = operations.cancel(
            self._checked(execution_id),
            new_nonce(),
            reason,
            force=force,
            error=error.model_dump_json(exclude_defaults=True),
            data=_data(reason=reason, force=force or None),
        )
        return await self._control(CANCEL, execution_id, operation)

    async def retry(self, execution_id: str, options: ExecutionOptions | None = None) -> Execution:
        """Bring back an execution that failed, timed out or was cancelled; `options` replace those it had."""
        fields: dict[str, str | int | float] = {}
        pinned = ("", "", "")
        if options is not None:
            record = await self._record(execution_id)
            fields = _replaced(record, options)
            pinned = pinned_class(record["task_type"], options)
        operation = operations.retry(
            self._checked(execution_id),
            new_nonce(),
            _data(options_changed=options is not None or None),
            fields,
            pinned=pinned,
        )
        reply = await self._ledger.run(operation)
        if isinstance(reply, AgentUnknown):
            assert options is not None
            raise await self._unknown_agent(options)
        return await self._controlled(RETRY, execution_id, reply)

    # --- look --------------------------------------------------------------------------------------------

    async def get(self, execution_id: str) -> Execution:
        """The execution as it is now; for a pending one with the reason why it waits."""
        return await self._answered(execution_id, explained=True)

    async def list(
        self,
        status: Status | Sequence[Status] | None = None,
        agent_id: str | None = None,
        task_type: str | None = None,
        task_id: str | None = None,
        project_id: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> ExecutionPage:
        """Executions that match, newest first by the instant they took their present status."""
        statuses = (status,) if isinstance(status, Status) else tuple(status or Status)
        wanted = listing.Filter(statuses, agent_id, task_type, task_id, project_id, since, until)
        return await listing.page(self._ledger, wanted, limit, cursor)

    async def get_metrics(self, execution_id: str) -> ExecutionMetrics:
        """Measured durations and counts of one execution."""
        fields = await self._record(execution_id)
        now_ms = await self._ledger.run(reads.server_time_ms())
        return metrics.of_execution(execution_id, fields, now_ms)

    async def get_window_metrics(self, window: str, group_by: str) -> MetricWindow:
        """Counts and means of what ended within `window` (`5m`, `1h`, `24h`), by agent, task type, …"""
        return await metrics.of_window(self._ledger, window, group_by)

    async def get_history(self, execution_id: str) -> ExecutionHistory:
        """Every move of one execution, and the wishes recorded on it, oldest first."""
        return ExecutionHistory(execution_id=execution_id, entries=history_entries(await self._record(execution_id)))

    async def list_history(
        self,
        status: Status | Sequence[Status] | None = None,
        agent_id: str | None = None,
        task_type: str | None = None,
        task_id: str | None = None,
        project_id: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> ExecutionHistory:
        """Executions that have ended (or are in `status`), newest first."""
        statuses = (status,) if isinstance(status, Status) else tuple(status or sorted(TERMINAL))
        wanted = listing.Filter(statuses, agent_id, task_type, task_id, project_id, since, until)
        page = await listing.page(self._ledger, wanted, limit, cursor)
        return ExecutionHistory(executions=page.executions, next_cursor=page.next_cursor)

    async def get_queue_status(self, project_id: str | None = None) -> QueueStatus:
        """What waits, by state, priority and class; the slots; the agents."""
        return await queue_status(self._ledger, project_id)

    # --- steps -------------------------------------------------------------------------------------------

    async def _work_of(self, request: StartRequest) -> tuple[str, JsonValue, ExecutionOptions, str]:
        """Task type, payload, options and project; what the request leaves open comes from its task."""
        if request.task_id is None:
            assert request.task_type is not None
            return request.task_type, request.payload, request.options, request.project_id
        task = await self._ledger.run(reads.task(request.task_id))
        if task is None:
            raise UnknownTask.of(request.task_id)
        task_type = request.task_type or task.get("task_type")
        if not task_type:
            raise InvalidRequest(
                f"task {request.task_id} names no task type. Set one with mindswarm.task.update, or pass task_type.",
                task_id=request.task_id,
            )
        given = "payload" in request.model_fields_set
        payload = request.payload if given else json.loads(task.get("payload") or "null")
        project_id = request.project_id if "project_id" in request.model_fields_set else task["project_id"]
        options = await self._assigned(request.options, task.get("assignee"))
        return task_type, payload, options, project_id

    async def _assigned(self, options: ExecutionOptions, assignee: str | None) -> ExecutionOptions:
        """The options with the task's assignee, if that is an agent, as the pre-assigned one."""
        if not assignee or options.agent.agent_id or assignee not in await self._ledger.run(reads.agent_ids()):
            return options
        agent = options.agent.model_copy(update={"agent_id": assignee})
        return options.model_copy(update={"agent": agent})

    async def _control(self, move: Move, execution_id: str, operation: Operation[Controlled]) -> Execution:
        return await self._controlled(move, execution_id, await self._ledger.run(operation))

    async def _controlled(self, move: Move, execution_id: str, reply: Controlled) -> Execution:
        match reply:
            case Done(wakes=wakes):
                await self._publish(wakes)
                return await self.get(execution_id)
            case Absent():
                raise UnknownExecution.of(execution_id)
            case Refused(status=found):
                raise refusal(move, execution_id, found)

    async def _answered(self, execution_id: str, *, explained: bool) -> Execution:
        """The record; with the reason why it waits where that is asked for, or costs no look at the agents."""
        fields = await self._record(execution_id)
        explained = explained or fields.get("place") in ("delay", "concurrency")
        waits = await waiting_for(self._ledger, fields) if explained and fields["status"] == PENDING else None
        return execution_record(execution_id, fields, waits)

    async def _record(self, execution_id: str) -> Record:
        fields = await self._ledger.run(reads.execution(self._checked(execution_id)))
        if fields is None:
            raise UnknownExecution.of(execution_id)
        return fields

    def _checked(self, execution_id: str) -> str:
        """The id, if it looks like one: what is no id reaches no key of the ledger."""
        if not is_id(execution_id):
            raise UnknownExecution.of(execution_id[:64] if execution_id.isprintable() else "(unprintable)")
        return execution_id

    async def _unknown_agent(self, options: ExecutionOptions) -> UnknownAgent:
        wanted = options.agent.agent_id or ""
        return UnknownAgent.of(wanted, nearest(wanted, await self._ledger.run(reads.agent_ids())))

    async def _publish(self, wakes: Sequence[Wake]) -> None:
        if wakes and self._publisher is not None:
            await self._publisher.publish(wakes)


def _data(**facts: JsonValue) -> str:
    """The data of an event: the facts that say something."""
    return json.dumps({name: value for name, value in facts.items() if value not in (None, "")})


def _replaced(record: Record, options: ExecutionOptions) -> dict[str, str | int | float]:
    """The fields that replace those of the old options; an empty value removes one."""
    task_type, task_id = record["task_type"], record.get("task_id")
    old = ExecutionOptions.model_validate_json(record.get("options") or "{}")
    fields: dict[str, str | int | float] = dict.fromkeys([*option_fields(task_type, old, task_id), "demand"], "")
    fields |= option_fields(task_type, options, task_id)
    if options.start_at is not None:
        fields["eligible_at_ms"] = round(options.start_at.timestamp() * 1000)
    return fields
