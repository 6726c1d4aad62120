"""`mindswarm.task.*`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mindswarm_exec.api.caller import Caller
from mindswarm_exec.api.jsonrpc import Method
from mindswarm_exec.errors import Forbidden, LedgerFull, LedgerUnavailable, PayloadTooLarge, UnknownTask
from mindswarm_exec.models import params
from mindswarm_exec.models.events import TaskPage
from mindswarm_exec.models.records import Task

if TYPE_CHECKING:
    from mindswarm_exec.service import Services

_LOOK = (UnknownTask, LedgerUnavailable)
_CHANGE = (*_LOOK, PayloadTooLarge)


class TaskMethods:
    def __init__(self, services: Services) -> None:
        self._tasks = services.tasks

    def rows(self) -> list[Method[Caller]]:
        name = "mindswarm.task.{}".format
        # fmt: off
        return [
            Method(name("create"), params.CreateTask, Task, self.create,
                   "Create a work item.", (Forbidden, PayloadTooLarge, LedgerUnavailable, LedgerFull)),
            Method(name("get"), params.OneTask, Task, self.get, "One task.", _LOOK),
            Method(name("list"), params.ListTasks, TaskPage, self.list,
                   "Tasks that match, newest first.", (Forbidden, LedgerUnavailable)),
            Method(name("update"), params.UpdateTask, Task, self.update, "Change the fields given.", _CHANGE),
            Method(name("assign"), params.AssignTask, Task, self.assign,
                   "Give the task to a person or an agent; null takes it back.", _LOOK),
        ]
        # fmt: on

    async def create(self, caller: Caller, asked: params.CreateTask) -> Task:
        named = asked.project_id if caller.is_admin or "project_id" in asked.model_fields_set else None
        project_id = caller.project_for(named, "mindswarm.task.create")
        given = asked.model_dump(exclude={"project_id"})
        return await self._tasks.create(**given, project_id=project_id or asked.project_id)

    async def get(self, caller: Caller, asked: params.OneTask) -> Task:
        task = await self._tasks.get(asked.task_id)
        caller.must_see(task.project_id, UnknownTask.of(asked.task_id))
        return task

    async def list(self, caller: Caller, asked: params.ListTasks) -> TaskPage:
        project_id = caller.project_for(asked.project_id, "mindswarm.task.list")
        tasks, next_cursor = await self._tasks.list(project_id, asked.status, asked.limit, asked.cursor)
        return TaskPage(tasks=tuple(tasks), next_cursor=next_cursor)

    async def update(self, caller: Caller, asked: params.UpdateTask) -> Task:
        await self._must_open(caller, asked.task_id)
        return await self._tasks.update(asked.task_id, **asked.model_dump(exclude={"task_id"}, exclude_unset=True))

    async def assign(self, caller: Caller, asked: params.AssignTask) -> Task:
        await self._must_open(caller, asked.task_id)
        return await self._tasks.assign(asked.task_id, asked.assignee)

    async def _must_open(self, caller: Caller, task_id: str) -> None:
        if not caller.is_admin:
            await self.get(caller, params.OneTask(task_id=task_id))
