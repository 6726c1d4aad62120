"""The overview's way from one agent to another: paused here, resumed there, as the record tells it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic_core import to_jsonable_python

from mindswarm_exec.demo.overview import Overview, OverviewState, Visit
from mindswarm_exec.models.records import Execution, HistoryEntry, Receipt


@dataclass(frozen=True, slots=True)
class Handover:
    """A pause with its receipt, and how it went on. What did not happen is None."""

    execution_id: str
    files: int  # that the overview goes over
    receipt: Receipt
    paused_on: str | None
    paused_at: int  # the file that the checkpoint stops before, counted from 0
    resumed_at: datetime | None
    resume_reason: str
    resumed_on: str | None
    started_again_at: datetime | None
    finished_at: datetime | None
    attempts: int
    visits: tuple[Visit, ...]  # what each attempt did; empty if there is no result

    def after_ms(self, instant: datetime | None) -> float | None:
        """From the request of the pause to an instant."""
        return None if instant is None else (instant - self.receipt.requested_at).total_seconds() * 1000

    def document(self) -> dict[str, Any]:
        """All of it as JSON."""
        document: dict[str, Any] = to_jsonable_python(self)
        return document


def handover(paused: Execution, ended: Execution, history: Sequence[HistoryEntry]) -> Handover:
    """Read it from the overview as it was while paused, from how it ended, and from its history."""
    assert paused.intent is not None, "what is paused has the receipt of its pause"
    resumed = _first(history, "execution.resumed")
    started = _first(history[history.index(resumed) :], "execution.started") if resumed else None
    return Handover(
        execution_id=ended.execution_id,
        files=file_count(ended),
        receipt=paused.intent,
        paused_on=paused.agent_id,
        paused_at=checkpoint_file(paused),
        resumed_at=resumed.timestamp if resumed else None,
        resume_reason=str(resumed.data.get("reason") or "") if resumed else "",
        resumed_on=str(started.data.get("agent_id")) if started else None,
        started_again_at=started.timestamp if started else None,
        finished_at=ended.finished_at,
        attempts=ended.attempt,
        visits=() if ended.result is None else Overview.model_validate(ended.result).visits,
    )


def checkpoint_file(execution: Execution) -> int:
    """How many files the overview has behind it, by its latest checkpoint."""
    return OverviewState.model_validate(execution.checkpoint or {}).next_file


def file_count(execution: Execution) -> int:
    """How many files the overview is to go over."""
    payload = execution.payload
    files = payload.get("files") if isinstance(payload, dict) else None
    return len(files) if isinstance(files, list) else 0


def _first(history: Sequence[HistoryEntry], event_type: str) -> HistoryEntry | None:
    return next((entry for entry in history if entry.event_type == event_type), None)
