"""Writes events as the ledger's scripts do: into the stream and onto the channel, in one step."""

from __future__ import annotations

import json
from typing import Any

from redis.asyncio import Redis

_APPEND = """
local id = redis.call('XADD', KEYS[1], ARGV[1], 'seq', ARGV[2], 'type', ARGV[3], 'project_id', ARGV[4],
  'task_id', ARGV[5], 'execution_id', ARGV[6], 'agent_id', ARGV[7], 'source', 'test', 'data', ARGV[8])
if ARGV[9] == '1' then
  redis.call('PUBLISH', KEYS[1], cjson.encode({ id, tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7],
    'test', ARGV[8] }))
end
return id
"""


class EventWriter:
    def __init__(self, client: Redis, namespace: str) -> None:
        self.client = client
        self.stream = f"{{{namespace}}}:events"

    async def append(
        self,
        event_type: str = "execution.progress",
        *,
        seq: int = 1,
        project_id: str = "default",
        task_id: str = "",
        execution_id: str = "",
        agent_id: str = "",
        data: dict[str, Any] | None = None,
        event_id: str = "*",
        published: bool = True,
    ) -> str:
        reply = await self.client.eval(
            _APPEND, 1, self.stream, event_id, seq, event_type, project_id, task_id, execution_id, agent_id,
            json.dumps(data or {}), "1" if published else "0",
        )  # fmt: skip
        return reply.decode() if isinstance(reply, bytes) else str(reply)

    async def append_many(self, count: int, **event: Any) -> list[str]:
        return [await self.append(seq=n + 1, **event) for n in range(count)]
