"""What tests of agents need: `run` for one handler without a server, and the pytest fixture `swarm`.

    from mindswarm_exec.testing import run

Installed with the extra `testing`; pytest finds the fixtures by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mindswarm_exec.testing.rehearsal import Rehearsal, run
    from mindswarm_exec.testing.swarm import Swarm, SwarmHandle
    from mindswarm_exec.testing.swarm_agent import SwarmAgent

__all__ = ["Rehearsal", "Swarm", "SwarmAgent", "SwarmHandle", "run"]

_HOMES = {
    "Rehearsal": "rehearsal",
    "Swarm": "swarm",
    "SwarmAgent": "swarm_agent",
    "SwarmHandle": "swarm",
    "run": "rehearsal",
}


def __getattr__(name: str) -> Any:
    """Import when asked: pytest loads the plugin in every project of its environment, and most need none of this."""
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
