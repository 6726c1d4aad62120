"""A child that does not outlive its parent, even one killed with -9: a pipe that the parent never writes to.

The parent holds the writing end; the kernel closes it with the parent, whatever ended it, and the child, reading
the other end, sees the end of file and ends itself in order.
"""

from __future__ import annotations

import os
import signal
import threading
import time

#: Names the descriptor of the reading end in the child's environment.
VARIABLE = "MINDSWARM_LIFELINE_FD"
#: Seconds after SIGTERM within which an orphan must have ended by itself.
GRACE_SECONDS = 15.0


def hold_on() -> None:
    """End this process soon after the parent that gave it a lifeline. Without one this does nothing."""
    value = os.environ.pop(VARIABLE, "")
    if not value.isdigit():
        return
    descriptor = int(value)
    os.set_inheritable(descriptor, False)  # a grandchild must not hold it
    threading.Thread(target=_follow, args=(descriptor,), name="lifeline", daemon=True).start()


def _follow(descriptor: int) -> None:
    while os.read(descriptor, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)
