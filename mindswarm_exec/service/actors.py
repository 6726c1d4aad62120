"""Who asks: what an edge knows of its caller, noted in the events of what the caller makes happen.

The edge sets it once a call; the verbs below take no argument for it, and what the engine does by itself has none.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Actor:
    """One caller. `name` is that of its API key; `via` is http, websocket, cli or direct; `address` is its peer's."""

    name: str = "client"
    via: str = "direct"
    address: str = ""

    @property
    def facts(self) -> dict[str, str]:
        """What is known of it, for the data of an event."""
        return {name: value for name, value in asdict(self).items() if value}


_acting: ContextVar[Actor | None] = ContextVar("acting", default=None)


@contextmanager
def acting_as(actor: Actor) -> Iterator[None]:
    """Until the block ends, what this thread or task asks for is asked by `actor`; tasks it starts keep that."""
    token = _acting.set(actor)
    try:
        yield
    finally:
        _acting.reset(token)


def actor_facts() -> dict[str, str] | None:
    """Who asks now; None where nobody does."""
    actor = _acting.get()
    return actor.facts if actor is not None else None
