"""The processes below a zygote, as /proc shows them."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
#: Processes known to be outside are looked at again after this, since their numbers are used again.
RECOUNT_SECONDS = 2.0
#: Looks at a tree that grows while it is signalled, before what is left is taken to be a fork bomb's.
ROUNDS = 20


@dataclass(frozen=True, slots=True)
class Process:
    """One line of /proc/PID/stat. `cpu_seconds` counts the children that it has waited for."""

    pid: int
    state: str
    parent: int
    group: int
    session: int
    cpu_seconds: float
    resident_bytes: int

    @property
    def is_zombie(self) -> bool:
        return self.state in "ZX"


def look_at(pid: int) -> Process | None:
    """The process as it is now; None if there is none. Source: proc_pid_stat(5)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            line = file.read()
    except OSError:
        return None
    fields = line[line.rindex(b")") + 2 :].split()  # a name may hold spaces and parentheses
    ticks = sum(int(field) for field in fields[11:15])
    return Process(
        pid=pid,
        state=fields[0].decode(),
        parent=int(fields[1]),
        group=int(fields[2]),
        session=int(fields[3]),
        cpu_seconds=ticks / TICKS_A_SECOND,
        resident_bytes=int(fields[21]) * PAGE_BYTES,
    )


def proportional_bytes(processes: Iterable[Process]) -> int:
    """Resident memory, with each page that is shared counted by its share. Dearer than the resident sizes."""
    total = 0
    for process in processes:
        with contextlib.suppress(OSError), open(f"/proc/{process.pid}/smaps_rollup", "rb") as file:
            total += next((int(line.split()[1]) * 1024 for line in file if line.startswith(b"Pss:")), 0)
    return total


def peak_bytes(pid: int) -> int:
    """The most memory that the process has had resident so far; 0 if it is gone. Source: proc_pid_status(5)."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/status", "rb") as file:
        return next((int(line.split()[1]) * 1024 for line in file if line.startswith(b"VmHWM:")), 0)
    return 0


class Census:
    """Counts the processes below `root`. Not safe between threads.

    Processes outside are remembered, so that a count costs what is inside and what is new, not what exists.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self._outside: set[int] = set()
        self._recount_at = 0.0

    def take(self) -> dict[int, Process]:
        """The processes below the root now, by pid."""
        if (now := time.monotonic()) >= self._recount_at:
            self._outside.clear()
            self._recount_at = now + RECOUNT_SECONDS
        present = {int(name) for name in os.listdir("/proc") if name.isdigit()}
        self._outside &= present
        seen = {pid: found for pid in present - self._outside if (found := look_at(pid))}
        inside = below({self._root}, seen)
        self._outside |= seen.keys() - inside.keys()
        return inside


def below(roots: set[int], processes: dict[int, Process]) -> dict[int, Process]:
    """Those of `processes` that descend from `roots`, which are not among them."""
    children: dict[int, list[Process]] = {}
    for process in processes.values():
        children.setdefault(process.parent, []).append(process)
    found: dict[int, Process] = {}
    waiting = list(roots)
    while waiting:
        for child in children.get(waiting.pop(), ()):
            if child.pid not in found and child.pid not in roots:
                found[child.pid] = child
                waiting.append(child.pid)
    return found


def members(leader: int, processes: dict[int, Process]) -> dict[int, Process]:
    """The tree of an attempt: its leader, whoever is in the group or session that it leads, and all below them."""
    roots = {process.pid for process in processes.values() if leader in (process.pid, process.group, process.session)}
    return {pid: processes[pid] for pid in roots} | below(roots, processes)


def signal_tree(leader: int, number: signal.Signals, census: Census) -> None:
    """Send a signal to the whole tree, those born meanwhile too. The leader must not have been waited for yet."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)
    told: set[int] = set()
    for _ in range(ROUNDS):
        news = members(leader, census.take()).keys() - told
        for pid in news:
            send(pid, number)
        if not news:
            return
        told |= news


def send(pid: int, number: signal.Signals) -> None:
    """Signal one process; one that is gone needs none."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
