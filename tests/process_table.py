"""What is left of processes, for tests that end them."""

from __future__ import annotations

from workers.isolation.tree import look_at


def is_running(pid: int) -> bool:
    """Whether a process runs; one that waits to be reaped by whoever adopted it does not."""
    found = look_at(pid)
    return found is not None and not found.is_zombie
