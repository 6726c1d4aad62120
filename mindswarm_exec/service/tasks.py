"""TaskService: work items that people and programs track. Executions may belong to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue

from mindswarm_exec.errors import InvalidRequest, UnknownTask
from mindswarm_exec.identifiers import new_id
from mindswarm_exec.ledger import operations, reads
from mindswarm_exec.ledger.faces import AsyncLedger
from mindswarm_exec.ledger.reads import Record
from mindswarm_exec.ledger.replies import Absent
from mindswarm_exec.lifecycle import TASK_STATUS
from mindswarm_exec.models.records import Task
from mindswarm_exec.service.actors import control_action, event_data
from mindswarm_exec.service.cursors import cursor_at, place_at
from mindswarm_exec.service.records import task_record
from mindswarm_exec.service.submission import stored_json
from mindswarm_exec.settings import Settings

#: What a person may set. The others follow from the task's latest execution, and it keeps them in step.
SETTABLE = ("open", "done", "cancelled")
STATUSES = tuple(dict.fromkeys(("open", *TASK_STATUS.values())))
#: Tasks that are looked at for one page, and what of each to tell whether it matches.
MOST_SEEN = 2000
FILTERED = ("project_id", "status")


class TaskService:
    """Create, find, change and assign tasks. A task's status follows its latest execution by itself."""

    def __init__(self, ledger: AsyncLedger, settings: Settings) -> None:
        self._ledger = ledger
        self._settings = settings

    @control_action("create")
    async def create(
        self,
        title: str,
        description: str = "",
        project_id: str = "default",
        task_type: str | None = None,
        payload: JsonValue = None,
        assignee: str | None = None,
    ) -> Task:
        """Create a task. `assignee` is a person or an agent; an agent is pre-assigned to its executions."""
        task_id = new_id()
        fields: dict[str, str | int | float] = {"title": title, "description": description, "status": "open"}
        fields |= self._stored({"task_type": task_type, "payload": payload, "assignee": assignee})
        data = event_data(title=title, assignee=assignee)
        await self._ledger.run(operations.put_task(task_id, "create", "task.created", data, project_id, fields))
        return await self.get(task_id)

    async def get(self, task_id: str) -> Task:
        """One task. Raises UnknownTask."""
        fields = await self._ledger.run(reads.task(task_id))
        if fields is None:
            raise UnknownTask.of(task_id)
        return task_record(task_id, fields)

    async def list(
        self, project_id: str | None = None, status: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> tuple[list[Task], str | None]:
        """Tasks that match, newest first, and the cursor to go on from (None: there are no more).

        A page may be short, even empty: so many tasks are looked at, however few of them match.

        Raises:
            InvalidRequest: there is no such status, or the cursor is none.
        """
        if status is not None and status not in STATUSES:
            raise InvalidRequest(
                f"status: no task is ever '{status}'. It is one of {', '.join(STATUSES)}.",
                field="status",
                allowed=list(STATUSES),
            )
        after = place_at(cursor)
        places = await self._ledger.run(reads.task_places(None if after is None else after[0], MOST_SEEN))
        behind = [place for place in places if after is None or place < after]
        facts = await self._ledger.run_many([reads.task_fields(each, FILTERED) for _, each in behind])
        wanted = {"project_id": project_id, "status": status}
        matching = [place for place, found in zip(behind, facts, strict=True) if _admits(wanted, found)]
        page = matching[:limit]
        records = await self._ledger.run_many([reads.task(task_id) for _, task_id in page])
        tasks = [task_record(task_id, fields) for (_, task_id), fields in zip(page, records, strict=True) if fields]
        if len(matching) > limit:
            return tasks, cursor_at(page[-1])
        return tasks, cursor_at(behind[-1]) if behind and len(places) == MOST_SEEN else None

    @control_action("update")
    async def update(self, task_id: str, **changes: Any) -> Task:
        """Change title, description, status (open, done, cancelled), task_type, payload or assignee.

        None is a payload too; as task type or assignee it means none.
        """
        status = changes.get("status")
        if status is not None and status not in SETTABLE:
            raise InvalidRequest(
                f"status '{status}' cannot be set by hand: it follows the task's executions. "
                f"Set one of {', '.join(SETTABLE)}.",
                allowed=list(SETTABLE),
            )
        return await self._change(task_id, "task.updated", changes)

    @control_action("assign")
    async def assign(self, task_id: str, assignee: str | None) -> Task:
        """Give the task to a person or an agent; None takes it back."""
        return await self._change(task_id, "task.assigned", {"assignee": assignee})

    async def _change(self, task_id: str, event: str, changes: dict[str, Any]) -> Task:
        data = event_data(**{name: value for name, value in changes.items() if name != "payload"})
        reply = await self._ledger.run(operations.put_task(task_id, "update", event, data, "", self._stored(changes)))
        if isinstance(reply, Absent):
            raise UnknownTask.of(task_id)
        return await self.get(task_id)

    def _stored(self, changes: Mapping[str, Any]) -> dict[str, str | int | float]:
        """The fields of the record. What is None there is empty; a payload of None is JSON as any other."""
        stored = {name: "" if value is None else value for name, value in changes.items()}
        if "payload" in changes:
            stored["payload"] = stored_json(changes["payload"], "the payload", self._settings.max_payload_bytes)
        return stored


def _admits(wanted: Mapping[str, str | None], found: Record) -> bool:
    return all(value in (None, found.get(name)) for name, value in wanted.items())
