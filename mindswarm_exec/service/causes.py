"""The words that every cause of waiting is told in. Pure."""

from __future__ import annotations

from typing import Any

from mindswarm_exec.models.records import WAITING_KINDS, Instant, WaitingFor

_SCALES = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"))


def because(
    reason: Any, detail: str, next_step: str, *, near: str | None = None, until: Instant | None = None
) -> WaitingFor:
    """A cause; its kind follows from it."""
    kind: Any = WAITING_KINDS[reason]
    return WaitingFor(reason=reason, kind=kind, detail=detail, next_step=next_step, nearest=near, until=until)


def span(ms: int) -> str:
    """A duration as people say it: `0.4 s`, `12 s`, `3 min`, `2 h`."""
    for size, unit in _SCALES:
        if ms >= 2 * size:
            return f"{ms // size} {unit}"
    return f"{ms / 1000:.1f} s" if ms < 10_000 else f"{ms // 1000} s"
