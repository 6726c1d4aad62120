"""Clients of the API, over HTTP and WebSocket: `ExecutionClient` for threads, `AsyncExecutionClient` for asyncio.

What is said on the wire is written once, in `wire`, `verbs`, `calling`, `session`, `ends` and `following`, which do
no input or output. `blocking` and `asynchronous` do it, each in its own way.
"""

from mindswarm_exec.client.asynchronous import AsyncExecutionClient, AsyncExecutionHandle
from mindswarm_exec.client.blocking import ExecutionClient, ExecutionHandle
from mindswarm_exec.models.params import UNCHANGED

__all__ = ["UNCHANGED", "AsyncExecutionClient", "AsyncExecutionHandle", "ExecutionClient", "ExecutionHandle"]
