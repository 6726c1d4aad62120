"""A server that does not outlive its users, even if they are killed: its standard input.

That is a pipe which nobody writes to. Every process that uses the server holds a writing end until it ends. When
the last of them has gone, whatever ended it, the kernel sends the server SIGTERM, and the server ends in order. The
kernel keeps the process itself, not its number, so that the signal cannot hit another.

On Linux only: elsewhere a server outlives a process that ends without `stop`, until the next start adopts it.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

#: By pid of a server: the writing end that this process holds.
_held: dict[int, int] = {}


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    """The ends for a server that is started meanwhile: it is to read the first, and to be tied to both."""
    reading, writing = os.pipe()
    try:
        yield reading, writing
    finally:
        os.close(reading)
        os.close(writing)


def tie(pid: int, reading: int, writing: int) -> None:
    """Have the server `pid`, whose input is `reading`, end with its users, of which this process is the first.

    One whose starter is killed before it comes here is left over; the next start adopts it.
    """
    _keep(pid, os.dup(writing))
    if sys.platform == "linux":
        fcntl.fcntl(reading, fcntl.F_SETOWN, pid)
        fcntl.fcntl(reading, fcntl.F_SETSIG, signal.SIGTERM)
        fcntl.fcntl(reading, fcntl.F_SETFL, fcntl.fcntl(reading, fcntl.F_GETFL) | os.O_ASYNC)


def hold(pid: int) -> bool:
    """Hold a writing end of a server that runs. False: nobody holds one any more, so it is about to end.

    A server that has no such pipe, or is in another namespace of processes, cannot be held; it is none of those.
    """
    standard_input = f"/proc/{pid}/fd/0"
    try:
        if not os.readlink(standard_input).startswith("pipe:"):
            return True
        if _is_hung_up(standard_input):
            return False
        _keep(pid, os.open(standard_input, os.O_WRONLY))
    except (FileNotFoundError, PermissionError):
        return True
    return True


def let_go(pid: int) -> None:
    """The server has ended: there is nothing left to hold. Idempotent."""
    writing = _held.pop(pid, None)
    if writing is not None:
        os.close(writing)


def _keep(pid: int, writing: int) -> None:
    let_go(pid)
    _held[pid] = writing


def _is_hung_up(pipe: str) -> bool:
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        poller = select.poll()
        poller.register(reading, 0)  # a hang-up is told unasked
        return bool(poller.poll(0))
    finally:
        os.close(reading)


def _let_all_go() -> None:
    for pid in list(_held):
        let_go(pid)


os.register_at_fork(after_in_child=_let_all_go)  # a child that was forked does not use the server
