"""ExecutionClient: the API for threads, over httpx and websockets."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import httpx
from websockets.sync.client import ClientConnection

from mindswarm_exec.client import verbs
from mindswarm_exec.client.blocking_line import Line
from mindswarm_exec.client.calling import ANSWER_SECONDS, CONNECT_SECONDS, Script, make, make_batch
from mindswarm_exec.client.ends import result_of
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


class ExecutionHandle:
    """One execution that this client started or was given the id of."""

    def __init__(self, client: ExecutionClient, execution_id: str) -> None:
        self._client = client
        self.execution_id = execution_id

    def status(self) -> Status:
        return self._client.get(self.execution_id).status

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the result, at most `timeout` seconds, through restarts of the API.

        Raises:
            ExecutionNotCompleted: it ended without a result; `facts` name status and error.
            ResultNotReady: it has not ended yet.
            UnknownExecution: there is no such execution.
            ApiUnavailable: the API stayed away for a minute.
        """
        with self._client._line() as line:
            return line.perform(result_of(self.execution_id, timeout, self._client._address))

    def events(self) -> Iterator[Event]:
        """Its events from the first on, each once, until it has ended; through restarts of the API."""
        follower = ExecutionFollower(self._client._address, self._client.get(self.execution_id))
        with self._client._line() as line:
            while (event := line.perform(follower.next())) is not None:
                yield event
            line.perform(follower.end())

    def pause(self, reason: str = "") -> Execution:
        return self._client.pause(self.execution_id, reason)

    def resume(
        self, reason: str = "", checkpoint: Any = UNCHANGED, meters: Mapping[str, float] | None = None
    ) -> Execution:
        return self._client.resume(self.execution_id, reason, checkpoint, meters)

    def provide_input(self, input: Any, question_id: str | None = None) -> Execution:
        return self._client.provide_input(self.execution_id, input, question_id)

    def cancel(self, reason: str = "", force: bool = False) -> Execution:
        return self._client.cancel(self.execution_id, reason, force)

    def retry(self, options: Options | None = None, start_from: RetryFrom | None = None) -> Execution:
        return self._client.retry(self.execution_id, options, start_from)

    def explain(self) -> Explanation:
        """Why it waits, or why it runs where it does."""
        return self._client.explain(self.execution_id)


