"""The note that the ledger makes of a choice in the record of an execution, `record_decision` in Lua. Pure.

    ant score 19.65 10 4 4.65 0 0 2 #57 10/2 bee=64939…:0/2 cat=33500…:1/3:8 +

says: the chosen agent and the way of the choice; its score and the terms of it, which are idle, free slots, success
and affinity; its load and slots; which match of all matches it was. Then, where others were free: what idle and a
free slot were worth; of each other its score as the ledger packs it, in which affinity does not count, its load and
slots, and its affinity if it had any; a + if there may have been more of them. An older note ends behind the slots
with others like `bee=1890`, which is a score in hundredths.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from mindswarm_exec.models.explanations import Choice, RunnerUp, ScoreTerms
from mindswarm_exec.selection import MOST_POINTS

#: Others that a note names at most, beside one that it names for its affinity.
MOST_NOTED = 4
#: A packed score is whole hundredths of points times this, and how long the agent was unused.
LRU = 2**35
_OTHER = re.compile(r"([^=]+)=([\d.e+]+)(?::(\d+)/(\d+)(?::(.+))?)?")


class Noted(NamedTuple):
    """A note, read."""

    choice: Choice
    #: its place among all matches, None in an old note
    number: int | None
    #: others that were free, in the order of their scores without affinity, the one named for its affinity last
    others: tuple[RunnerUp, ...]
    #: whether there may have been more
    is_full: bool

    @property
    def bound(self) -> float:
        """What the score of none beyond the others exceeded: affinity favours none of those."""
        last = self.others[:MOST_NOTED][-1]
        return round(last.score - (last.terms.affinity if last.terms else 0), 2)


def read_note(stored: str) -> Noted:
    choice, rest = _split(stored)
    number = int(rest.pop(0)[1:]) if rest and rest[0].startswith("#") else None
    if number is None:
        others = tuple(_other(told, None) for told in rest)
        return Noted(choice, None, others, is_full=len(others) >= MOST_NOTED)
    is_full = rest[-1:] == ["+"]
    weights = tuple(map(float, rest.pop(0).split("/"))) if rest else None
    return Noted(choice, number, tuple(_other(told, weights) for told in rest if told != "+"), is_full)


def chosen(stored: str) -> Choice:
    """The first part of a note."""
    return _split(stored)[0]


# --- steps -----------------------------------------------------------------------------------------------


def _split(stored: str) -> tuple[Choice, list[str]]:
    """The choice, and what follows it."""
    agent_id, way, *facts = stored.split(" ")
    total, idle, free_slots, success, affinity = map(float, facts[:5])
    terms = ScoreTerms(idle=idle, free_slots=free_slots, success=success, affinity=affinity)
    facts_of: dict[str, Any] = {"by": way, "load": int(facts[5]), "max_concurrent": int(facts[6])}
    return Choice(agent_id=agent_id, score=total, terms=terms, **facts_of), facts[7:]


def _other(told: str, weights: Sequence[float] | None) -> RunnerUp:
    found = _OTHER.fullmatch(told)
    assert found is not None, told
    agent_id, stored, load, slots, affinity = found.groups()
    if weights is None:
        return RunnerUp(agent_id=agent_id, score=int(stored) / 100)
    score, held = int(float(stored)) // LRU / 100, {"load": int(load), "max_concurrent": int(slots)}
    if score >= MOST_POINTS:
        return RunnerUp(agent_id=agent_id, score=score, **held)
    terms = _terms(score, int(load), int(slots), float(affinity or 0), weights)
    total = round(terms.idle + terms.free_slots + terms.success + terms.affinity, 6)
    return RunnerUp(agent_id=agent_id, score=total, terms=terms, **held)


def _terms(score: float, load: int, slots: int, affinity: float, weights: Sequence[float]) -> ScoreTerms:
    """The terms behind a score: what load and slots do not explain is its success, to a hundredth of a point."""
    idle, free_slots = weights[0] if load == 0 else 0.0, (slots - load) * weights[1]
    success = max(0.0, round(score - idle - free_slots, 6))
    return ScoreTerms(idle=idle, free_slots=free_slots, success=success, affinity=affinity)
