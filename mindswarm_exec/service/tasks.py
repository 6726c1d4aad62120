"""TaskService: work items that people and programs track. Executions may belong to them."""

from __future__ import annotations

from typing import Any

from pydantic import JsonValue

from mindswarm_exec.errors import InvalidRequest, UnknownTask
from mindswarm_exec.identifiers import new_id
from mindswarm_exec.ledger import operations, reads
from mindswarm_exec.ledger.faces import AsyncLedger
from mindswarm_exec.ledger.replies import Absent
from mindswarm_exec.lifecycle import TASK_STATUS
from mindswarm_exec.models.records import Task
from mindswarm_exec.service.actors import control_action, event_data
from mindswarm_exec.service.records import task_record
from mindswarm_exec.service.submission import stored_json
from mindswarm_exec.settings import Settings

#: What a person may set. The others follow from the task's latest execution, and it keeps them in step.
SETTABLE = ("open", "done", "cancelled")
STATUSES = tuple(dict.fromkeys(("open", *TASK_STATUS.values())))
MOST_READ = 2000


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
        """Tasks that match, newest first, and the cursor of the next page (None: there is none)."""
        try:
            before_ms = None if cursor is None else int(cursor)
        except ValueError:
            raise InvalidRequest("the cursor does not fit: pass next_cursor of the previous page.") from None
        places = await self._ledger.run(reads.task_ids(before_ms, MOST_READ))
        found: list[Task] = []
        records = await self._ledger.run_many([reads.task(task_id) for task_id, _ in places])
        for (task_id, at_ms), fields in zip(places, records, strict=True):
            if fields is None or project_id not in (None, fields["project_id"]):
                continue
            if status not in (None, fields["status"]):
                continue
            if len(found) >= limit and at_ms != round(found[-1].created_at.timestamp() * 1000):
                return found, str(at_ms)
            found.append(task_record(task_id, fields))
        return found, None

    @control_action("update")
    async def update(self, task_id: str, **changes: Any) -> Task:
        """Change title, description, status (open, done, cancelled), task_type, payload or assignee."""
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
        return await self._change(task_id, "task.assigned", {"assignee": assignee or ""})

    async def _change(self, task_id: str, event: str, changes: dict[str, Any]) -> Task:
        data = event_data(**{name: value for name, value in changes.items() if name != "payload"})
        reply = await self._ledger.run(operations.put_task(task_id, "update", event, data, "", self._stored(changes)))
        if isinstance(reply, Absent):
            raise UnknownTask.of(task_id)
        return await self.get(task_id)

    def _stored(self, changes: dict[str, Any]) -> dict[str, str | int | float]:
        stored: dict[str, str | int | float] = {}
        for name, value in changes.items():
            if name == "payload":
                if value is not None:
                    stored[name] = stored_json(value, "the payload", self._settings.max_payload_bytes)
            elif value is not None:
                stored[name] = value
        return stored
