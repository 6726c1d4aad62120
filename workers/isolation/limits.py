"""What an attempt uses, against what it may use."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from mindswarm_exec.models.options import ResourceLimits
from workers.isolation.endings import LimitBreached
from workers.isolation.tree import Process, proportional_bytes

MB = 2**20


class RunningClock:
    """Counts the seconds that an attempt runs; it stands while the attempt is frozen."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._stood = 0.0
        self._stopped_at: float | None = None

    def stop(self) -> None:
        self._stopped_at = time.monotonic()

    def go_on(self) -> None:
        if self._stopped_at is not None:
            self._stood += time.monotonic() - self._stopped_at
            self._stopped_at = None

    @property
    def seconds(self) -> float:
        now = time.monotonic() if self._stopped_at is None else self._stopped_at
        return now - self._began - self._stood


@dataclass(frozen=True)
class Meter:
    """Compares what was measured with the limits; None where it is within them."""

    limits: ResourceLimits
    max_output_mb: int

    @property
    def needs_census(self) -> bool:
        limits = self.limits
        return not (limits.memory_mb is None and limits.cpu_seconds is None and limits.max_processes is None)

    def wall(self, seconds: float) -> LimitBreached | None:
        limit = self.limits.wall_seconds
        if limit is None or seconds < limit:
            return None
        message = f"ran {seconds:.1f} s of {limit:g} s allowed"
        return LimitBreached("timeout", message, {"elapsed_ms": round(seconds * 1000), "limit_seconds": limit})

    def output(self, used_bytes: int) -> LimitBreached | None:
        limit = self.limits.output_mb or self.max_output_mb
        if used_bytes <= limit * MB:
            return None
        return _of_mb("output_limit", "wrote", used_bytes, limit)

    def cpu(self, seconds: float) -> LimitBreached | None:
        limit = self.limits.cpu_seconds
        if limit is None or seconds < limit:
            return None
        message = f"used {seconds:.1f} s of {limit:g} s of processor time"
        return LimitBreached("cpu_limit", message, {"used_seconds": round(seconds, 2), "limit_seconds": limit})

    def processes(self, tree: list[Process]) -> LimitBreached | None:
        limit = self.limits.max_processes
        if limit is None or len(tree) <= limit:
            return None
        message = f"had {len(tree)} of {limit} processes"
        return LimitBreached("process_limit", message, {"processes": len(tree), "limit": limit})

    def memory(self, tree: list[Process]) -> LimitBreached | None:
        """By the sum of resident sizes, which is cheap. It counts shared pages once a process, so that more than
        one process is only judged by each page's share."""
        limit = self.limits.memory_mb
        used = sum(process.resident_bytes for process in tree)
        if limit is None or used <= limit * MB:
            return None
        if len(tree) > 1 and (used := proportional_bytes(tree)) <= limit * MB:
            return None
        return _of_mb("memory_limit", "used", used, limit)

    def refused_memory(self, resident_bytes: int) -> LimitBreached | None:
        """The breach that a MemoryError is: an allocation beyond the ceiling failed, whatever was in use."""
        limit = self.limits.memory_mb
        if limit is None:
            return None
        used = math.ceil(resident_bytes / MB)
        message = f"used {used} MB of {limit} MB and was refused more than the rest"
        return LimitBreached("memory_limit", message, {"used_mb": used, "limit_mb": limit})


def _of_mb(kind: str, verb: str, used_bytes: int, limit: int) -> LimitBreached:
    used = math.ceil(used_bytes / MB)
    return LimitBreached(kind, f"{verb} {used} MB of {limit} MB", {"used_mb": used, "limit_mb": limit})
