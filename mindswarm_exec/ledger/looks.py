"""One look at the ledger that shows all there is to know about where an execution stands, at one moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class SeenAgent:
    """A registered agent. `profile` is JSON; `success_rate` is on the task type asked about, None at first."""

    agent_id: str
    profile: str
    state: str
    accepts_work: bool
    max_concurrent: int
    last_used: int
    passed_over: bool
    registered_at_ms: int
    success_rate: float | None
    load: int


@dataclass(frozen=True, slots=True)
class SeenAhead:
    """An execution that goes before the one looked at."""

    execution_id: str
    project_id: str


@dataclass(frozen=True, slots=True)
class SeenWaiting:
    """One of the first in a lane: its rank, and what a new agent would remember of it."""

    class_id: str
    demand: str
    rank: int
    project_id: str
    affinity_key: str


@dataclass(frozen=True, slots=True)
class Look:
    """What stood in the ledger at `now_ms`. `fields` is the record of the execution, empty for a mere thought.

    `agents` are in the order of their registration; `waiting` only names what was asked for.
    """

    now_ms: int
    fields: dict[str, str]
    agents: tuple[SeenAgent, ...]
    agents_registered: int
    lane_ahead: int
    lane_length: int
    lane_near: tuple[SeenAhead, ...]
    permits_held: int
    permit_holders: tuple[str, ...]
    permits_ahead: int
    last_agent_id: str | None
    waiting: tuple[SeenWaiting, ...] = ()


def read_look(reply: Any) -> Look | None:
    match reply[0]:
        case "ok":
            _, now_ms, fields, agents, registered, lane, permits, last, waiting = reply
            return Look(
                now_ms=int(now_ms),
                fields=dict(zip(fields[::2], fields[1::2], strict=True)),
                agents=tuple(sorted(map(_agent, agents), key=lambda seen: (seen.registered_at_ms, seen.agent_id))),
                agents_registered=int(registered),
                lane_ahead=int(lane[0]),
                lane_length=int(lane[1]),
                lane_near=tuple(SeenAhead(*pair) for pair in zip(lane[2][::2], lane[2][1::2], strict=True)),
                permits_held=int(permits[0]),
                permit_holders=tuple(sorted(permits[1])),
                permits_ahead=int(permits[2]),
                last_agent_id=last or None,
                waiting=tuple(one for lane in waiting for one in _waiting(*lane)),
            )
        case "absent":
            return None
    raise AssertionError(reply)


def _agent(facts: Sequence[Any]) -> SeenAgent:
    agent_id, profile, state, accepts, most, last_used, passed_over, registered_at, rate, load = facts
    return SeenAgent(
        agent_id=agent_id,
        profile=profile,
        state=state,
        accepts_work=accepts == "1",
        max_concurrent=int(most),
        last_used=int(last_used or 0),
        passed_over=passed_over is not None,
        registered_at_ms=int(registered_at),
        success_rate=None if rate is None else float(rate),
        load=int(load),
    )


def _waiting(class_id: str, demand: str, heads: Sequence[str]) -> list[SeenWaiting]:
    triples = zip(heads[::3], heads[1::3], heads[2::3], strict=True)
    return [SeenWaiting(class_id, demand, int(float(rank)), project, key) for rank, project, key in triples]
