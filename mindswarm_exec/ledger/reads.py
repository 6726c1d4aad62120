"""Reads of the ledger's records: requests and readers, like `operations.py`. Nothing here changes anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mindswarm_exec.ledger.listings import Order
from mindswarm_exec.ledger.operations import Key, Operation

Record = dict[str, str]


def _mapping(reply: Any) -> Record:
    """A hash as redis-py gives it: a dict, or a flat list where a pipeline leaves replies raw."""
    if isinstance(reply, dict):
        return reply
    return dict(zip(reply[::2], reply[1::2], strict=True))


def execution(execution_id: str) -> Operation[Record | None]:
    """The fields of one execution, or None."""
    step = ("HGETALL", Key("execution", execution_id))
    return Operation((step,), lambda replies: _mapping(replies[0]) or None)


def fields(execution_id: str, names: Sequence[str]) -> Operation[Record]:
    """Some fields of one execution; those that are not set are left out."""
    return _some(Key("execution", execution_id), names)


def _some(record: Key, names: Sequence[str]) -> Operation[Record]:
    def read(replies: list[Any]) -> Record:
        return {name: value for name, value in zip(names, replies[0], strict=True) if value is not None}

    return Operation((("HMGET", record, *names),), read)


def _scored(reply: Any) -> list[tuple[str, float]]:
    """Members with scores: pairs as redis-py gives them, or a flat list."""
    if reply and not isinstance(reply[0], str):
        return [(member, float(score)) for member, score in reply]
    return [(reply[i], float(reply[i + 1])) for i in range(0, len(reply), 2)]


def idempotent(project_id: str, idempotency_key: str) -> Operation[str | None]:
    """The execution that an idempotency key stands for, if it was used."""
    step = ("GET", Key("idempotency", f"{project_id} {idempotency_key}"))
    return Operation((step,), lambda replies: replies[0])


# --- agents ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AgentFacts:
    """An agent's record, what it holds (attempt id → nonce) and its success rates (task type → rate)."""

    agent_id: str
    record: Record
    held: Record
    success: Record


def agent_ids() -> Operation[list[str]]:
    """Every registered agent, first registered first."""
    return Operation((("ZRANGE", Key("agents"), 0, -1),), lambda replies: list(replies[0]))


def agent(agent_id: str) -> Operation[AgentFacts | None]:
    """One agent, or None."""
    steps = tuple(("HGETALL", Key(family, agent_id)) for family in ("agent", "held", "success"))

    def read(replies: list[Any]) -> AgentFacts | None:
        record, held, success = (_mapping(reply) for reply in replies)
        return AgentFacts(agent_id, record, held, success) if record else None

    return Operation(steps, read)


# --- clocks and deadlines --------------------------------------------------------------------------------


def server_time_ms() -> Operation[int]:
    """The server's clock, in Unix milliseconds."""
    return Operation((("TIME",),), lambda replies: int(replies[0][0]) * 1000 + int(replies[0][1]) // 1000)


def due_executions(until_ms: int, most: int) -> Operation[list[str]]:
    """Executions with a deadline at or before `until_ms`, the earliest first."""
    step = ("ZRANGE", Key("deadlines"), "-inf", until_ms, "BYSCORE", "LIMIT", 0, most)

    def read(replies: list[Any]) -> list[str]:
        return [name for kind, _, name in (member.partition(":") for member in replies[0]) if kind == "execution"]

    return Operation((step,), read)


def event_counts() -> Operation[dict[str, int]]:
    """How often each type of event has happened since the ledger began."""
    step = ("HGETALL", Key("event_counts"))
    return Operation((step,), lambda replies: {kind: int(n) for kind, n in _mapping(replies[0]).items()})


# --- tasks -----------------------------------------------------------------------------------------------


def task(task_id: str) -> Operation[Record | None]:
    """The fields of one task, or None."""
    step = ("HGETALL", Key("task", task_id))
    return Operation((step,), lambda replies: _mapping(replies[0]) or None)


def task_fields(task_id: str, names: Sequence[str]) -> Operation[Record]:
    """Some fields of one task; those that are not set are left out."""
    return _some(Key("task", task_id), names)


def task_places(until_ms: int | None, most: int) -> Operation[list[Order]]:
    """The places of tasks created at or before `until_ms`, newest first, those of one instant by id backwards."""
    latest = "+inf" if until_ms is None else until_ms
    step = ("ZRANGE", Key("tasks"), latest, "-inf", "BYSCORE", "REV", "LIMIT", 0, most, "WITHSCORES")
    return Operation((step,), lambda replies: [(int(at), member) for member, at in _scored(replies[0])])


def swept_at_ms() -> Operation[int | None]:
    """The instant of the latest sweep, or None if there was none."""
    return Operation((("GET", Key("swept_at")),), lambda replies: int(replies[0]) if replies[0] else None)


def counted(group: str, minute_ms: int, first: int) -> Operation[list[str]]:
    """What roll-ups have counted in a minute, from the `first` of them on; each as JSON."""
    step = ("LRANGE", Key("counted", f"{minute_ms}:{group}"), first, -1)
    return Operation((step,), lambda replies: list(replies[0]))


def summed(name: str) -> Operation[tuple[int, int, str] | None]:
    """What was added up over a span: since when, how far, and the counts as JSON."""
    step = ("HMGET", Key("summed", name), "since", "upto", "sums")

    def read(replies: list[Any]) -> tuple[int, int, str] | None:
        since, upto, sums = replies[0]
        return None if sums is None else (int(since), int(upto), sums)

    return Operation((step,), read)


def sweep_age_ms() -> Operation[int]:
    """Milliseconds since the latest sweep; since 1970 if there was none."""
    steps = (("TIME",), ("GET", Key("swept_at")))
    return Operation(steps, lambda replies: int(replies[0][0]) * 1000 - int(replies[1] or 0))
