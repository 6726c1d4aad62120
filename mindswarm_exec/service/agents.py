"""AgentManager: the agents as operators see and steer them."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Sequence

from mindswarm_exec.errors import MoveRefused, UnknownAgent
from mindswarm_exec.identifiers import execution_of
from mindswarm_exec.ledger import operations, reads
from mindswarm_exec.ledger.faces import AsyncLedger
from mindswarm_exec.ledger.reads import AgentFacts, Record
from mindswarm_exec.ledger.replies import Absent, Done, Fenced, Refused
from mindswarm_exec.models.records import AgentRecord
from mindswarm_exec.service.actors import control_action, event_data
from mindswarm_exec.service.executions import Publisher
from mindswarm_exec.service.names import nearest
from mindswarm_exec.service.records import agent_record

#: What tells whether an attempt is the present one of its execution, and not settled.
LIFE = ("nonce", "settled")


class AgentManager:
    """List agents; send them to sleep, wake them, drain them."""

    def __init__(self, ledger: AsyncLedger, publisher: Publisher | None = None) -> None:
        self._ledger = ledger
        self._publisher = publisher

    async def list(self) -> list[AgentRecord]:
        """Every registered agent, first registered first; offline ones until their retention has passed."""
        names = await self._ledger.run(reads.agent_ids())
        found = await self._ledger.run_many([reads.agent(name) for name in names])
        return await self._records([facts for facts in found if facts is not None])

    async def get(self, agent_id: str) -> AgentRecord:
        """One agent. Raises UnknownAgent."""
        facts = await self._ledger.run(reads.agent(agent_id))
        if facts is None:
            raise await self._unknown(agent_id)
        (record,) = await self._records([facts])
        return record

    @control_action("sleep")
    async def sleep(self, agent_id: str) -> AgentRecord:
        """The agent takes no work until it is woken; what it runs goes on, and then its hooks run.

        Work wakes it: urgent work that finds nobody free, and any that only sleepers can serve. If such work waits
        for it already, the answer is `waking`.
        """
        return await self._set(agent_id, "sleeping", accepts_work=False, event="agent.sleeping")

    @control_action("wake")
    async def wake(self, agent_id: str) -> AgentRecord:
        """The agent takes work again: after a drain at once, after sleep when its hooks have run (`waking`)."""
        return await self._set(agent_id, "awake", accepts_work=True, event="agent.woken")

    @control_action("drain")
    async def drain(self, agent_id: str) -> AgentRecord:
        """The agent takes no new work; what was queued moves on at once, what it runs at the next checkpoint."""
        return await self._set(agent_id, "draining", accepts_work=False, event="agent.draining")

    async def _set(self, agent_id: str, state: str, *, accepts_work: bool, event: str) -> AgentRecord:
        reply = await self._ledger.run(
            operations.set_agent_state(agent_id, "", state, accepts_work=accepts_work, event=event, data=event_data())
        )
        match reply:
            case Done(wakes=wakes):
                if wakes and self._publisher is not None:
                    await self._publisher.publish(wakes)
                return await self.get(agent_id)
            case Absent() | Fenced():
                raise await self._unknown(agent_id)
            case Refused(status=found):
                raise MoveRefused(
                    f"agent '{agent_id}' cannot become {state}: it is {found}. Start its process first.",
                    agent_id=agent_id,
                    found=found,
                )

    async def _records(self, agents: Sequence[AgentFacts]) -> builtins.list[AgentRecord]:
        """The agents' records; what an agent still holds of attempts that are over is unresponsive."""
        held = [(facts.agent_id, *pair) for facts in agents for pair in facts.held.items()]
        seen = await self._ledger.run_many([reads.fields(execution_of(attempt), LIFE) for _, attempt, _ in held])
        over = {
            (agent_id, attempt)
            for (agent_id, attempt, nonce), x in zip(held, seen, strict=True)
            if _is_over(x, nonce)
        }
        if not over:
            return [agent_record(facts) for facts in agents]
        # an attempt that ended between the two looks has freed its slot by now
        suspects = sorted({agent_id for agent_id, _ in over})
        again = await self._ledger.run_many([reads.agent(agent_id) for agent_id in suspects])
        still = {(facts.agent_id, attempt) for facts in again if facts for attempt in facts.held}
        return [
            agent_record(facts).model_copy(update={"unresponsive": _executions(over & still, facts.agent_id)})
            for facts in agents
        ]

    async def _unknown(self, agent_id: str) -> UnknownAgent:
        return UnknownAgent.of(agent_id, nearest(agent_id, await self._ledger.run(reads.agent_ids())))


def _is_over(x: Record, nonce: str) -> bool:
    """Whether an attempt has been settled, or its execution given to another. A frozen attempt is neither."""
    return x.get("nonce") != nonce or x.get("settled", "").startswith(nonce)


def _executions(attempts: Iterable[tuple[str, str]], agent_id: str) -> tuple[str, ...]:
    return tuple(sorted({execution_of(attempt) for held_by, attempt in attempts if held_by == agent_id}))