class ExecutionClient:
    """The API of a running engine. Safe to share between threads; close it when done.

    Args:
        url: where the API is; default `MINDSWARM_API_URL`.
        api_key: what opens it; default `MINDSWARM_API_KEY`.
        user_agent: how it names itself to the API.

    Every method raises what the server raised, as the same class, and ApiUnavailable if there is none.
    """

    def __init__(self, url: str | None = None, *, api_key: str | None = None, user_agent: str | None = None) -> None:
        self._address = replace(address_of(url, api_key), user_agent=user_agent)
        self._http = httpx.Client(
            headers=self._address.headers,
            timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
            trust_env=self._address.uses_proxies,
        )
        self._idle: deque[ClientConnection] = deque()

    def __enter__(self) -> ExecutionClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of all connections."""
        self._http.close()
        while self._idle:
            self._idle.pop().close()

    # --- submit ------------------------------------------------------------------------------------------

    def start(
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
    ) -> ExecutionHandle:
        """Submit one execution. Options go in `options` or as keyword arguments (`priority="high"`).

        It goes on from the span that `traceparent` names, or from the current span of the program.

        An idempotency key is made if none is given, so that the submission is repeated safely when its answer
        is lost. Repeat it yourself with a key of your own after ApiUnavailable.
        """
        keys = {"project_id": project_id, "parent_id": parent_id, "idempotency_key": idempotency_key}
        keys |= {"traceparent": traceparent, "tracestate": tracestate}
        execution = self._make(verbs.start(task_type, payload, task_id, options, more_options, **keys))
        return ExecutionHandle(self, execution.execution_id)

    def start_many(
        self,
        task_type: str,
        payloads: Iterable[Any],
        *,
        project_id: str | None = None,
        traceparent: str | None = None,
        tracestate: str | None = None,
        **options: Any,
    ) -> list[ExecutionHandle]:
        """Submit one execution for each payload, in batches. Raises the first refusal; the others stand."""
        named = {"project_id": project_id, "traceparent": traceparent, "tracestate": tracestate}
        calls = [verbs.start(task_type, payload, None, None, options, **named) for payload in payloads]
        handles: list[ExecutionHandle] = []
        for first in range(0, len(calls), verbs.BATCH):
            for answer in self._perform(make_batch(calls[first : first + verbs.BATCH], self._address)):
                if isinstance(answer, MindSwarmError):
                    raise answer
                handles.append(ExecutionHandle(self, answer.execution_id))
        return handles

    def simulate(
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
        return self._make(verbs.simulate(task_type, payload, with_agent, options, more_options, **keys))

    def handle(self, execution_id: str) -> ExecutionHandle:
        """A handle on an execution that was started elsewhere."""
        return ExecutionHandle(self, execution_id)

    # --- control and look --------------------------------------------------------------------------------

    def pause(self, execution_id: str, reason: str = "") -> Execution:
        return self._make(verbs.pause(execution_id, reason))

    def resume(
        self,
        execution_id: str,
        reason: str = "",
        checkpoint: Any = UNCHANGED,
        meters: Mapping[str, float] | None = None,
    ) -> Execution:
        """Let a paused execution go on; `meters` are new limits of its budgets."""
        return self._make(verbs.resume(execution_id, reason, checkpoint, meters))

    def provide_input(self, execution_id: str, input: Any, question_id: str | None = None) -> Execution:
        """Answer the question that an execution waits on. Raises AlreadyAnswered if another was first."""
        return self._make(verbs.provide_input(execution_id, input, question_id))

    def cancel(self, execution_id: str, reason: str = "", force: bool = False) -> Execution:
        return self._make(verbs.cancel(execution_id, reason, force))

    def retry(
        self, execution_id: str, options: Options | None = None, start_from: RetryFrom | None = None
    ) -> Execution:
        """Bring an ended execution back, from its checkpoint or with "start" anew."""
        return self._make(verbs.retry(execution_id, options, start_from))

    def cancel_many(
        self, *, reason: str = "", force: bool = False, dry_run: bool = False, **filters: Any
    ) -> BulkOutcome:
        """Cancel all that has not ended and meets the filters, of which at least one is given."""
        return self._make(verbs.cancel_many(reason, force, dry_run, filters))

    def retry_many(
        self,
        *,
        options: Options | None = None,
        start_from: RetryFrom | None = None,
        dry_run: bool = False,
        **filters: Any,
    ) -> BulkOutcome:
        """Bring back all that failed, timed out or was cancelled and meets the filters; at least one is given."""
        return self._make(verbs.retry_many(options, start_from, dry_run, filters))

    def get(self, execution_id: str) -> Execution:
        return self._make(verbs.get(execution_id))

    def explain(self, execution_id: str) -> Explanation:
        """Why it waits, as one of a closed list of causes; or why it runs where it does."""
        return self._make(verbs.explain(execution_id))

    def list(self, **filters: Any) -> ExecutionPage:
        return self._make(verbs.list_executions(**filters))

    def get_metrics(self, execution_id: str) -> ExecutionMetrics:
        return self._make(verbs.get_metrics(execution_id))

    def get_window_metrics(self, window: str = "1h", group_by: str = "task_type") -> MetricWindow:
        return self._make(verbs.get_window_metrics(window, group_by))

    def get_history(self, execution_id: str | None = None, **filters: Any) -> ExecutionHistory:
        return self._make(verbs.get_history(execution_id, **filters))

    def get_queue_status(self, project_id: str | None = None) -> QueueStatus:
        return self._make(verbs.get_queue_status(project_id))

    # --- agents and tasks --------------------------------------------------------------------------------

    def agents(self) -> Sequence[AgentRecord]:
        return self._make(verbs.agents())

    def agent(self, agent_id: str) -> AgentRecord:
        return self._make(verbs.agent("get", agent_id))

    def sleep_agent(self, agent_id: str) -> AgentRecord:
        return self._make(verbs.agent("sleep", agent_id))

    def wake_agent(self, agent_id: str) -> AgentRecord:
        return self._make(verbs.agent("wake", agent_id))

    def drain_agent(self, agent_id: str) -> AgentRecord:
        return self._make(verbs.agent("drain", agent_id))

    def create_task(self, title: str, **fields: Any) -> Task:
        return self._make(verbs.create_task(title, **fields))

    def get_task(self, task_id: str) -> Task:
        return self._make(verbs.get_task(task_id))

    def list_tasks(self, **filters: Any) -> TaskPage:
        return self._make(verbs.list_tasks(**filters))

    def update_task(self, task_id: str, **changes: Any) -> Task:
        return self._make(verbs.update_task(task_id, **changes))

    def assign_task(self, task_id: str, assignee: str | None) -> Task:
        return self._make(verbs.assign_task(task_id, assignee))

    # --- events ------------------------------------------------------------------------------------------

    def events(
        self, from_event_id: str | None = None, *, on_gap: Callable[[Gap], None] | None = None, **filter_: Any
    ) -> Iterator[Event]:
        """Events as they happen, or from a cursor on ("0" is the oldest kept); without end.

        `filter_` takes the fields of EventFilter. A lost connection is made again and read on from the last
        event, so that each comes once; what the stream no longer has by then is told to `on_gap`.
        """
        follower = Follower(self._address, verbs.given(**filter_), from_event_id, on_gap)
        with self._line() as line:
            while True:
                if (event := line.perform(follower.next())) is not None:
                    yield event

    def event_history(self, **params: Any) -> EventPage:
        """A page of the past; `params` are those of `mindswarm.events.getHistory`."""
        return self._make(verbs.event_history(**params))

    # --- anything ----------------------------------------------------------------------------------------

    def call(self, method: str, **params: Any) -> Any:
        """Call any method of the API and return its result as it came."""
        return self._make(any_call(method, params))

    def batch(self, calls: Iterable[tuple[str, Mapping[str, Any]]]) -> Sequence[Any]:
        """Make calls in one request. The answers in their order: a result, or the error as a value."""
        return self._perform(make_batch([any_call(method, params) for method, params in calls], self._address))

    # --- steps -------------------------------------------------------------------------------------------

    def _make(self, call: Call[T]) -> T:
        return self._perform(make(call, self._address))

    def _perform(self, script: Script[T]) -> T:
        with self._line() as line:
            return line.perform(script)

    def _line(self) -> Line:
        return Line(self._http, self._address, self._idle)
