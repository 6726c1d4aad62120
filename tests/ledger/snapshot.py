"""Everything that one namespace of the ledger holds, read at once: what invariants look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mindswarm_exec.ledger.faces import SyncLedger
from mindswarm_exec.lifecycle import Status

#: How a key of each family is read in full. Families that are absent here are not part of any invariant.
_READS: dict[str, tuple[Any, ...]] = {
    "execution": ("HGETALL",),
    "status": ("ZRANGE", 0, -1, "WITHSCORES"),
    "lane": ("ZRANGE", 0, -1, "WITHSCORES"),
    "backlog": ("SMEMBERS",),
    "depth": ("HGETALL",),
    "elsewhere": ("HGETALL",),
    "classes": ("ZRANGE", 0, -1, "WITHSCORES"),
    "class": ("GET",),
    "suitable": ("SMEMBERS",),
    "available": ("ZRANGE", 0, -1, "WITHSCORES"),
    "awake": ("SMEMBERS",),
    "asleep": ("ZRANGE", 0, -1, "WITHSCORES"),
    "agents": ("ZRANGE", 0, -1, "WITHSCORES"),
    "agent": ("HGETALL",),
    "serves": ("SMEMBERS",),
    "held": ("HGETALL",),
    "success": ("HGETALL",),
    "deadlines": ("ZRANGE", 0, -1, "WITHSCORES"),
    "affinity": ("GET",),
    "concurrency": ("SMEMBERS",),
    "held_back": ("ZRANGE", 0, -1, "WITHSCORES"),
    "children": ("SMEMBERS",),
    "cascade": ("ZRANGE", 0, -1, "WITHSCORES"),
    "starved": ("ZRANGE", 0, -1, "WITHSCORES"),
    "idempotency": ("GET",),
    "task": ("HGETALL",),
    "counted": ("LRANGE", 0, -1),
    "summed": ("HGETALL",),
    "unfolded": ("ZRANGE", 0, -1, "WITHSCORES"),
}

Record = dict[str, str]
Scores = dict[str, float]


@dataclass(frozen=True)
class Snapshot:
    """By family, then by member: the value of each key ("" is the member of a family with one key)."""

    families: dict[str, dict[str, Any]]

    @classmethod
    def of(cls, ledger: SyncLedger) -> Snapshot:
        prefix = ledger.keys.prefix
        names = [name.removeprefix(prefix) for name in ledger.client.keys(prefix + "*")]
        known = [(*name.partition(":")[::2], name) for name in sorted(names) if name.partition(":")[0] in _READS]
        pipeline = ledger.client.pipeline(transaction=False)
        for family, _, name in known:
            command, *rest = _READS[family]
            pipeline.execute_command(command, prefix + name, *rest)
        families: dict[str, dict[str, Any]] = {family: {} for family in _READS}
        for (family, member, _), value in zip(known, pipeline.execute(), strict=True):
            families[family][member] = _readable(_READS[family], value)
        return cls(families)

    @property
    def executions(self) -> dict[str, Record]:
        return self.families["execution"]

    @property
    def agents(self) -> dict[str, Record]:
        return self.families["agent"]

    def only(self, family: str) -> Any:
        """The value of a family with one key; empty if there is none."""
        return self.families[family].get("", {})

    def status_of(self, execution_id: str) -> Status:
        return Status(self.executions[execution_id]["status"])

    def held(self, agent_id: str) -> Record:
        """Attempt id → nonce of what the agent holds; its size is the load."""
        return self.families["held"].get(agent_id, {})

    def is_live(self, execution_id: str, nonce: str) -> bool:
        """Whether that nonce speaks for an attempt that is queued, runs or is frozen."""
        record = self.executions.get(execution_id)
        return record is not None and record.get("nonce") == nonce and has_attempt(record)


def has_attempt(record: Record) -> bool:
    """Whether an attempt of it lives: it is queued, runs or is frozen in place."""
    return record["status"] in ("queued", "running") or "frozen" in record


def _readable(read: tuple[Any, ...], value: Any) -> Any:
    """A reply as dict or set; where a pipeline leaves it raw, it is a flat list."""
    command = read[0]
    if command in ("HGETALL", "ZRANGE") and isinstance(value, list):
        pairs = value if value and not isinstance(value[0], str) else zip(value[::2], value[1::2], strict=True)
        return {k: float(v) if command == "ZRANGE" else v for k, v in pairs}
    return set(value) if command == "SMEMBERS" else value
