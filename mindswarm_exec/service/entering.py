"""What holds an execution that enters, stage by stage, as the ledger decides it: time, concurrency key, agents. Pure.

Mirrors `enter` of the scripts; property tests hold the two together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mindswarm_exec.ledger.looks import Look
from mindswarm_exec.lifecycle import CANCEL, PAUSED, PENDING
from mindswarm_exec.models.options import DemandClass
from mindswarm_exec.models.records import WaitingFor
from mindswarm_exec.selection import is_free, reaches
from mindswarm_exec.service.standing import Standing, no_agent
from mindswarm_exec.service.waiting import delayed_until, held_back, start_of


@dataclass(frozen=True)
class Entrant:
    """What is looked at when an execution enters. `start` is its instant, and whether that is a retry delay."""

    demand: DemandClass
    start: tuple[int, bool] | None
    concurrency_key: str
    concurrency_limit: int
    force_start: bool

    def at_the_door(self, look: Look) -> Iterator[WaitingFor]:
        """What holds it before any agent is looked for."""
        if self.start is not None and self.start[0] > look.now_ms:
            yield delayed_until(look, self.start[0], is_retry=self.start[1])
        yield from self.at_its_key(look)

    def at_its_key(self, look: Look) -> Iterator[WaitingFor]:
        if self.concurrency_key and look.permits_held >= self.concurrency_limit:
            yield held_back(look, self.concurrency_key, self.concurrency_limit)

    def in_its_lane(self, look: Look, found: Sequence[Standing]) -> Iterator[WaitingFor]:
        """That no agent takes it; nothing if one does."""
        if not any(self._takes(one) for one in found):
            yield no_agent(look, self.demand, found)

    def _takes(self, one: Standing) -> bool:
        if not one.suits or not reaches(self.demand, one.agent):
            return False
        return is_free(self.demand, one.agent) or (self.force_start and one.agent.accepts_work)


def what_follows(look: Look, demand: DemandClass, found: Sequence[Standing]) -> tuple[WaitingFor, ...] | None:
    """What would hold an execution next, were the cause for which it waits gone now. None: the look does not tell."""
    fields = look.fields
    status, place = fields["status"], fields.get("place")
    if status == PAUSED and ("frozen" in fields or fields.get("intent_kind") == CANCEL.name):
        return ()  # it goes on where it stands, or ends
    if status not in (PAUSED, PENDING) or place == "lane":
        return ()
    if not look.sees_who_suits:
        return None
    key, limit = fields.get("concurrency_key", ""), int(fields.get("concurrency_limit", 1))
    entrant = Entrant(demand, start_of(fields), key, limit, "force_start" in fields)
    match place:
        case "delay":
            held = entrant.at_its_key(look)
        case "concurrency":
            held = iter(())
        case _:
            held = entrant.at_the_door(look)
    return (*held, *entrant.in_its_lane(look, found))
