"""What monitoring asks: the system in numbers, at one moment and since its ledger began."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from mindswarm_exec.ledger import reads
from mindswarm_exec.ledger.faces import AsyncLedger
from mindswarm_exec.lifecycle import CANCEL, COMPLETE, CREATE, FAIL, PENDING, TIME_OUT
from mindswarm_exec.models.records import QueueStatus
from mindswarm_exec.service.queue import queue_status

#: Delayed work that may run within this many milliseconds is work in hand: a new agent takes about as long to come.
SOON_MS = 60_000
#: Deadlines looked at to find it; with more than these within a minute the count falls short.
MOST_READ = 1000
#: By outcome: the event that counts it. A retry by hand, and then another end, counts again.
OUTCOMES = {row.target.value: row.event for row in (COMPLETE, FAIL, CANCEL, TIME_OUT)}


@dataclass(frozen=True, slots=True)
class Readings:
    """`events` and what derives from it count since the ledger began; all else is the present."""

    queue: QueueStatus
    waiting_by_task_type: dict[str, int]
    soon_due: int
    sweep_age_ms: int | None
    events: dict[str, int]

    @property
    def submissions(self) -> int:
        return self.events.get(CREATE.event, 0)

    @property
    def completions(self) -> dict[str, int]:
        return {outcome: self.events.get(event, 0) for outcome, event in OUTCOMES.items()}

    @property
    def work_in_hand(self) -> int:
        """What agents are needed for: work that waits for one, that has a slot of one, or soon will want one.

        A slot is held by what is queued, runs, is frozen in place, or was fenced and has code that goes on.
        """
        return self.queue.waiting + self.queue.slots_taken + self.soon_due


class Monitoring:
    """Reads the ledger for those who watch over it."""

    def __init__(self, ledger: AsyncLedger) -> None:
        self._ledger = ledger

    async def read(self) -> Readings:
        """The system in numbers. What it costs grows with agents and demand classes, not with the backlog."""
        queue = await queue_status(self._ledger, None)
        now_ms = await self._ledger.run(reads.server_time_ms())
        swept_at_ms = await self._ledger.run(reads.swept_at_ms())
        waiting: Counter[str] = Counter()
        for depth in queue.by_class:
            waiting[depth.task_type] += depth.waiting
        return Readings(
            queue=queue,
            waiting_by_task_type=dict(waiting),
            soon_due=await self._soon_due(now_ms),
            sweep_age_ms=None if swept_at_ms is None else max(0, now_ms - swept_at_ms),
            events=await self._ledger.run(reads.event_counts()),
        )

    async def _soon_due(self, now_ms: int) -> int:
        """Executions whose start time or retry delay ends soon."""
        due = await self._ledger.run(reads.due_executions(now_ms + SOON_MS, MOST_READ))
        found = await self._ledger.run_many([reads.fields(one, ("status", "place")) for one in due])
        return sum(one.get("status") == PENDING and one.get("place") == "delay" for one in found)
