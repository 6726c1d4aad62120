"""The calls of the API, each written once: what is sent and what is read back. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mindswarm_exec.client.wire import START, Call, any_call, as_record
from mindswarm_exec.models.events import EventPage, TaskPage
from mindswarm_exec.models.explanations import AgentSketch, Explanation, Simulation
from mindswarm_exec.models.options import ExecutionOptions
from mindswarm_exec.models.params import UNCHANGED, RetryFrom
from mindswarm_exec.models.records import (
    AgentRecord,
    BulkOutcome,
    Execution,
    ExecutionHistory,
    ExecutionMetrics,
    ExecutionPage,
    MetricWindow,
    QueueStatus,
    Task,
)

Options = ExecutionOptions | Mapping[str, Any]
Sketch = AgentSketch | Mapping[str, Any]


#: Submissions in one request.
BATCH = 50

_execution = as_record(Execution)
_outcome = as_record(BulkOutcome)
_agent = as_record(AgentRecord)
_task = as_record(Task)
_agents = as_record(list[AgentRecord])


def start(
    task_type: str | None,
    payload: Any,
    task_id: str | None,
    options: Options | None,
    more_options: Mapping[str, Any],
    **params: Any,
) -> Call[Execution]:
    """Submit. Options given by keyword go over those in `options`."""
    merged = {**_plain(options), **more_options}
    # a payload of None is left to the task, if there is one; elsewhere None is what is missing anyway
    params = given(task_type=task_type, payload=payload, task_id=task_id, options=merged or None, **params)
    return Call(START, any_call(START, params).params, _execution)


def pause(execution_id: str, reason: str) -> Call[Execution]:
    return _execution_call("pause", execution_id, reason=reason or None)


def resume(execution_id: str, reason: str, checkpoint: Any, meters: Mapping[str, float] | None) -> Call[Execution]:
    call = _execution_call("resume", execution_id, reason=reason or None, meters=meters)
    if checkpoint is UNCHANGED:
        return call
    return Call(call.method, {**call.params, "checkpoint": checkpoint}, call.read)


def cancel(execution_id: str, reason: str, force: bool) -> Call[Execution]:
    return _execution_call("cancel", execution_id, reason=reason or None, force=force or None)


def retry(execution_id: str, options: Options | None, start_from: RetryFrom | None) -> Call[Execution]:
    return _execution_call("retry", execution_id, **_retry_params(options, start_from))


def provide_input(execution_id: str, input: Any, question_id: str | None) -> Call[Execution]:
    call = _execution_call("provideInput", execution_id, question_id=question_id)
    return Call(call.method, {**call.params, "input": input}, call.read)  # None is an answer too


def cancel_many(reason: str, force: bool, dry_run: bool, filters: Mapping[str, Any]) -> Call[BulkOutcome]:
    how = {"reason": reason or None, "force": force or None, "dry_run": dry_run or None}
    return Call("mindswarm.execution.cancelMany", given(**how, **filters), _outcome)


def retry_many(
    options: Options | None, start_from: RetryFrom | None, dry_run: bool, filters: Mapping[str, Any]
) -> Call[BulkOutcome]:
    params = given(**_retry_params(options, start_from), dry_run=dry_run or None, **filters)
    return Call("mindswarm.execution.retryMany", params, _outcome)


def get(execution_id: str) -> Call[Execution]:
    return _execution_call("get", execution_id)


def explain(execution_id: str) -> Call[Explanation]:
    return Call("mindswarm.execution.explain", {"execution_id": execution_id}, as_record(Explanation))


def simulate(
    task_type: str | None,
    payload: Any,
    with_agent: Sketch | None,
    options: Options | None,
    more_options: Mapping[str, Any],
    **params: Any,
) -> Call[Simulation]:
    """The params of `start`, and perhaps one more agent."""
    named = start(task_type, payload, params.pop("task_id", None), options, more_options, **params).params
    asked = {name: value for name, value in named.items() if name != "idempotency_key" or name in given(**params)}
    return Call("mindswarm.execution.simulate", {**asked, **given(with_agent=with_agent)}, as_record(Simulation))


def list_executions(**filters: Any) -> Call[ExecutionPage]:
    return Call("mindswarm.execution.list", given(**filters), as_record(ExecutionPage))


def get_metrics(execution_id: str) -> Call[ExecutionMetrics]:
    return Call("mindswarm.execution.getMetrics", {"execution_id": execution_id}, as_record(ExecutionMetrics))


def get_window_metrics(window: str, group_by: str) -> Call[MetricWindow]:
    return Call("mindswarm.execution.getMetrics", {"window": window, "group_by": group_by}, as_record(MetricWindow))


def get_history(execution_id: str | None, **filters: Any) -> Call[ExecutionHistory]:
    params = given(execution_id=execution_id, **filters)
    return Call("mindswarm.execution.getHistory", params, as_record(ExecutionHistory))


def get_queue_status(project_id: str | None) -> Call[QueueStatus]:
    return Call("mindswarm.execution.getQueueStatus", given(project_id=project_id), as_record(QueueStatus))


def agents() -> Call[list[AgentRecord]]:
    return Call("mindswarm.agent.list", {}, lambda result: _agents(result["agents"]))


def agent(verb: str, agent_id: str) -> Call[AgentRecord]:
    """`verb` is get, sleep, wake or drain."""
    return Call(f"mindswarm.agent.{verb}", {"agent_id": agent_id}, _agent)


def create_task(title: str, **fields: Any) -> Call[Task]:
    return Call("mindswarm.task.create", {"title": title, **given(**fields)}, _task)


def get_task(task_id: str) -> Call[Task]:
    return Call("mindswarm.task.get", {"task_id": task_id}, _task)


def list_tasks(**filters: Any) -> Call[TaskPage]:
    return Call("mindswarm.task.list", given(**filters), as_record(TaskPage))


def update_task(task_id: str, **changes: Any) -> Call[Task]:
    return Call("mindswarm.task.update", {"task_id": task_id, **changes}, _task)


def assign_task(task_id: str, assignee: str | None) -> Call[Task]:
    return Call("mindswarm.task.assign", {"task_id": task_id, "assignee": assignee}, _task)


def event_history(**params: Any) -> Call[EventPage]:
    return Call("mindswarm.events.getHistory", given(**params), as_record(EventPage))


def subscribe(**params: Any) -> Call[str]:
    """The id of the new subscription."""
    return Call("mindswarm.events.subscribe", given(**params), lambda result: str(result["subscription_id"]))


def unsubscribe(subscription_id: str) -> Call[Any]:
    return Call("mindswarm.events.unsubscribe", {"subscription_id": subscription_id}, lambda result: result)


def _execution_call(verb: str, execution_id: str, **params: Any) -> Call[Execution]:
    return Call(f"mindswarm.execution.{verb}", {"execution_id": execution_id, **given(**params)}, _execution)


def _retry_params(options: Options | None, start_from: RetryFrom | None) -> dict[str, Any]:
    return {"options": None if options is None else _plain(options), "from": start_from}


def _plain(options: Options | None) -> dict[str, Any]:
    if isinstance(options, ExecutionOptions):
        return options.model_dump(mode="json", exclude_defaults=True)
    return dict(options or {})


def given(**params: Any) -> dict[str, Any]:
    """The params that are not None."""
    return {name: value for name, value in params.items() if value is not None}
