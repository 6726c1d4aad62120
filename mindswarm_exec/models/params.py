"""The params of each method, where the record of the same name is not params enough. Required fields first.

The API checks what comes over the wire by them, and DirectClient what it is called with.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Final, Literal

from pydantic import AwareDatetime, Field, JsonValue, StringConstraints, model_validator

from mindswarm_exec.identifiers import ExecutionId, Name
from mindswarm_exec.lifecycle import Status
from mindswarm_exec.models.events import Cursor, EventFilter
from mindswarm_exec.models.options import Budgets, ExecutionOptions, WireModel

Reason = Annotated[str, StringConstraints(max_length=1000)]
Limit = Annotated[int, Field(ge=1, le=500)]
PageCursor = Annotated[str, StringConstraints(min_length=1, max_length=200)]
#: Agent and task ids are looked up, so any name may be asked for; the answer is then that it is unknown.
AnyAgent = Name
Text = Annotated[str, StringConstraints(max_length=20_000)]
Title = Annotated[str, StringConstraints(min_length=1, max_length=500)]


class Unchanged(Enum):
    """The type of UNCHANGED: "leave it as it is", where None is a value of its own."""

    UNCHANGED = "unchanged"


UNCHANGED: Final = Unchanged.UNCHANGED
#: Where a retry begins: at the latest checkpoint, or anew.
RetryFrom = Literal["checkpoint", "start"]


class Nothing(WireModel):
    pass


class OneExecution(WireModel):
    execution_id: ExecutionId


class Pause(OneExecution):
    reason: Reason = Field("", description="kept with the request, for those who ask later")


class Resume(Pause):
    checkpoint: JsonValue = Field(None, description="if given, even as null, it replaces the checkpoint kept")
    meters: Budgets = Field(default_factory=dict, description="new limits of its budgets, by name")


class Cancel(Pause):
    force: bool = Field(False, description="do not wait for the handler: fence it off at once")


class RetryOptions(WireModel):
    options: ExecutionOptions | None = Field(None, description="if given, they replace those it had")
    start_from: RetryFrom = Field(
        "checkpoint", alias="from", description="start: forget its checkpoint and the answers it was given"
    )


class Retry(RetryOptions, OneExecution):
    pass


class ProvideInput(OneExecution):
    input: JsonValue = Field(description="the answer, as the question's schema wants it; null is an answer too")
    question_id: Name | None = Field(None, description="the question meant; without it, the one that is open")


class Criteria(WireModel):
    status: Status | Annotated[tuple[Status, ...], Field(min_length=1, max_length=len(Status))] | None = Field(
        None, description="one, or a list of them"
    )
    agent_id: AnyAgent | None = Field(None, description="the agent of its latest attempt")
    task_type: Name | None = None
    task_id: Name | None = Field(None, description="the task that it belongs to")
    project_id: Name | None = None
    since: AwareDatetime | None = Field(None, description="it has been in its state since then, or came to it later")
    until: AwareDatetime | None = Field(None, description="it came to its state before then")
    tag: Name | None = Field(None, description="one of its tags")
    parent_id: ExecutionId | None = Field(None, description="the execution that started it")

    @model_validator(mode="after")
    def _since_comes_before_until(self) -> Criteria:
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise ValueError("since has to be before until, or nothing can match")
        return self

    @property
    def criteria(self) -> dict[str, Any]:
        """The filters that are given."""
        return {name: value for name in Criteria.model_fields if (value := getattr(self, name)) is not None}


class ExecutionFilter(Criteria):
    limit: Limit = Field(50, description="at most; a page may be shorter though there are more")
    cursor: PageCursor | None = Field(None, description="next_cursor of the previous page")


class Many(Criteria):
    """At least one filter is given."""

    dry_run: bool = Field(False, description="only count")


class CancelMany(Many):
    reason: Reason = ""
    force: bool = Field(False, description="do not wait for handlers: fence them off at once")


class RetryMany(RetryOptions, Many):
    pass


class GetHistory(ExecutionFilter):
    execution_id: ExecutionId | None = Field(None, description="the record of one; else a listing by the filters")

    @model_validator(mode="after")
    def _one_or_many(self) -> GetHistory:
        if self.execution_id is not None and self.model_fields_set != {"execution_id"}:
            raise ValueError("give execution_id alone, or filters without it")
        return self


class GetMetrics(WireModel):
    execution_id: ExecutionId | None = Field(
        None, description="what one execution took; without it, rollups of a window"
    )
    window: Literal["5m", "1h", "24h", "7d", "30d"] | None = Field(None, description="of what ended within it")
    group_by: Literal["agent", "task_type", "project", "status"] = Field(
        "task_type", description="with window: a group for each"
    )

    @model_validator(mode="after")
    def _one_or_window(self) -> GetMetrics:
        if (self.execution_id is None) == (self.window is None):
            raise ValueError("give either execution_id, or window (5m, 1h, 24h, 7d, 30d) with group_by")
        return self


class GetQueueStatus(WireModel):
    project_id: Name | None = Field(
        None, description="depths and what is held back are of this project; all else is of the whole queue"
    )


class OneAgent(WireModel):
    agent_id: AnyAgent


class OneTask(WireModel):
    task_id: Name


class CreateTask(WireModel):
    title: Title
    description: Text = ""
    project_id: Name = "default"
    task_type: Name | None = None
    payload: JsonValue = None
    assignee: Name | None = None


class UpdateTask(OneTask):
    title: Title = ""
    description: Text = ""
    status: Name = ""
    task_type: Name | None = Field(None, description="null: none")
    payload: JsonValue = None
    assignee: Name | None = Field(None, description="a person or an agent; null takes the task back")


class AssignTask(OneTask):
    assignee: Name | None = Field(description="a person or an agent; null takes the task back")


class ListTasks(WireModel):
    project_id: Name | None = None
    status: Name | None = None
    limit: Limit = 50
    cursor: PageCursor | None = None


class Subscribe(EventFilter):
    from_event_id: Cursor | None = Field(None, description='replay what follows it first; "0" for the oldest kept')

    @property
    def filter(self) -> EventFilter:
        return EventFilter.model_validate(self.model_dump(exclude={"from_event_id"}))


class Unsubscribe(WireModel):
    subscription_id: Annotated[str, StringConstraints(min_length=1, max_length=64)]


class GetEventHistory(EventFilter):
    limit: Limit = 100
    cursor: Cursor | None = Field(None, description="next_cursor of the previous page, or any event_id")
    newest_first: bool = False

    @property
    def filter(self) -> EventFilter:
        return EventFilter.model_validate(self.model_dump(exclude={"limit", "cursor", "newest_first"}))
