"""What a submission asks to be done: said by the request, or else by the task that it names."""

from __future__ import annotations

import json
from typing import NamedTuple

from pydantic import JsonValue

from mindswarm_exec.errors import InvalidRequest, UnknownTask
from mindswarm_exec.ledger import reads
from mindswarm_exec.ledger.faces import AsyncLedger
from mindswarm_exec.models.options import ExecutionOptions, StartRequest


class Work(NamedTuple):
    """Which task type is to run, with what, how, and in which project."""

    task_type: str
    payload: JsonValue
    options: ExecutionOptions
    project_id: str


async def work_of(ledger: AsyncLedger, request: StartRequest) -> Work:
    """What is to be done; what the request leaves open comes from its task.

    Raises:
        UnknownTask: the request names a task that has never been created.
        InvalidRequest: neither the request nor the task names a task type.
    """
    if request.task_id is None:
        assert request.task_type is not None
        return Work(request.task_type, request.payload, request.options, request.project_id)
    task = await ledger.run(reads.task(request.task_id))
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
    return Work(task_type, payload, await _assigned(ledger, request.options, task.get("assignee")), project_id)


async def _assigned(ledger: AsyncLedger, options: ExecutionOptions, assignee: str | None) -> ExecutionOptions:
    """The options with the task's assignee, if that is an agent, as the pre-assigned one."""
    if not assignee or options.agent.agent_id or assignee not in await ledger.run(reads.agent_ids()):
        return options
    agent = options.agent.model_copy(update={"agent_id": assignee})
    return options.model_copy(update={"agent": agent})
