"""The recorded choice of an agent as a table: who could, who scored what, who was ruled out and by what."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from mindswarm_exec.cli import tables


def explanation(found: Any) -> RenderableType:
    """What `mindswarm.execution.explain` answered."""
    return Group(Text("how its agent was chosen", style="bold"), tables.json_text(found))
