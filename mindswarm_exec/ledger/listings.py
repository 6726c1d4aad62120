"""Places in the listings by status: which part of one is asked for, and what was found in it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mindswarm_exec.lifecycle import Status

#: The instant at which a status was taken, then the id.
Order = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Place:
    """A position in the listing by status: newest first, by the instant the status was taken, then by id."""

    at_ms: int
    execution_id: str
    status: Status

    @property
    def order(self) -> Order:
        return self.at_ms, self.execution_id


@dataclass(frozen=True, slots=True)
class Picked:
    """The places that match, in the order asked for, and how far was looked for them; None: to the end."""

    places: tuple[Place, ...]
    reached: Order | None


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of the listing of some statuses: between two instants, both included, and behind a place."""

    statuses: Sequence[Status]
    first: Literal["newest", "oldest"] = "newest"
    since_ms: int | None = None
    until_ms: int | None = None
    after: Order | None = None

    @property
    def bounds(self) -> tuple[int | str, int | str, str]:
        """Where a walk begins and ends, and the id that it begins behind among those of the first instant."""
        since: int | str = "-inf" if self.since_ms is None else self.since_ms
        until: int | str = "+inf" if self.until_ms is None else self.until_ms
        begin, end = (until, since) if self.first == "newest" else (since, until)
        if self.after is None or not self._is_within(self.after[0]):
            return begin, end, ""
        return self.after[0], end, self.after[1]

    def _is_within(self, at_ms: int) -> bool:
        """Whether a walk from `at_ms` on begins later than the bound says."""
        if self.first == "newest":
            return self.until_ms is None or at_ms <= self.until_ms
        return self.since_ms is None or at_ms >= self.since_ms


def read_picked(reply: Any) -> Picked:
    _, places, last = reply
    return Picked(_places(places), (int(last[1]), last[0]) if last else None)


def read_unarchived(reply: Any) -> list[Place]:
    return list(_places(reply[1]))


def _places(flat: Sequence[Any]) -> tuple[Place, ...]:
    triples = zip(flat[::3], flat[1::3], flat[2::3], strict=True)
    return tuple(Place(int(at), execution_id, Status(status)) for execution_id, status, at in triples)
