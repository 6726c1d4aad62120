"""The service's own verbs, called from a thread: everything of the client that is not in a hurry."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, TypeVar

from pydantic import JsonValue

from mindswarm_exec.direct.following import whole_life
from mindswarm_exec.direct.requests import (
    Options,
    asked,
    budgets_of,
    options_of,
    page_of,
    reason_of,
    retry_params,
    said,
    simulation_of,
)
from mindswarm_exec.models import params
from mindswarm_exec.models.events import EventPage, Gap, TaskPage
from mindswarm_exec.models.explanations import AgentSketch, Explanation, Simulation
from mindswarm_exec.models.params import UNCHANGED, RetryFrom
from mindswarm_exec.models.records import (
    AgentRecord,
    BulkOutcome,
    Event,
    Execution,
    ExecutionHistory,
    ExecutionMetrics,
    ExecutionPage,
    MetricWindow,
    QueueStatus,
    Task,
)
from mindswarm_exec.service import Services, open_services
from mindswarm_exec.service.actors import Actor, acting_as
from mindswarm_exec.service.control import Publisher
from mindswarm_exec.settings import Settings

R = TypeVar("R")


class ServiceThread:
    """The async services on an event loop of their own, made when first needed."""

    def __init__(
        self, url: str, settings: Settings, publisher: Publisher | None, *, test_clock: bool = False
    ) -> None:
        self._open_services = partial(open_services, url, settings, publisher, test_clock=test_clock)
        self._context: AbstractAsyncContextManager[Services] | None = None
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._services: Services | None = None

    def call(self, verb: Callable[[Services], Coroutine[Any, Any, R]]) -> R:
        """Await a verb of the services on their loop; raises what it raises."""
        loop, services = self._ready()
        with acting_as(Actor()):  # the task on the loop begins in the context of this thread
            return asyncio.run_coroutine_threadsafe(verb(services), loop).result()

    def iterate(self, make: Callable[[Services], AsyncIterator[R]]) -> Iterator[R]:
        """Iterate an async iterator of the services."""
        loop, services = self._ready()
        source = make(services)

        async def following() -> R | None:
            return await anext(source, None)

        while (item := asyncio.run_coroutine_threadsafe(following(), loop).result()) is not None:
            yield item

    def close(self) -> None:
        """Close the services and end the loop."""
        with self._lock:
            if self._loop is None or self._context is None:
                return
            closing = self._context.__aexit__(None, None, None)
            asyncio.run_coroutine_threadsafe(_awaited(closing), self._loop).result()
            _stop(self._loop)
            self._loop = self._services = self._context = None

    def _ready(self) -> tuple[asyncio.AbstractEventLoop, Services]:
        with self._lock:
            if self._loop is None or self._services is None:
                self._loop, self._services = self._open()
            return self._loop, self._services

    def _open(self) -> tuple[asyncio.AbstractEventLoop, Services]:
        loop = asyncio.new_event_loop()
        threading.Thread(target=_run, args=(loop,), name="direct-client", daemon=True).start()
        self._context = self._open_services()
        try:
            opening = _awaited(self._context.__aenter__())
            return loop, asyncio.run_coroutine_threadsafe(opening, loop).result()
        except BaseException:
            _stop(loop)
            raise


def _run(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_forever()
    loop.close()


def _stop(loop: asyncio.AbstractEventLoop) -> None:
    loop.call_soon_threadsafe(loop.stop)


async def _awaited(awaitable: Any) -> Any:
    return await awaitable


class ServiceVerbs:
    """Look, control, agents, tasks and events; the names are those of `ExecutionClient`."""

    def __init__(self, thread: ServiceThread) -> None:
        self._thread = thread

    # --- look and control --------------------------------------------------------------------------------

    def get(self, execution_id: str) -> Execution:
        return self._thread.call(lambda on: on.executions.get(execution_id))

    def explain(self, execution_id: str) -> Explanation:
        """Why it waits, as one of a closed list of causes; or why it runs where it does."""
        return self._thread.call(lambda on: on.executions.explain(execution_id))

    def simulate(
        self,
        task_type: str | None = None,
        payload: JsonValue = None,
        *,
        with_agent: AgentSketch | Mapping[str, Any] | None = None,
        options: Options | None = None,
        project_id: str | None = None,
        task_id: str | None = None,
        parent_id: str | None = None,
        idempotency_key: str | None = None,
        **more_options: Any,
    ) -> Simulation:
        """What `start` would do now with the same arguments, perhaps with one more agent. Nothing is written."""
        named: dict[str, Any] = {"project_id": project_id, "task_id": task_id, "parent_id": parent_id}
        named |= {"with_agent": with_agent}
        named |= {"task_type": task_type, "payload": payload, "idempotency_key": idempotency_key}
        request = simulation_of(options_of(options, more_options), named)
        return self._thread.call(lambda on: on.executions.simulate(request))

    def list(self, **filters: Any) -> ExecutionPage:
        page = page_of(asked(params.ExecutionFilter, said(**filters), "list"))
        return self._thread.call(lambda on: on.executions.list(**page))

    def get_metrics(self, execution_id: str) -> ExecutionMetrics:
        return self._thread.call(lambda on: on.executions.get_metrics(execution_id))

    def get_window_metrics(self, window: str = "1h", group_by: str = "task_type") -> MetricWindow:
        return self._thread.call(lambda on: on.executions.get_window_metrics(window, group_by))

    def get_history(self, execution_id: str | None = None, **filters: Any) -> ExecutionHistory:
        """The record of one execution; without an id those that match, as `list` takes filters."""
        given = said(execution_id=execution_id, **filters)
        page = page_of(asked(params.GetHistory, given, "get_history"))
        if execution_id is None:
            return self._thread.call(lambda on: on.executions.list_history(**page))
        return self._thread.call(lambda on: on.executions.get_history(execution_id))

    def get_queue_status(self, project_id: str | None = None) -> QueueStatus:
        return self._thread.call(lambda on: on.executions.get_queue_status(project_id))

    def pause(self, execution_id: str, reason: str = "") -> Execution:
        why = reason_of(reason)
        return self._thread.call(lambda on: on.executions.pause(execution_id, why))

    def resume(
        self,
        execution_id: str,
        reason: str = "",
        checkpoint: Any = UNCHANGED,
        meters: Mapping[str, float] | None = None,
    ) -> Execution:
        """Let a paused execution go on; `meters` are new limits of its budgets."""
        why, budgets = reason_of(reason), budgets_of(meters)
        return self._thread.call(lambda on: on.executions.resume(execution_id, why, checkpoint, budgets))

    def provide_input(self, execution_id: str, input: Any, question_id: str | None = None) -> Execution:
        """Answer the question that an execution waits on. Raises AlreadyAnswered if another was first."""
        return self._thread.call(lambda on: on.executions.provide_input(execution_id, input, question_id))

    def cancel(self, execution_id: str, reason: str = "", force: bool = False) -> Execution:
        why = reason_of(reason)
        return self._thread.call(lambda on: on.executions.cancel(execution_id, why, force))

    def retry(
        self, execution_id: str, options: Options | None = None, start_from: RetryFrom | None = None
    ) -> Execution:
        """Bring an ended execution back, from its checkpoint or with "start" anew."""
        how = retry_params(options, start_from)
        return self._thread.call(lambda on: on.executions.retry(execution_id, **how))

    def cancel_many(
        self, *, reason: str = "", force: bool = False, dry_run: bool = False, **filters: Any
    ) -> BulkOutcome:
        """Cancel all that has not ended and meets the filters, of which at least one is given."""
        how: dict[str, Any] = {"reason": reason_of(reason), "force": force, "dry_run": dry_run}
        criteria = asked(params.Criteria, said(**filters), "filters").criteria
        return self._thread.call(lambda on: on.executions.cancel_many(**how, **criteria))

    def retry_many(
        self,
        *,
        options: Options | None = None,
        start_from: RetryFrom | None = None,
        dry_run: bool = False,
        **filters: Any,
    ) -> BulkOutcome:
        """Bring back all that failed, timed out or was cancelled and meets the filters; at least one is given."""
        how = retry_params(options, start_from)
        criteria = asked(params.Criteria, said(**filters), "filters").criteria
        return self._thread.call(lambda on: on.executions.retry_many(dry_run=dry_run, **how, **criteria))

    # --- agents and tasks --------------------------------------------------------------------------------

    def agents(self) -> Sequence[AgentRecord]:
        return self._thread.call(lambda on: on.agents.list())

    def agent(self, agent_id: str) -> AgentRecord:
        return self._thread.call(lambda on: on.agents.get(agent_id))

    def sleep_agent(self, agent_id: str) -> AgentRecord:
        return self._thread.call(lambda on: on.agents.sleep(agent_id))

    def wake_agent(self, agent_id: str) -> AgentRecord:
        return self._thread.call(lambda on: on.agents.wake(agent_id))

    def drain_agent(self, agent_id: str) -> AgentRecord:
        return self._thread.call(lambda on: on.agents.drain(agent_id))

    def create_task(self, title: str, **fields: Any) -> Task:
        given = asked(params.CreateTask, said(title=title, **fields), "create_task").model_dump()
        return self._thread.call(lambda on: on.tasks.create(**given))

    def get_task(self, task_id: str) -> Task:
        return self._thread.call(lambda on: on.tasks.get(task_id))

    def list_tasks(self, **filters: Any) -> TaskPage:
        given = asked(params.ListTasks, said(**filters), "list_tasks").model_dump()
        tasks, cursor = self._thread.call(lambda on: on.tasks.list(**given))
        return TaskPage(tasks=tuple(tasks), next_cursor=cursor)

    def update_task(self, task_id: str, **changes: Any) -> Task:
        given = asked(params.UpdateTask, {"task_id": task_id, **changes}, "update_task").model_dump(
            exclude_unset=True
        )
        return self._thread.call(lambda on: on.tasks.update(**given))

    def assign_task(self, task_id: str, assignee: str | None) -> Task:
        given = asked(params.AssignTask, {"task_id": task_id, "assignee": assignee}, "assign_task").model_dump()
        return self._thread.call(lambda on: on.tasks.assign(**given))

    # --- events ------------------------------------------------------------------------------------------

    def events(
        self, from_event_id: str | None = None, *, on_gap: Callable[[Gap], None] | None = None, **filter_: Any
    ) -> Iterator[Event]:
        """Events as they happen, or from a cursor on ("0" is the oldest kept); without end."""
        wanted = asked(params.Subscribe, said(from_event_id=from_event_id, **filter_), "events")

        async def heard(on: Services) -> AsyncIterator[Event | Gap]:
            await on.events.start()
            subscription = on.events.subscribe(wanted.filter, wanted.from_event_id)
            try:
                async for item in subscription:
                    yield item
            finally:
                subscription.close()

        for item in self._thread.iterate(heard):
            if isinstance(item, Event):
                yield item
            elif on_gap is not None:
                on_gap(item)

    def event_history(self, **given: Any) -> EventPage:
        """A page of the past; it takes the params of `mindswarm.events.getHistory`."""
        page = asked(params.GetEventHistory, said(**given), "event_history")
        return self._thread.call(
            lambda on: on.events.get_history(page.filter, page.limit, page.cursor, newest_first=page.newest_first)
        )

    def execution_events(self, execution_id: str) -> Iterator[Event]:
        """The events of one execution from the first that the stream keeps, until it has ended."""
        return self._thread.iterate(lambda on: whole_life(on, execution_id))
