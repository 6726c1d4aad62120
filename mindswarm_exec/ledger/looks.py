"""One look at the ledger that shows all there is to know about where an execution stands, at one moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple


class PastState(NamedTuple):
    """A state that an agent was in from `since_ms` on, after so many matches had been made."""

    since_ms: int
    uses: int
    state: str
    accepts_work: bool

    @classmethod
    def of(cls, stored: str) -> PastState:
        since_ms, uses, state, accepts_work = stored.split(" ")
        return cls(int(since_ms), int(uses), state, accepts_work == "1")


class SeenAgent(NamedTuple):
    """A registered agent. `profile` is JSON; `success_rate` is on the task type asked about, None at first.

    `past_states` are its latest changes of state as its record has them, newest first; empty where no choice is to
    be explained. `state_at` reads them.
    """

    agent_id: str
    profile: str
    state: str
    accepts_work: bool
    max_concurrent: int
    last_used: int
    passed_over: bool
    registered_at_ms: int
    lease_expires_at_ms: int
    success_rate: float | None
    load: int
    past_states: str = ""

    def state_at(self, at_ms: int, use: int) -> PastState | None:
        """The state that it was in when the match of that instant and number was made; None: that is forgotten."""
        changes = [PastState.of(stored) for stored in self.past_states.split(";") if stored]
        if not changes or (changes[0].state, changes[0].accepts_work) != (self.state, self.accepts_work):
            return None  # a change was not noted: its process is of an earlier version
        return next((one for one in changes if (one.since_ms, one.uses) < (at_ms, use)), None)


@dataclass(frozen=True, slots=True)
class SeenAhead:
    """An execution that goes before the one looked at."""

    execution_id: str
    project_id: str


@dataclass(frozen=True, slots=True)
class SeenHolder:
    """An execution that holds a permit of the concurrency key; `agent_id` is empty before its first choice."""

    execution_id: str
    status: str
    agent_id: str


@dataclass(frozen=True, slots=True)
class SpentBudget:
    """The budget that a paused execution is stopped by: its own, or that of an ancestor that has not ended."""

    owner_id: str
    meter: str
    spent: float
    limit: float


@dataclass(frozen=True, slots=True)
class Look:
    """What stood in the ledger at `now_ms`. For a mere thought, `execution_id` and `fields` are empty.

    `agents` are in the order of their registration: all that are registered, or of more than were asked for those
    that suit it first. That needs its class to be known; a class that nothing has waited for yet, or not for long,
    is not. `ahead` and the like are nought for what waits in no lane.
    """

    execution_id: str
    now_ms: int
    swept_at_ms: int | None
    fields: dict[str, str]
    agents: tuple[SeenAgent, ...]
    agents_registered: int
    class_is_known: bool
    lane_ahead: int
    lane_length: int
    #: in other lanes that its agents serve too; None: there are too many lanes to look at
    ahead_elsewhere: int | None
    near: tuple[SeenAhead, ...]
    permits_held: int
    permit_holders: tuple[SeenHolder, ...]
    permits_ahead: int
    #: the first that waits for a permit of its key, and how many that one admits
    permit_next: tuple[str, int] | None
    last_agent_id: str | None
    spent_budget: SpentBudget | None
    #: what one more agent would have taken up, and whether the latest use of the affinity key is among it
    taken_up: int
    took_affinity: bool

    @property
    def sees_every_agent(self) -> bool:
        return len(self.agents) == self.agents_registered

    @property
    def sees_who_suits(self) -> bool:
        """Whether no agent that suits it can have been left out, unless as many others suit it too."""
        return self.class_is_known or self.sees_every_agent


def read_look(reply: Any) -> Look | None:
    match reply[0]:
        case "ok":
            return _seen(*reply[1:])
        case "absent":
            return None
    raise AssertionError(reply)


def _seen(
    execution_id: str,
    now_ms: str,
    swept_at: str,
    fields: Sequence[str],
    agents: Sequence[Any],
    registered: Sequence[Any],
    lane: Sequence[Any],
    permits: Sequence[Any],
    last: str,
    budget: Sequence[str],
    taken: Sequence[Any],
) -> Look:
    return Look(
        execution_id=execution_id,
        now_ms=int(now_ms),
        swept_at_ms=int(swept_at) if swept_at else None,
        fields=dict(zip(fields[::2], fields[1::2], strict=True)),
        agents=tuple(sorted(map(_agent, agents), key=lambda seen: (seen.registered_at_ms, seen.agent_id))),
        agents_registered=int(registered[0]),
        class_is_known=registered[1] == "1",
        lane_ahead=int(lane[0]),
        lane_length=int(lane[1]),
        ahead_elsewhere=None if int(lane[2]) < 0 else int(lane[2]),
        near=tuple(SeenAhead(*pair) for pair in zip(lane[3][::2], lane[3][1::2], strict=True)),
        permits_held=int(permits[0]),
        permit_holders=tuple(sorted(map(_holder, zip(*(permits[1][i::3] for i in range(3)), strict=True)), key=str)),
        permits_ahead=int(permits[2]),
        permit_next=(permits[3][0], int(permits[3][1])) if permits[3] else None,
        last_agent_id=last or None,
        spent_budget=SpentBudget(budget[0], budget[1], float(budget[2]), float(budget[3])) if budget else None,
        taken_up=int(taken[0]),
        took_affinity=taken[1] == "1",
    )


def _holder(facts: Sequence[str]) -> SeenHolder:
    return SeenHolder(*facts)


def _agent(facts: Sequence[Any]) -> SeenAgent:
    agent_id, profile, state, accepts, most, last_used, passed_over, registered_at, lease, rate, load, past = facts
    return SeenAgent(
        agent_id,
        profile,
        state,
        accepts == "1",
        int(most),
        int(last_used or 0),
        passed_over is not None,
        int(registered_at),
        int(lease),
        None if rate is None else float(rate),
        int(load),
        past,
    )
