"""`mindswarm.execution.*`: each handler checks what the caller's key opens and calls one verb."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from mindswarm_exec.api.caller import Caller
from mindswarm_exec.api.jsonrpc import Method
from mindswarm_exec.errors import (
    AlreadyAnswered,
    Forbidden,
    LedgerFull,
    LedgerUnavailable,
    MoveRefused,
    PauseNotObeyed,
    PayloadTooLarge,
    UnknownAgent,
    UnknownExecution,
    UnknownTask,
)
from mindswarm_exec.models import params
from mindswarm_exec.models.explanations import Explanation, SimulateRequest, Simulation
from mindswarm_exec.models.options import StartRequest
from mindswarm_exec.models.params import UNCHANGED
from mindswarm_exec.models.records import (
    BulkOutcome,
    Execution,
    ExecutionHistory,
    ExecutionMetrics,
    ExecutionPage,
    MetricWindow,
    QueueStatus,
)

if TYPE_CHECKING:
    from mindswarm_exec.service import Services

S = TypeVar("S", bound=StartRequest)

_LOOK = (UnknownExecution, LedgerUnavailable)
_MOVE = (*_LOOK, MoveRefused)
_LIST = (Forbidden, LedgerUnavailable)
_SUBMIT = (
    UnknownAgent,
    UnknownTask,
    UnknownExecution,
    MoveRefused,
    PayloadTooLarge,
    Forbidden,
    LedgerUnavailable,
    LedgerFull,
)


class ExecutionMethods:
    def __init__(self, services: Services) -> None:
        self._executions = services.executions
        self._tasks = services.tasks

    def rows(self) -> list[Method[Caller]]:
        name = "mindswarm.execution.{}".format
        # fmt: off
        return [
            Method(name("start"), StartRequest, Execution, self.start,
                   "Accept an execution and give it to an agent if one is free.", _SUBMIT),
            Method(name("pause"), params.Pause, Execution, self.pause,
                   "Pause what waits; ask what runs to stop at its next checkpoint. `intent` is the receipt.", _MOVE),
            Method(name("resume"), params.Resume, Execution, self.resume,
                   "Let a paused execution go on, from its checkpoint or the one given.",
                   (*_MOVE, PauseNotObeyed, PayloadTooLarge)),
            Method(name("provideInput"), params.ProvideInput, Execution, self.provide_input,
                   "Answer the question that an execution waits on; it goes on where it was, if it can.",
                   (*_MOVE, AlreadyAnswered, PayloadTooLarge)),
            Method(name("cancel"), params.Cancel, Execution, self.cancel,
                   "Cancel what does not run; ask what runs to clean up and stop. `intent` is the receipt.", _MOVE),
            Method(name("retry"), params.Retry, Execution, self.retry,
                   "Bring back an execution that failed, timed out or was cancelled.", (*_MOVE, UnknownAgent)),
            Method(name("cancelMany"), params.CancelMany, BulkOutcome, self.cancel_many,
                   "Cancel every execution that has not ended and matches, with its children. Name a filter.", _LIST),
            Method(name("retryMany"), params.RetryMany, BulkOutcome, self.retry_many,
                   "Bring back every execution that failed, timed out or was cancelled, and matches. Name a filter.",
                   (*_LIST, UnknownAgent)),
            Method(name("get"), params.OneExecution, Execution, self.get,
                   "The execution as it is now.", _LOOK),
            Method(name("explain"), params.OneExecution, Explanation, self.explain,
                   "Why an execution waits, as one of a closed list of causes; or why it runs where it does.", _LOOK),
            Method(name("simulate"), SimulateRequest, Simulation, self.simulate,
                   "What `start` would do now, perhaps with one more agent. Nothing is written.", _SUBMIT[:-1]),
            Method(name("list"), params.ExecutionFilter, ExecutionPage, self.list,
                   "Executions that match, newest first.", _LIST),
            Method(name("getMetrics"), params.GetMetrics, ExecutionMetrics | MetricWindow, self.get_metrics,
                   "Measured durations of one execution, or rollups of a window.", (*_LOOK, Forbidden)),
            Method(name("getHistory"), params.GetHistory, ExecutionHistory, self.get_history,
                   "Every move of one execution, or the executions that match.", (*_LOOK, Forbidden)),
            Method(name("getQueueStatus"), params.GetQueueStatus, QueueStatus, self.get_queue_status,
                   "What waits, by state, priority and class; the slots; the agents.", _LIST),
        ]
        # fmt: on

    async def start(self, caller: Caller, request: StartRequest) -> Execution:
        if caller.projects is not None:
            request = await self._within_projects(caller, request)
        execution = await self._executions.start(request, caller.trace)
        caller.must_open(execution.project_id)
        return execution

    async def pause(self, caller: Caller, asked: params.Pause) -> Execution:
        await self._must_open(caller, asked.execution_id)
        return await self._executions.pause(asked.execution_id, asked.reason)

    async def resume(self, caller: Caller, asked: params.Resume) -> Execution:
        await self._must_open(caller, asked.execution_id)
        checkpoint = asked.checkpoint if "checkpoint" in asked.model_fields_set else UNCHANGED
        return await self._executions.resume(asked.execution_id, asked.reason, checkpoint, asked.meters)

    async def provide_input(self, caller: Caller, asked: params.ProvideInput) -> Execution:
        await self._must_open(caller, asked.execution_id)
        return await self._executions.provide_input(asked.execution_id, asked.input, asked.question_id)

    async def cancel(self, caller: Caller, asked: params.Cancel) -> Execution:
        await self._must_open(caller, asked.execution_id)
        return await self._executions.cancel(asked.execution_id, asked.reason, asked.force)

    async def retry(self, caller: Caller, asked: params.Retry) -> Execution:
        await self._must_open(caller, asked.execution_id)
        return await self._executions.retry(asked.execution_id, asked.options, asked.start_from)

    async def cancel_many(self, caller: Caller, asked: params.CancelMany) -> BulkOutcome:
        criteria = _of_many(caller, asked, "mindswarm.execution.cancelMany")
        how: dict[str, Any] = {"reason": asked.reason, "force": asked.force, "dry_run": asked.dry_run}
        return await self._executions.cancel_many(**how, **criteria)

    async def retry_many(self, caller: Caller, asked: params.RetryMany) -> BulkOutcome:
        criteria = _of_many(caller, asked, "mindswarm.execution.retryMany")
        how: dict[str, Any] = {"options": asked.options, "start_from": asked.start_from, "dry_run": asked.dry_run}
        return await self._executions.retry_many(**how, **criteria)

    async def get(self, caller: Caller, asked: params.OneExecution) -> Execution:
        execution = await self._executions.get(asked.execution_id)
        caller.must_see(execution.project_id, UnknownExecution.of(asked.execution_id))
        return execution

    async def explain(self, caller: Caller, asked: params.OneExecution) -> Explanation:
        await self._must_open(caller, asked.execution_id)
        return await self._executions.explain(asked.execution_id, caller.opens)

    async def simulate(self, caller: Caller, request: SimulateRequest) -> Simulation:
        if caller.projects is not None:
            request = await self._within_projects(caller, request)
        return await self._executions.simulate(request, caller.opens)

    async def list(self, caller: Caller, asked: params.ExecutionFilter) -> ExecutionPage:
        within = _within_project(caller, asked, "mindswarm.execution.list")
        return await self._executions.list(limit=asked.limit, cursor=asked.cursor, **within)

    async def get_metrics(self, caller: Caller, asked: params.GetMetrics) -> ExecutionMetrics | MetricWindow:
        if asked.execution_id is not None:
            await self._must_open(caller, asked.execution_id)
            return await self._executions.get_metrics(asked.execution_id)
        caller.must_be_admin("a window of metrics")
        assert asked.window is not None
        return await self._executions.get_window_metrics(asked.window, asked.group_by)

    async def get_history(self, caller: Caller, asked: params.GetHistory) -> ExecutionHistory:
        if asked.execution_id is not None:
            await self._must_open(caller, asked.execution_id)
            return await self._executions.get_history(asked.execution_id)
        within = _within_project(caller, asked, "mindswarm.execution.getHistory")
        return await self._executions.list_history(limit=asked.limit, cursor=asked.cursor, **within)

    async def get_queue_status(self, caller: Caller, asked: params.GetQueueStatus) -> QueueStatus:
        project_id = caller.project_for(asked.project_id, "mindswarm.execution.getQueueStatus")
        return await self._executions.get_queue_status(project_id)

    async def _must_open(self, caller: Caller, execution_id: str) -> None:
        """The project of an execution never changes, so what is found here still holds when the verb runs."""
        if not caller.is_admin:
            await self.get(caller, params.OneExecution(execution_id=execution_id))

    async def _within_projects(self, caller: Caller, request: S) -> S:
        """The request, in the caller's only project if it names none; task and parent must lie in open ones too."""
        if request.task_id is not None:
            task = await self._tasks.get(request.task_id)
            caller.must_see(task.project_id, UnknownTask.of(request.task_id))
        if request.parent_id is not None:
            await self._must_open(caller, request.parent_id)
        named = request.project_id if "project_id" in request.model_fields_set else None
        project_id = caller.project_for(named, "mindswarm.execution.start")
        return request if named else request.model_copy(update={"project_id": project_id})


def _within_project(caller: Caller, asked: params.Criteria, what: str) -> dict[str, Any]:
    """The filters given, bounded to the caller's project."""
    return {**asked.criteria, "project_id": caller.project_for(asked.project_id, what)}


def _of_many(caller: Caller, asked: params.Many, what: str) -> dict[str, Any]:
    """The same for a bulk verb: the bound alone is no filter that anybody named."""
    criteria = _within_project(caller, asked, what)
    return criteria if asked.criteria else {}
