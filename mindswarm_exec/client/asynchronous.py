"""AsyncExecutionClient: the API for asyncio, over httpx and websockets. The twin of `blocking`."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import httpx
from websockets.asyncio.client import ClientConnection

from mindswarm_exec.client import verbs
from mindswarm_exec.client.async_ends import EndRoom
from mindswarm_exec.client.async_line import Line
from mindswarm_exec.client.calling import ANSWER_SECONDS, CONNECT_SECONDS, Script, make, make_batch
from mindswarm_exec.client.ends import result_in
from mindswarm_exec.client.following import ExecutionFollower, Follower
from mindswarm_exec.client.verbs import Options
from mindswarm_exec.client.wire import Call, address_of, any_call
from mindswarm_exec.errors import MindSwarmError
from mindswarm_exec.lifecycle import Status
from mindswarm_exec.models.events import EventPage, Gap, TaskPage
from mindswarm_exec.models.explanations import Explanation, Simulation
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

T = TypeVar("T")


class AsyncExecutionHandle:
    """One execution that this client started or was given the id of."""

    def __init__(self, client: AsyncExecutionClient, execution_id: str) -> None:
        self._client = client
        self.execution_id = execution_id

    async def status(self) -> Status:
        return (await self._client.get(self.execution_id)).status

    async def result(self, timeout: float | None = None) -> Any:  # noqa: ASYNC109 - the face of the sync twin
        """Wait for the result, at most `timeout` seconds, through restarts of the API.

        All who wait with one client share one WebSocket.

        Raises:
            ExecutionNotCompleted: it ended without a result; `facts` name status and error.
            ResultNotReady: it has not ended yet.
            UnknownExecution: there is no such execution.
            ApiUnavailable: the API stayed away for a minute.
        """
        return result_in(await self._client._ends.ended(self.execution_id, timeout))

    async def events(self) -> AsyncIterator[Event]:
        """Its events from the first on, each once, until it has ended; through restarts of the API."""
        follower = ExecutionFollower(self._client._address, await self._client.get(self.execution_id))
        async with self._client._line() as line:
            while (event := await line.perform(follower.next())) is not None:
                yield event
            await line.perform(follower.end())

    async def pause(self, reason: str = "") -> Execution:
        return await self._client.pause(self.execution_id, reason)

    async def resume(
        self, reason: str = "", checkpoint: Any = UNCHANGED, meters: Mapping[str, float] | None = None
    ) -> Execution:
        return await self._client.resume(self.execution_id, reason, checkpoint, meters)

    async def provide_input(self, input: Any, question_id: str | None = None) -> Execution:
        return await self._client.provide_input(self.execution_id, input, question_id)

    async def cancel(self, reason: str = "", force: bool = False) -> Execution:
        return await self._client.cancel(self.execution_id, reason, force)

    async def retry(self, options: Options | None = None, start_from: RetryFrom | None = None) -> Execution:
        return await self._client.retry(self.execution_id, options, start_from)

    async def explain(self) -> Explanation:
        """Why it waits, or why it runs where it does."""
        return await self._client.explain(self.execution_id)


class AsyncExecutionClient:
    """The API of a running engine. For one event loop; close it when done.

    Args:
        url: where the API is; default `MINDSWARM_API_URL`.
        api_key: what opens it; default `MINDSWARM_API_KEY`.

    Every method raises what the server raised, as the same class, and ApiUnavailable if there is none.
    """

    def __init__(self, url: str | None = None, *, api_key: str | None = None) -> None:
        self._address = address_of(url, api_key)
        self._http = httpx.AsyncClient(
            headers=self._address.headers,
            timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
            trust_env=self._address.uses_proxies,
        )
        self._idle: deque[ClientConnection] = deque()
        self._ends = EndRoom(self._address, self._line, self.get)

    async def __aenter__(self) -> AsyncExecutionClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of all connections."""
        await self._ends.close()
        await self._http.aclose()
        while self._idle:
            await self._idle.pop().close()

    # --- submit ------------------------------------------------------------------------------------------

    async def start(
        self,
        task_type: str | None = None,
        payload: Any = None,
        *,
        project_id: str | None = None,
        task_id: str | None = None,
        parent_id: str | None = None,
        idempotency_key: str | None = None,
        traceparent: str | None = None,
        tracestate: str | None = None,
        options: Options | None = None,
        **more_options: Any,
    ) -> AsyncExecutionHandle:
        """Submit one execution. Options go in `options` or as keyword arguments (`priority="high"`).

        It goes on from the span that `traceparent` names, or from the current span of the program.

        An idempotency key is made if none is given, so that the submission is repeated safely when its answer
        is lost. Repeat it yourself with a key of your own after ApiUnavailable.
        """
        keys = {"project_id": project_id, "parent_id": parent_id, "idempotency_key": idempotency_key}
        keys |= {"traceparent": traceparent, "tracestate": tracestate}
        execution = await self._make(verbs.start(task_type, payload, task_id, options, more_options, **keys))
        return AsyncExecutionHandle(self, execution.execution_id)

    async def start_many(
        self,
        task_type: str,
        payloads: Iterable[Any],
        *,
        project_id: str | None = None,
        traceparent: str | None = None,
        tracestate: str | None = None,
        **options: Any,
    ) -> list[AsyncExecutionHandle]:
        """Submit one execution for each payload, in batches. Raises the first refusal; the others stand."""
        named = {"project_id": project_id, "traceparent": traceparent, "tracestate": tracestate}
        calls = [verbs.start(task_type, payload, None, None, options, **named) for payload in payloads]
        handles: list[AsyncExecutionHandle] = []
        for first in range(0, len(calls), verbs.BATCH):
            for answer in await self._perform(make_batch(calls[first : first + verbs.BATCH], self._address)):
                if isinstance(answer, MindSwarmError):
                    raise answer
                handles.append(AsyncExecutionHandle(self, answer.execution_id))
        return handles

    async def simulate(
        self,
        task_type: str | None = None,
        payload: Any = None,
        *,
        with_agent: verbs.Sketch | None = None,
        project_id: str | None = None,
        task_id: str | None = None,
        parent_id: str | None = None,
        idempotency_key: str | None = None,
        options: Options | None = None,
        **more_options: Any,
    ) -> Simulation:
        """What `start` would do now with the same arguments, perhaps with one more agent. Nothing is written."""
        keys = {"project_id": project_id, "task_id": task_id, "parent_id": parent_id}
        keys["idempotency_key"] = idempotency_key
        return await self._make(verbs.simulate(task_type, payload, with_agent, options, more_options, **keys))

    def handle(self, execution_id: str) -> AsyncExecutionHandle:
        """A handle on an execution that was started elsewhere."""
        return AsyncExecutionHandle(self, execution_id)

    # --- control and look --------------------------------------------------------------------------------

    async def pause(self, execution_id: str, reason: str = "") -> Execution:
        return await self._make(verbs.pause(execution_id, reason))

    async def resume(
        self,
        execution_id: str,
        reason: str = "",
        checkpoint: Any = UNCHANGED,
        meters: Mapping[str, float] | None = None,
    ) -> Execution:
        """Let a paused execution go on; `meters` are new limits of its budgets."""
        return await self._make(verbs.resume(execution_id, reason, checkpoint, meters))

    async def provide_input(self, execution_id: str, input: Any, question_id: str | None = None) -> Execution:
        """Answer the question that an execution waits on. Raises AlreadyAnswered if another was first."""
        return await self._make(verbs.provide_input(execution_id, input, question_id))

    async def cancel(self, execution_id: str, reason: str = "", force: bool = False) -> Execution:
        return await self._make(verbs.cancel(execution_id, reason, force))

    async def retry(
        self, execution_id: str, options: Options | None = None, start_from: RetryFrom | None = None
    ) -> Execution:
        """Bring an ended execution back, from its checkpoint or with "start" anew."""
        return await self._make(verbs.retry(execution_id, options, start_from))

    async def cancel_many(
        self, *, reason: str = "", force: bool = False, dry_run: bool = False, **filters: Any
    ) -> BulkOutcome:
        """Cancel all that has not ended and meets the filters, of which at least one is given."""
        return await self._make(verbs.cancel_many(reason, force, dry_run, filters))

    async def retry_many(
        self,
        *,
        options: Options | None = None,
        start_from: RetryFrom | None = None,
        dry_run: bool = False,
        **filters: Any,
    ) -> BulkOutcome:
        """Bring back all that failed, timed out or was cancelled and meets the filters; at least one is given."""
        return await self._make(verbs.retry_many(options, start_from, dry_run, filters))

    async def get(self, execution_id: str) -> Execution:
        return await self._make(verbs.get(execution_id))

    async def explain(self, execution_id: str) -> Explanation:
        """Why it waits, as one of a closed list of causes; or why it runs where it does."""
        return await self._make(verbs.explain(execution_id))

    async def list(self, **filters: Any) -> ExecutionPage:
        return await self._make(verbs.list_executions(**filters))

    async def get_metrics(self, execution_id: str) -> ExecutionMetrics:
        return await self._make(verbs.get_metrics(execution_id))

    async def get_window_metrics(self, window: str = "1h", group_by: str = "task_type") -> MetricWindow:
        return await self._make(verbs.get_window_metrics(window, group_by))

    async def get_history(self, execution_id: str | None = None, **filters: Any) -> ExecutionHistory:
        return await self._make(verbs.get_history(execution_id, **filters))

    async def get_queue_status(self, project_id: str | None = None) -> QueueStatus:
        return await self._make(verbs.get_queue_status(project_id))

    # --- agents and tasks --------------------------------------------------------------------------------

    async def agents(self) -> Sequence[AgentRecord]:
        return await self._make(verbs.agents())

    async def agent(self, agent_id: str) -> AgentRecord:
        return await self._make(verbs.agent("get", agent_id))

    async def sleep_agent(self, agent_id: str) -> AgentRecord:
        return await self._make(verbs.agent("sleep", agent_id))

    async def wake_agent(self, agent_id: str) -> AgentRecord:
        return await self._make(verbs.agent("wake", agent_id))

    async def drain_agent(self, agent_id: str) -> AgentRecord:
        return await self._make(verbs.agent("drain", agent_id))

    async def create_task(self, title: str, **fields: Any) -> Task:
        return await self._make(verbs.create_task(title, **fields))

    async def get_task(self, task_id: str) -> Task:
        return await self._make(verbs.get_task(task_id))

    async def list_tasks(self, **filters: Any) -> TaskPage:
        return await self._make(verbs.list_tasks(**filters))

    async def update_task(self, task_id: str, **changes: Any) -> Task:
        return await self._make(verbs.update_task(task_id, **changes))

    async def assign_task(self, task_id: str, assignee: str | None) -> Task:
        return await self._make(verbs.assign_task(task_id, assignee))

    # --- events ------------------------------------------------------------------------------------------

    async def events(
        self, from_event_id: str | None = None, *, on_gap: Callable[[Gap], None] | None = None, **filter_: Any
    ) -> AsyncIterator[Event]:
        """Events as they happen, or from a cursor on ("0" is the oldest kept); without end.

        `filter_` takes the fields of EventFilter. A lost connection is made again and read on from the last
        event, so that each comes once; what the stream no longer has by then is told to `on_gap`.
        """
        follower = Follower(self._address, verbs.given(**filter_), from_event_id, on_gap)
        async with self._line() as line:
            while True:
                if (event := await line.perform(follower.next())) is not None:
                    yield event

    async def event_history(self, **params: Any) -> EventPage:
        """A page of the past; `params` are those of `mindswarm.events.getHistory`."""
        return await self._make(verbs.event_history(**params))

    # --- anything ----------------------------------------------------------------------------------------

    async def call(self, method: str, **params: Any) -> Any:
        """Call any method of the API and return its result as it came."""
        return await self._make(any_call(method, params))

    async def batch(self, calls: Iterable[tuple[str, Mapping[str, Any]]]) -> Sequence[Any]:
        """Make calls in one request. The answers in their order: a result, or the error as a value."""
        return await self._perform(make_batch([any_call(method, params) for method, params in calls], self._address))

    # --- steps -------------------------------------------------------------------------------------------

    async def _make(self, call: Call[T]) -> T:
        return await self._perform(make(call, self._address))

    async def _perform(self, script: Script[T]) -> T:
        async with self._line() as line:
            return await line.perform(script)

    def _line(self) -> Line:
        return Line(self._http, self._address, self._idle)
