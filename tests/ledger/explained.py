"""Random worlds to be explained: agents in every state, executions that wait for every cause; and ways back."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import redis
from hypothesis import strategies as st

from mindswarm_exec.identifiers import new_nonce
from mindswarm_exec.ledger import operations
from mindswarm_exec.ledger.faces import AsyncLedger, connect_async
from mindswarm_exec.ledger.operations import Settlement
from mindswarm_exec.lifecycle import PAUSE, POSTPONE
from mindswarm_exec.models.explanations import Explanation
from mindswarm_exec.models.options import AgentSelectionCriteria, Constraint, ExecutionOptions
from mindswarm_exec.service.executions import ExecutionService
from mindswarm_exec.settings import Settings
from tests.ledger.model import Model, ModelAttempt
from tests.ledger.world import World

T = TypeVar("T")

AGENTS = ("a-1", "a-2", "a-3", "a-4")
#: Beyond those that submissions name.
CROWD = (*AGENTS, "a-5", "a-6", "a-7", "a-8")
STATES = ("awake", "awake", "awake", "sleeping", "waking", "passed over", "told to sleep", "draining", "offline")
STATES_AT_LAST = (*STATES, "unopened", "another")
#: What is done to an execution when it is there.
DEEDS = ("nothing", "nothing", "nothing", "pause", "ask", "spend", "fail", "freeze")

constraints = st.sampled_from([
    Constraint(label="mem", op=">=", value=8),
    Constraint(label="region", op="exists"),
    Constraint(label="tier", op="in", value=("gold", 1)),
])  # fmt: skip
#: Labels that meet all of them.
MEETS_ALL: dict[str, Any] = {"mem": 16, "region": "eu", "tier": "gold"}

profiles = st.fixed_dictionaries({
    "task_types": st.sampled_from([["t"], ["t"], ["t", "u"], ["u"]]),
    "capabilities": st.sampled_from([[], ["gpu"], ["gpu", "web"]]),
    "labels": st.sampled_from([{}, {"mem": 8}, MEETS_ALL]),
})  # fmt: skip
agents = st.fixed_dictionaries({
    "profile": profiles,
    "slots": st.integers(1, 3),
    "rate": st.sampled_from([0.0, 0.5, 0.93, 1.0, 1.0]),
    "state": st.sampled_from(STATES_AT_LAST),
})  # fmt: skip


def now_and_then(strategy: st.SearchStrategy[T]) -> st.SearchStrategy[T | None]:
    return st.integers(0, 4).flatmap(lambda n: strategy if n == 4 else st.none())


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _criteria(values: dict[str, Any]) -> AgentSelectionCriteria:
    """Who is wanted is not excluded: that would be refused."""
    wanted = {values["agent_id"], values["preferred_agent_id"]}
    excluded = frozenset(values["excluded_agents"] or ()) - wanted
    return AgentSelectionCriteria(**_given(values | {"excluded_agents": excluded or None}))


criteria = st.fixed_dictionaries({
    "agent_id": now_and_then(st.sampled_from(AGENTS)),
    "preferred_agent_id": now_and_then(st.sampled_from(AGENTS)),
    "required_capabilities": now_and_then(st.sampled_from([frozenset({"gpu"}), frozenset({"web", "gpu"})])),
    "constraints": now_and_then(st.tuples(constraints)),
    "excluded_agents": now_and_then(st.frozensets(st.sampled_from(AGENTS), min_size=1, max_size=2)),
    "affinity_key": st.sampled_from([None, "k", "l"]),
    "min_success_rate": now_and_then(st.sampled_from([0.5, 0.95, 1.0])),
}).map(_criteria)  # fmt: skip
submissions = st.fixed_dictionaries({
    "task_type": st.sampled_from(["t"] * 6 + ["u", "v"]),
    "priority": st.sampled_from([0, 5, 5, 9]),
    "agent": criteria,
    "concurrency_key": now_and_then(st.just("key")),
    "concurrency_limit": st.sampled_from([1, 1, 2]),
    "allow_parallel": now_and_then(st.just(False)),
    "force_start": now_and_then(st.just(True)),
    "start_in": now_and_then(st.just(50)),
    "deed": st.sampled_from(DEEDS),
})  # fmt: skip
worlds = st.fixed_dictionaries({
    "agents": st.lists(agents, min_size=1, max_size=4),
    "before": st.lists(submissions, min_size=3, max_size=8),
    "after": st.lists(submissions, max_size=4),
})  # fmt: skip
#: Many agents, few of which differ in what they can do; few executions, so that many agents are free.
crowds = st.fixed_dictionaries({
    "agents": st.lists(agents, min_size=5, max_size=8),
    "before": st.lists(submissions, max_size=5),
    "after": st.lists(submissions, max_size=3),
})  # fmt: skip


@dataclass(frozen=True)
class Saved:
    """All keys of a namespace, and the model that goes with them."""

    keys: dict[bytes, bytes]
    model: Model
    ids: int


class Explained:
    """A world with the service that explains it. It can be put back to what it was."""

    def __init__(self, url: str, settings: Settings) -> None:
        self.world = World(url, settings)
        self._loop = asyncio.new_event_loop()
        self._ledger = AsyncLedger(connect_async(url, settings), settings, test_clock=True)
        self.service = ExecutionService(self._ledger, settings)
        self._raw = redis.Redis.from_url(url)

    def close(self) -> None:
        self.world.close()
        self.ask(self._ledger.close())
        self._loop.close()
        self._raw.close()

    def ask(self, asked: Awaitable[T]) -> T:
        """Await a verb of the service."""
        return self._loop.run_until_complete(_awaited(asked))

    def save(self) -> Saved:
        names = self._raw.keys(self.world.ledger.keys.prefix + "*")
        return Saved({name: self._raw.dump(name) for name in names}, copy.deepcopy(self.world.model), self.world._ids)

    def restore(self, saved: Saved) -> None:
        if names := self._raw.keys(self.world.ledger.keys.prefix + "*"):
            self._raw.unlink(*names)
        for name, value in saved.keys.items():
            self._raw.restore(name, 0, value)
        self.world.model, self.world._ids = copy.deepcopy(saved.model), saved.ids

    # --- how it comes about ------------------------------------------------------------------------------

    def build(self, drawn: dict[str, Any]) -> None:
        """Agents, work, states of the agents, more work: in this order, so that each state meets work."""
        named = list(zip(CROWD, drawn["agents"], strict=False))
        for agent_id, facts in named:
            for task_type in ("t", "u"):
                self._raw.hset(self.world.ledger.keys.of("success", agent_id), task_type, facts["rate"])
            self.world.open_agent(agent_id, facts["slots"], **facts["profile"])
        for submission in drawn["before"]:
            self.submit(submission)
        for agent_id, facts in named:
            self.bring(agent_id, facts)
        for submission in drawn["after"]:
            self.submit(submission)

    def options(self, submission: dict[str, Any]) -> ExecutionOptions:
        names = ("priority", "agent", "concurrency_key", "concurrency_limit", "allow_parallel", "force_start")
        chosen = _given({name: submission[name] for name in names})
        if submission["start_in"]:
            chosen["start_at"] = self.world.now() + timedelta(seconds=submission["start_in"])
        if submission["deed"] == "spend":
            chosen["resource_limits"] = {"meters": {"tokens": 10}}
        return ExecutionOptions.model_validate(chosen)

    def submit(self, submission: dict[str, Any]) -> str | None:
        execution_id = self.world.submit(submission["task_type"], self.options(submission))
        if execution_id is not None:
            self._do(submission["deed"], execution_id)
        return execution_id

    def _do(self, deed: str, execution_id: str) -> None:
        world, status = self.world, self.world.snapshot().status_of(execution_id)
        if deed == "pause" and status == "pending":
            world.run(operations.pause(execution_id, new_nonce(), "budget", '{"reason":"budget"}'))
        if status != "queued" or deed in ("nothing", "pause"):
            return
        attempt = world.running(execution_id)
        match deed:
            case "ask":
                question = {"question_id": "q", "prompt": "go on?", "asked_at": world.now().isoformat()}
                fields: dict[str, str | int | float] = {"question": json.dumps(question), "question_id": "q"}
                world.settle(attempt, Settlement(PAUSE, data='{"question_id":"q"}'), fields=fields)
            case "spend":
                for _ in range(2):
                    world.run(operations.meter(attempt.held, new_nonce(), "tokens", 10.0))
                world.settle(attempt, Settlement(PAUSE), fields={})
            case "fail":
                world.settle(attempt, Settlement(POSTPONE, outcome="0", delay_ms=20_000, data='{"delay_ms":20000}'))
            case "freeze":
                world.run(operations.pause(execution_id, new_nonce(), "", "{}"))
                world.run(operations.freeze(attempt.held, "{}"))

    def bring(self, agent_id: str, facts: dict[str, Any]) -> None:
        """Bring an agent into a state, as far as its work lets it."""
        world, incarnation = self.world, self.world.model.agents[agent_id].incarnation
        match facts["state"]:
            case "sleeping":
                world.sleep(agent_id)
            case "told to sleep":
                world.sleep_by_hand(agent_id)
            case "waking":
                world.sleep(agent_id)
                world.wake_by_hand(agent_id)
            case "passed over":
                world.sleep(agent_id)
                world.wake_by_hand(agent_id)
                world.run(operations.pass_over(agent_id, incarnation))
            case "draining":
                closing = operations.set_agent_state(agent_id, "", "draining", accepts_work=False)
                world.run(closing)
            case "offline":
                world.advance(world.settings.lease_seconds + 1)
                for lost in getattr(world.expire_lease(agent_id), "lost", ()):
                    world.settle_lost(agent_id, lost)
            case "unopened":
                for lost in world.register(agent_id, world.model.agents[agent_id].profile, facts["slots"]):
                    world.settle_lost(agent_id, lost)
            case "another":
                world.open_agent(agent_id, facts["slots"], task_types=["w"])

    # --- how it goes on ----------------------------------------------------------------------------------

    def held_by(self, agent_id: str) -> list[ModelAttempt]:
        """The attempts that an agent holds and that still count."""
        held = self.world.snapshot().held(agent_id)
        known = ((attempt.partition(".")[0], nonce) for attempt, nonce in held.items())
        return [self.world.model.attempts[pair] for pair in known]

    def finish(self, attempt: ModelAttempt, how: Settlement) -> None:
        """Settle an attempt, claimed before if it was not; a frozen one goes on first."""
        record = self.world.snapshot().executions[attempt.execution_id]
        if record["status"] == "queued":
            self.world.running(attempt.execution_id)
        elif "frozen" in record:
            self.world.run(operations.resume(attempt.execution_id, new_nonce(), "{}", {}, checkpoint_replaced=False))
        self.world.settle(attempt, how)


def begin(on: Explained, drawn: dict[str, Any]) -> None:
    """Build it where nothing is."""
    on.world._clear()
    on.world.model = type(on.world.model)()
    on.build(drawn)


def explain(on: Explained, execution_id: str) -> Explanation:
    return on.ask(on.service.explain(execution_id))


async def _awaited(asked: Awaitable[T]) -> T:
    return await asked
