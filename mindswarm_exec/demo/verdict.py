"""Did every execution complete exactly once, the paused one included? Judged from the ledger's own record. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mindswarm_exec.demo.handover import Handover
from mindswarm_exec.models.records import Execution, HistoryEntry

COMPLETED = "execution.completed"
RELEASED = "execution.released"
RETRIED = "execution.retry_scheduled"
PAUSED = "execution.paused"

Histories = Mapping[str, Sequence[HistoryEntry]]


@dataclass(frozen=True, slots=True)
class Moved:
    """An execution that was taken back from a lost agent: what it was, and where it ended."""

    execution_id: str
    task_type: str
    subject: str
    from_agent: str
    to_agent: str | None


def objections(expected: Sequence[str], found: Sequence[Execution], histories: Histories) -> list[str]:
    """What speaks against "every execution completed exactly once", a sentence each; none is what we want."""
    by_id = {execution.execution_id: execution for execution in found}
    told = [f"{name} is not in the record" for name in expected if name not in by_id]
    told += [f"{name} was never submitted by this survey" for name in by_id if name not in set(expected)]
    for name, execution in by_id.items():
        told += _objections_to(execution, histories.get(name, ()))
    counts = Counter(expected)
    told += [f"{name} stands for {count} submissions" for name, count in counts.items() if count > 1]
    return told


def control_objections(found: Handover | None) -> list[str]:
    """What speaks against "paused at a checkpoint, and gone on from there on another agent", a sentence each."""
    if found is None:
        return ["the overview was never paused"]
    told = []
    if found.receipt.acknowledged_at is None or found.receipt.checkpoint_id is None:
        told.append("the pause of the overview was not acknowledged at a checkpoint")
    if found.receipt.slot_released_at is None:
        told.append(f"the paused overview still held its slot on {found.paused_on}")
    if found.resumed_on is None:
        told.append("the overview did not go on after its pause")
    elif found.resumed_on == found.paused_on:
        told.append(f"the overview went on on {found.resumed_on} again, not on another agent")
    return told + _objections_to_visits(found)


def moved(found: Sequence[Execution], histories: Histories) -> list[Moved]:
    """Every execution that was taken back, with the agent that it was first taken from and the one it ended on."""
    return [
        Moved(
            execution.execution_id,
            execution.task_type,
            subject(execution),
            _lost_by(histories.get(execution.execution_id, ())),
            execution.agent_id,
        )
        for execution in found
        if any(entry.event_type == RELEASED for entry in histories.get(execution.execution_id, ()))
    ]


def subject(execution: Execution) -> str:
    """The file that an execution looks at."""
    payload = execution.payload
    return str(payload.get("shown_as", "")) if isinstance(payload, dict) else ""


def _objections_to(execution: Execution, history: Sequence[HistoryEntry]) -> list[str]:
    told = []
    name = execution.execution_id
    if execution.status != "completed":
        why = f": {execution.error.type} {execution.error.message}" if execution.error else ""
        told.append(f"{name} ({subject(execution)}) is {execution.status.value}, not completed{why}")
    completions = sum(entry.event_type == COMPLETED for entry in history)
    if completions != 1:
        told.append(f"{name} has {completions} completed events, not 1")
    if [entry.seq for entry in history] != sorted({entry.seq for entry in history}):
        told.append(f"{name} has a record that is out of order")
    given_up = sum(map(_gives_up, history))
    if execution.attempt != 1 + given_up:
        told.append(f"{name} took {execution.attempt} attempts, of which {given_up} were given up")
    return told


def _gives_up(entry: HistoryEntry) -> bool:
    """Whether an attempt ended there, and its execution did not. A pause of what only waited names no attempt."""
    return entry.event_type in (RELEASED, RETRIED) or (entry.event_type == PAUSED and "attempt" in entry.data)


def _objections_to_visits(found: Handover) -> list[str]:
    """Each attempt has to begin where the one before it stopped, the second at the checkpoint of the pause."""
    told = []
    if len(found.visits) > 1 and found.visits[1].first != found.paused_at:
        told.append(
            f"the overview went on from file {found.visits[1].first}, not from its checkpoint at {found.paused_at}"
        )
    visited = 0
    for visit in found.visits:
        if visit.first != visited:
            told.append(f"attempt {visit.attempt} of the overview began at file {visit.first}, not at {visited}")
        visited += visit.files
    if found.visits and visited != found.files:
        told.append(f"the overview visited {visited} files, not {found.files}")
    if found.visits and len(found.visits) < 2:
        told.append("the overview was done in a single attempt")
    return told


def _lost_by(history: Sequence[HistoryEntry]) -> str:
    """The agent named by the first release, or by what came before it."""
    holder = "an agent"
    for entry in history:
        named = entry.data.get("agent_id") or entry.data.get("agent")
        if isinstance(named, str) and named:
            holder = named
        if entry.event_type == RELEASED:
            return holder
    return holder
