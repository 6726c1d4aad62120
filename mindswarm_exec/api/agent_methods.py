"""`mindswarm.agent.*`: anyone may look; to steer an agent, which serves every project, takes an admin's key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from mindswarm_exec.api.caller import Caller
from mindswarm_exec.api.jsonrpc import Method
from mindswarm_exec.errors import Forbidden, LedgerUnavailable, MoveRefused, UnknownAgent
from mindswarm_exec.models import params
from mindswarm_exec.models.options import WireModel
from mindswarm_exec.models.records import AgentRecord

if TYPE_CHECKING:
    from mindswarm_exec.service import Services

_LOOK = (UnknownAgent, LedgerUnavailable)
_STEER = (*_LOOK, MoveRefused, Forbidden)


class AgentList(WireModel):
    agents: tuple[AgentRecord, ...] = Field(description="first registered first")


class AgentMethods:
    def __init__(self, services: Services) -> None:
        self._agents = services.agents

    def rows(self) -> list[Method[Caller]]:
        name = "mindswarm.agent.{}".format
        # fmt: off
        return [
            Method(name("list"), params.Nothing, AgentList, self.list, "Every agent.", (LedgerUnavailable,)),
            Method(name("get"), params.OneAgent, AgentRecord, self.get, "One agent.", _LOOK),
            Method(name("sleep"), params.OneAgent, AgentRecord, self.sleep,
                   "The agent takes no work until it is woken; what it runs goes on.", _STEER),
            Method(name("wake"), params.OneAgent, AgentRecord, self.wake,
                   "The agent takes work again, after sleep or a drain.", _STEER),
            Method(name("drain"), params.OneAgent, AgentRecord, self.drain,
                   "The agent takes no new work; what was queued for it moves on.", _STEER),
        ]
        # fmt: on

    async def list(self, caller: Caller, _: params.Nothing) -> AgentList:
        return AgentList(agents=tuple(_shown(caller, agent) for agent in await self._agents.list()))

    async def get(self, caller: Caller, asked: params.OneAgent) -> AgentRecord:
        return _shown(caller, await self._agents.get(asked.agent_id))

    async def sleep(self, caller: Caller, asked: params.OneAgent) -> AgentRecord:
        caller.must_be_admin("sending an agent to sleep")
        return await self._agents.sleep(asked.agent_id)

    async def wake(self, caller: Caller, asked: params.OneAgent) -> AgentRecord:
        caller.must_be_admin("waking an agent")
        return await self._agents.wake(asked.agent_id)

    async def drain(self, caller: Caller, asked: params.OneAgent) -> AgentRecord:
        caller.must_be_admin("draining an agent")
        return await self._agents.drain(asked.agent_id)


def _shown(caller: Caller, agent: AgentRecord) -> AgentRecord:
    """What it holds may belong to any project, so only admins see that."""
    return agent if caller.is_admin else agent.model_copy(update={"held": (), "unresponsive": ()})
