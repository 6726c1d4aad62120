"""ExecutionService: the verbs of the product. Knows no HTTP and no Celery."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, Unpack, overload

from mindswarm_exec.errors import UnknownTask
from mindswarm_exec.identifiers import new_id
from mindswarm_exec.ledger import operations, reads
from mindswarm_exec.ledger.faces import AsyncLedger
from mindswarm_exec.ledger.looks import Look
from mindswarm_exec.ledger.replies import (
    Accepted,
    AgentUnknown,
    Existing,
    ParentOver,
    ParentUnknown,
    TaskUnknown,
)
from mindswarm_exec.lifecycle import CANCEL, RETRY, TERMINAL, Status
from mindswarm_exec.models.explanations import Explanation, SimulateRequest, Simulation
from mindswarm_exec.models.options import ExecutionOptions, StartRequest
from mindswarm_exec.models.params import RetryFrom
from mindswarm_exec.models.records import (
    BulkOutcome,
    Execution,
    ExecutionHistory,
    ExecutionMetrics,
    ExecutionPage,
    MetricWindow,
    QueueStatus,
)
from mindswarm_exec.models.trace_context import TraceContext
from mindswarm_exec.service import listing, metrics
from mindswarm_exec.service.actors import control_action
from mindswarm_exec.service.archived import OlderRecords
from mindswarm_exec.service.bulk import Bulk, chosen
from mindswarm_exec.service.control import ExecutionControl, Publisher
from mindswarm_exec.service.explaining import Opens, every_project, explanation
from mindswarm_exec.service.filters import Criteria, Filter
from mindswarm_exec.service.queue import queue_status
from mindswarm_exec.service.records import history_entries
from mindswarm_exec.service.refusals import parent_refused
from mindswarm_exec.service.rollups import Rollups
from mindswarm_exec.service.simulating import Thought
from mindswarm_exec.service.simulator import Simulator
from mindswarm_exec.service.submission import start_operation, stored_json
from mindswarm_exec.service.waited import waited_by_cause
from mindswarm_exec.service.work import Work, work_of
from mindswarm_exec.settings import Settings
from mindswarm_exec.tracing import note_existing, submitting

__all__ = ["ExecutionService", "Publisher"]


class Background(Protocol):
    """The work of an embedded engine between calls."""

    async def start(self) -> None: ...
    async def stop(self) -> None: ...


class ExecutionService(ExecutionControl):
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
        older: OlderRecords | None = None,
    ) -> None:
        super().__init__(ledger, settings, publisher, older)
        self._background = background
        self._rollups = Rollups(ledger)

    # --- submit ------------------------------------------------------------------------------

    @overload
    async def start(self) -> None: ...

    @overload
    async def start(self, request: StartRequest, came_with: TraceContext | None = None) -> Execution: ...

    async def start(
        self, request: StartRequest | None = None, came_with: TraceContext | None = None
    ) -> Execution | None:
        """Accept an execution, and give it to an agent if one is free.

        One that no registered agent could ever serve is accepted, and says so in `waiting_for`; why one waits
        for agents that are merely busy is told by `get`. `came_with` is the trace that the headers of the request
        name, which counts where the request itself names none and there is no current span.

        Without a request: begin the background work of an embedded engine (sweeps, where no beat runs), until
        `stop`. Beside a running beat it only looks on.

        Raises:
            UnknownAgent: `options.agent.agent_id` has never registered.
            UnknownTask: `task_id` has never been created.
            UnknownExecution: `parent_id` is none.
            MoveRefused: the parent has ended or is to be cancelled.
            InvalidRequest: the task names no task type and the request neither.
            PayloadTooLarge: the payload is over the limit.
        """
        if request is None:
            if self._background is not None:
                await self._background.start()
            return None
        return await self._submit(request, came_with)

    async def stop(self) -> None:
        """End the background work that `start()` began."""
        if self._background is not None:
            await self._background.stop()

    @control_action("start")
    async def _submit(self, request: StartRequest, came_with: TraceContext | None) -> Execution:
        work = await work_of(self._ledger, request)
        execution_id = new_id()
        with submitting(work.task_type, execution_id, given=request.trace, otherwise=came_with) as trace:
            return await self._stored(execution_id, work, request, trace)

    async def _stored(
        self, execution_id: str, work: Work, request: StartRequest, trace: TraceContext | None
    ) -> Execution:
        submission = start_operation(
            execution_id,
            work.task_type,
            stored_json(work.payload, "the payload", self._settings.max_payload_bytes),
            work.options,
            project_id=work.project_id,
            task_id=request.task_id,
            parent_id=request.parent_id,
            idempotency_key=request.idempotency_key,
            trace=trace,
        )
        # the record comes back with the answer: one round trip for both
        reply, record = await self._ledger.run_both(submission, reads.execution(execution_id))
        match reply:
            case Accepted(wakes=wakes, suitable_agents=suitable):
                await self._publish(wakes)
                assert record is not None, "what was just accepted is there"
                return await self._told(execution_id, record, explained=suitable == 0)
            case Existing(execution_id=earlier):
                execution = await self.get(earlier)
                note_existing(earlier, execution.trace)
                return execution
            case AgentUnknown():
                raise await self._unknown_agent(work.options)
            case TaskUnknown():
                raise UnknownTask.of(request.task_id or "")
            case ParentUnknown() | ParentOver():
                raise parent_refused(request.parent_id, reply)

    # --- control of many ---------------------------------------------------------------------------------

    @control_action("cancel_many")
    async def cancel_many(
        self, *, reason: str = "", force: bool = False, dry_run: bool = False, **criteria: Unpack[Criteria]
    ) -> BulkOutcome:
        """Cancel every execution that has not ended and meets the criteria, and its children; as `cancel` for each.

        Raises:
            InvalidRequest: no criterion is given, or a status of what has ended.
        """
        bulk = Bulk(self._ledger, self._publish)
        return await bulk.cancel(chosen(CANCEL, criteria), reason, force=force, dry_run=dry_run)

    @control_action("retry_many")
    async def retry_many(
        self,
        *,
        options: ExecutionOptions | None = None,
        start_from: RetryFrom = "checkpoint",
        dry_run: bool = False,
        **criteria: Unpack[Criteria],
    ) -> BulkOutcome:
        """Bring back every execution that failed, was cancelled or timed out and meets the criteria; as `retry`.

        Those that have been archived are among them, as they are in `list`.

        Raises:
            InvalidRequest: no criterion is given, or another status.
            UnknownAgent: `options.agent.agent_id` has never registered.
        """
        wanted = chosen(RETRY, criteria)
        if options and options.agent.agent_id and options.agent.agent_id not in await self._agent_ids():
            raise await self._unknown_agent(options)
        bulk = Bulk(self._ledger, self._publish, self._older)
        return await bulk.retry(wanted, options, start_from, dry_run=dry_run)

    # --- look --------------------------------------------------------------------------------------------

    async def list(
        self, *, limit: int = 50, cursor: str | None = None, **criteria: Unpack[Criteria]
    ) -> ExecutionPage:
        """Executions that match, newest first by the instant they took their present status."""
        wanted = Filter.of(criteria, tuple(Status))
        page = await listing.page(self._ledger, wanted, limit, cursor, self._older)
        return ExecutionPage(executions=page.executions, next_cursor=page.next_cursor, missing=page.missing)

    async def explain(self, execution_id: str, opens: Opens = every_project) -> Explanation:
        """Why it waits, told as one of a closed list of causes; or why it runs where it does. True at `as_of`.

        Executions of projects that `opens` denies are not named.
        """
        look = await self._ledger.run(operations.look(self._checked(execution_id)))
        look = look or await self._look_at_archived(execution_id)
        return explanation(look, self._settings, waited_by_cause(look.fields, look.now_ms), opens)

    async def simulate(self, request: SimulateRequest, opens: Opens = every_project) -> Simulation:
        """What `start` would do now, perhaps with one more agent. Nothing is written.

        Executions of projects that `opens` denies are not named.

        Raises:
            InvalidRequest: also if an agent of the name of `with_agent` is registered.
            UnknownAgent, UnknownTask, UnknownExecution, MoveRefused, PayloadTooLarge: as `start`.
        """
        work = await work_of(self._ledger, request)
        stored_json(work.payload, "the payload", self._settings.max_payload_bytes)
        thought = Thought.of(work.task_type, work.options, work.project_id, request.task_id, request.with_agent)
        return await Simulator(self._ledger, self._settings).simulation(thought, request, opens)

    async def get_metrics(self, execution_id: str) -> ExecutionMetrics:
        """Measured durations and counts of one execution."""
        fields = await self._record(execution_id)
        now_ms = await self._ledger.run(reads.server_time_ms())
        return metrics.of_execution(execution_id, fields, now_ms)

    async def get_window_metrics(self, window: str, group_by: str) -> MetricWindow:
        """Counts, rates and percentiles of what ended within `window` (`5m`, `1h`, `24h`, `7d`, `30d`), grouped."""
        return await self._rollups.window(window, group_by)

    async def get_history(self, execution_id: str) -> ExecutionHistory:
        """Every move of one execution, and the wishes recorded on it, oldest first."""
        return ExecutionHistory(execution_id=execution_id, entries=history_entries(await self._record(execution_id)))

    async def list_history(
        self, *, limit: int = 50, cursor: str | None = None, **criteria: Unpack[Criteria]
    ) -> ExecutionHistory:
        """Executions that have ended (or are in `status`), newest first."""
        wanted = Filter.of(criteria, sorted(TERMINAL))
        page = await listing.page(self._ledger, wanted, limit, cursor, self._older)
        return ExecutionHistory(executions=page.executions, next_cursor=page.next_cursor, missing=page.missing)

    async def get_queue_status(self, project_id: str | None = None) -> QueueStatus:
        """What waits, by state, priority and class; the slots; the agents."""
        return await queue_status(self._ledger, project_id)

    # --- steps -------------------------------------------------------------------------------------------

    async def _look_at_archived(self, execution_id: str) -> Look:
        """What the ledger shows around an execution that the archive has. Raises UnknownExecution if it has none."""
        record = await self._record(execution_id)
        look = await self._ledger.run(operations.look_for(record["class_id"], "", record["project_id"]))
        assert look is not None, "what is only thought of is never absent"
        return replace(look, execution_id=execution_id, fields=record)

    async def _agent_ids(self) -> Sequence[str]:
        return await self._ledger.run(reads.agent_ids())
