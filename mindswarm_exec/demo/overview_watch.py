"""The overview as the events tell it: how far it is, its pause and its resume, in words. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from mindswarm_exec.cli import cells
from mindswarm_exec.demo.handover import checkpoint_file, file_count
from mindswarm_exec.demo.plan import OVERVIEW
from mindswarm_exec.models.records import Event, Execution


@dataclass
class OverviewWatch:
    """What is known of the overview beside its state. One thread writes it."""

    execution_id: str | None = None  # once it was accepted
    fraction: float = 0.0
    agent_id: str | None = None  # where it ran last
    #: the overview as its pause left it, with the receipt
    paused: Execution | None = None
    is_resumed: bool = False

    def apply(self, event: Event) -> tuple[str, str] | None:
        """Take in an event of the overview; answer what is worth telling, as style and text."""
        agent_id = event.context.agent_id
        match event.event_type:
            case "execution.progress":
                self.fraction, self.agent_id = float(str(event.data.get("fraction") or 0)), agent_id
            case "execution.pause_requested":
                return "bold magenta", f"pause of {OVERVIEW} requested"
            case "execution.started" if self.paused is not None and not self.is_resumed:
                self.is_resumed, self.agent_id = True, agent_id
                return "bold green", f"{OVERVIEW} resumed on {agent_id} from file {checkpoint_file(self.paused)}"
            case "execution.completed" if self.is_resumed:
                self.fraction = 1.0
                return "bold green", f"{OVERVIEW} completed on {agent_id}"
        return None

    def acknowledge(self, paused: Execution) -> str:
        """Take in the overview as its pause left it; answer the line that tells the receipt."""
        self.paused = paused
        receipt = paused.intent
        if receipt is None or receipt.acknowledged_at is None:
            return f"pause of {OVERVIEW} not acknowledged"
        after = cells.duration((receipt.acknowledged_at - receipt.requested_at).total_seconds() * 1000)
        slot = "slot released" if receipt.slot_released_at else "slot still taken"
        return f"acknowledged after {after}, checkpoint at {file_of(paused)}, {slot}"


def file_of(paused: Execution) -> str:
    """Where the overview stands, in words."""
    return f"file {checkpoint_file(paused)} of {file_count(paused)}"
