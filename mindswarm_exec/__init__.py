"""MindSwarm Exec: runs agents' work on Celery and Redis.

    from mindswarm_exec import Agent, ExecutionContext

Clients live in `mindswarm_exec.client` (over the wire) and `mindswarm_exec.direct` (straight on the ledger).
"""

from mindswarm_exec.agent import Agent
from mindswarm_exec.context import ExecutionCancelled, ExecutionContext, SyncExecutionContext
from mindswarm_exec.errors import MindSwarmError

__all__ = ["Agent", "ExecutionCancelled", "ExecutionContext", "MindSwarmError", "SyncExecutionContext"]
