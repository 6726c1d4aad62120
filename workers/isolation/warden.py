"""The warden: what the zygote is forked from. It does nothing, until the zygote is gone; then it ends what is left.

An attempt's processes are ended by its agent, or by the zygote when the agent is killed. When both are killed in one
moment, the kernel gives their orphans to the warden, which is the next above that adopts. It holds no lock, thread or
descriptor of either, and little memory of its own. Its imports are few, for the zygote's come after the fork.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from types import FrameType
from typing import NoReturn

from workers.isolation.kernel import adopt_orphans
from workers.isolation.tree import Census, send

#: Tells the warden to end all below it at once. No signal that a supervisor sends to a whole group of processes.
CLEAR = signal.SIGUSR1
#: Those are for the agent, which decides when this ends.
FOR_THE_AGENT = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
#: Pause between looks at what has been killed and is not gone yet.
CLEARING_SECONDS = 0.005


def stay_behind(control_fd: int) -> None:
    """Fork, and return in the child, which becomes the zygote. The parent stays as its warden, and never returns."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {*FOR_THE_AGENT, CLEAR})
    adopt_orphans()
    zygote = os.fork()
    if zygote == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {CLEAR})
        return
    try:
        os.close(control_fd)  # the agent is to see when the zygote is gone
        _guard(zygote)
    finally:
        os._exit(1)


def _guard(zygote: int) -> NoReturn:
    def clear(_signal: int, _frame: FrameType | None) -> None:
        send(zygote, signal.SIGKILL)

    signal.signal(CLEAR, clear)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {CLEAR})
    _, status = os.waitpid(zygote, 0)
    census = Census(os.getpid())
    while left := census.take():
        for pid in left:
            send(pid, signal.SIGKILL)
        _reap()
        time.sleep(CLEARING_SECONDS)
    os._exit(min(abs(os.waitstatus_to_exitcode(status)), 1))


def _reap() -> None:
    """Take note of all that have ended, so that they go."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
