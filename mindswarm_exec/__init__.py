"""MindSwarm Exec: runs agents' work on Celery and Redis.

    from mindswarm_exec import Agent, ExecutionContext

Clients live in `mindswarm_exec.client` (over the wire) and `mindswarm_exec.direct` (straight on the ledger).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mindswarm_exec.agent import Agent
    from mindswarm_exec.context import ExecutionCancelled, ExecutionContext, SyncExecutionContext
    from mindswarm_exec.errors import MindSwarmError

__all__ = ["Agent", "ExecutionCancelled", "ExecutionContext", "MindSwarmError", "SyncExecutionContext"]

_HOMES = {
    "Agent": "agent",
    "ExecutionCancelled": "context",
    "ExecutionContext": "context",
    "MindSwarmError": "errors",
    "SyncExecutionContext": "context",
}


def __getattr__(name: str) -> Any:
    """Import the SDK when it is asked for: a command line that only speaks to the API starts without it."""
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
