"""The state of the survey as the events tell it. Pure: events and polls in, numbers and lines out."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mindswarm_exec.demo.overview_watch import OverviewWatch
from mindswarm_exec.lifecycle import TERMINAL, Status
from mindswarm_exec.models.records import AgentRecord, Event, Execution, QueueStatus

#: Lines kept on screen: of news, and of what handlers said.
NEWS_KEPT, OUTPUT_KEPT = 8, 3
#: The state that an event of this type leaves an execution in.
_STATE_AFTER = {
    "execution.created": Status.PENDING,
    "execution.queued": Status.QUEUED,
    "execution.started": Status.RUNNING,
    "execution.completed": Status.COMPLETED,
    "execution.failed": Status.FAILED,
    "execution.cancelled": Status.CANCELLED,
    "execution.timed_out": Status.TIMED_OUT,
    "execution.paused": Status.PAUSED,
    "execution.resumed": Status.PENDING,
    "execution.released": Status.PENDING,
    "execution.retry_scheduled": Status.PENDING,
}


@dataclass(frozen=True, slots=True)
class News:
    """A line worth showing: when, how grave, and what."""

    at_seconds: float  # since the survey began
    style: str
    text: str


@dataclass
class Board:
    """What is known of the survey. One thread writes it."""

    total: int
    subjects: dict[str, str] = field(default_factory=dict)  # execution → "lint asyncio/events.py"
    states: dict[str, Status] = field(default_factory=dict)
    done_by: Counter[str] = field(default_factory=Counter)  # agent → completed
    doing: dict[str, str] = field(default_factory=dict)  # agent → what it last said
    released: dict[str, str] = field(default_factory=dict)  # execution → the agent that lost it
    rescued: dict[str, str] = field(default_factory=dict)  # execution → the agent it completed on
    agents: tuple[AgentRecord, ...] = ()
    queue: QueueStatus | None = None
    deepest: dict[int, int] = field(default_factory=dict)  # priority → the most that ever waited at once
    killed: str | None = None  # the agent that the survey has killed
    overview: OverviewWatch = field(default_factory=OverviewWatch)
    news: deque[News] = field(default_factory=lambda: deque(maxlen=NEWS_KEPT))
    output: deque[News] = field(default_factory=lambda: deque(maxlen=OUTPUT_KEPT))
    _holder: dict[str, str] = field(default_factory=dict)

    @property
    def submitted(self) -> int:
        return len(self.subjects)

    @property
    def completed(self) -> int:
        return sum(self.done_by.values())

    @property
    def ended(self) -> int:
        return sum(state in TERMINAL for state in self.states.values())

    @property
    def counts(self) -> Counter[Status]:
        return Counter(self.states.values())

    @property
    def is_over(self) -> bool:
        """Whether all have ended, by the events or, where some of those were missed, by the queue's own count."""
        recorded = self.queue.by_state if self.queue else {}
        return max(self.ended, sum(recorded.get(state, 0) for state in TERMINAL)) >= self.total

    @property
    def fraction(self) -> float:
        return self.ended / self.total if self.total else 1.0

    def submit(self, executions: Mapping[str, str]) -> None:
        """Note what has been accepted: ids with their subjects."""
        self.subjects.update(executions)

    def submit_overview(self, executions: Mapping[str, str]) -> None:
        """Note that the overview, the only one of these, has been accepted."""
        self.submit(executions)
        (self.overview.execution_id,) = executions

    def acknowledge(self, paused: Execution, at_seconds: float) -> None:
        """Take in the overview as its pause left it, with the receipt."""
        self.tell(at_seconds, self.overview.acknowledge(paused), "magenta")

    def tell(self, at_seconds: float, text: str, style: str = "") -> None:
        self.news.append(News(at_seconds, style, text))

    def apply(self, event: Event, at_seconds: float) -> None:
        """Take in one event. The same event twice, or an old one after a newer, changes nothing."""
        execution_id, agent_id = event.context.execution_id, event.context.agent_id
        if execution_id is None:
            if event.event_type == "agent.offline":
                self.tell(at_seconds, f"{agent_id} is offline: its lease was not renewed", "bold red")
            return
        state = _STATE_AFTER.get(event.event_type)
        if state is not None and self.states.get(execution_id) not in TERMINAL:
            self._move(execution_id, agent_id, state, event, at_seconds)
        if execution_id == self.overview.execution_id and (told := self.overview.apply(event)):
            self.tell(at_seconds, told[1], told[0])
        subject = self.subjects.get(execution_id, execution_id[-8:])
        if event.event_type == "execution.progress" and agent_id:
            self.doing[agent_id] = str(event.data.get("message") or subject)
        elif event.event_type == "execution.output":
            self.output.append(News(at_seconds, "dim", str(event.data.get("text") or "").strip()))

    def poll(self, agents: Iterable[AgentRecord], queue: QueueStatus) -> None:
        """Take in the agents and the queue as they are now."""
        self.agents, self.queue = tuple(agents), queue
        for name, count in queue.by_priority.items():
            level = int(name)
            self.deepest[level] = max(self.deepest.get(level, 0), count)

    @property
    def overview_state(self) -> Status | None:
        """The state of the overview, by the events so far."""
        return self.states.get(self.overview.execution_id or "")

    def is_offline(self, agent_id: str) -> bool:
        return any(agent.agent_id == agent_id and agent.state == "offline" for agent in self.agents)

    def running_on(self, agent_id: str) -> list[str]:
        """The executions that run on an agent, by the events so far."""
        return [
            name
            for name, holder in self._holder.items()
            if holder == agent_id and self.states.get(name) is Status.RUNNING
        ]

    def _move(self, execution_id: str, agent_id: str | None, state: Status, event: Event, at_seconds: float) -> None:
        self.states[execution_id] = state
        subject = self.subjects.get(execution_id, execution_id[-8:])
        if state in (Status.QUEUED, Status.RUNNING) and agent_id:
            self._holder[execution_id] = agent_id
        elif event.event_type == "execution.released":
            lost_by = agent_id or self._holder.get(execution_id, "an agent")
            self.released[execution_id] = lost_by
            self.tell(at_seconds, f"released from {lost_by}: {subject}", "bold yellow")
        elif state is Status.COMPLETED and agent_id:
            self.done_by[agent_id] += 1
            if execution_id in self.released:
                self.rescued[execution_id] = agent_id
                self.tell(at_seconds, f"completed on {agent_id} instead: {subject}", "bold green")
        elif state in TERMINAL:
            self.tell(at_seconds, f"{state.value}: {subject}", "bold red")
