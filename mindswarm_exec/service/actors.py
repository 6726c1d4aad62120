"""Who asks: what an edge knows of its caller, noted in the events of what the caller makes happen.

The edge sets it once a call; the verbs below take no argument for it, and what the engine does by itself has none.
"""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from typing import Any, TypeVar, cast

from pydantic import JsonValue

from mindswarm_exec.errors import MindSwarmError

log = logging.getLogger(__name__)

V = TypeVar("V", bound=Callable[..., Coroutine[Any, Any, Any]])


@dataclass(frozen=True, slots=True)
class Actor:
    """One caller. `name` is that of its API key, or of the agent whose handler asks; `via` is http, websocket, cli,
    direct, celery (a message) or agent; `address` is where it is, as far as the way tells."""

    name: str = "client"
    via: str = "direct"
    address: str = ""

    @property
    def facts(self) -> dict[str, str]:
        """What is known of it, for the data of an event."""
        return {name: value for name, value in asdict(self).items() if value}


_acting: ContextVar[Actor | None] = ContextVar("acting", default=None)


@contextmanager
def acting_as(actor: Actor | None) -> Iterator[None]:
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


def event_data(**facts: JsonValue) -> str:
    """The data of an event: the facts that say something, and who asked."""
    facts["actor"] = {**(actor_facts() or {})} or None
    return json.dumps({name: value for name, value in facts.items() if value not in (None, "")})


def latest_actor(record: Mapping[str, str]) -> Actor | None:
    """Who last asked for something, by the events on the record of an execution; None if nobody did."""
    for seq in range(int(record.get("seq", 0)), 0, -1):
        *_, data = record.get(f"event:{seq}", "{}").split(" ", 2)
        if actor := json.loads(data).get("actor"):
            return Actor(**actor)
    return None


def control_action(name: str) -> Callable[[V], V]:
    """Mark a verb that changes something. The event of the change says who asked; the log does, if it is refused."""

    def marked(verb: V) -> V:
        @functools.wraps(verb)
        async def told(*args: Any, **named: Any) -> Any:
            try:
                return await verb(*args, **named)
            except MindSwarmError as error:
                ids = {fact: value for fact, value in error.facts.items() if fact.endswith("_id") or fact == "found"}
                facts = {"action": name, "code": error.code, "actor": actor_facts(), **ids}
                log.info("a control action was refused", extra=facts)
                raise

        return cast(V, told)

    return marked
