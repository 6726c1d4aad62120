"""Which agent offers a handler, and under which MODULE:ATTR a new process finds that agent."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

from mindswarm_exec.agent import Agent, Handler
from mindswarm_exec.errors import InvalidRequest


def offer_of(wanted: Handler | Callable[..., Any]) -> tuple[Agent, Handler] | None:
    """The agent of an imported module that offers this handler, or function as one; None if none does."""
    for _, agent in _named_agents():
        for handler in agent.handlers.values():
            if handler is wanted or handler.function is wanted:
                return agent, handler
    return None


def target_of(agent: Agent) -> str:
    """MODULE:ATTR of the agent.

    Raises:
        InvalidRequest: it is no attribute of a module that another process can import.
    """
    for target, found in _named_agents():
        if found is agent and not target.startswith("__main__:"):
            return target
    raise InvalidRequest(
        f"agent '{agent.name}' has process handlers, and their processes import the agent: make it a variable of a "
        "module, not of a function."
    )


def _named_agents() -> Iterator[tuple[str, Agent]]:
    for module_name, module in list(sys.modules.items()):
        for attribute, value in list(getattr(module, "__dict__", {}).items()):
            if isinstance(value, Agent):
                yield f"{module_name}:{attribute}", value
