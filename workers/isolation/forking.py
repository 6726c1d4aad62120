"""The agent's side of the zygote: starting it, asking it for children, and clearing up after it."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

from workers.isolation.endings import ProcessDied
from workers.isolation.tree import Census, send
from workers.isolation.warden import CLEAR, CLEARING_SECONDS

log = logging.getLogger(__name__)

#: Set for the zygote to a value of its own. Whatever descends from it has it too, unless it took care to drop it.
MARK = "MINDSWARM_ZYGOTE"
#: A zygote that does not take a request or end within this is taken for dead.
SILENCE_SECONDS = 10.0
STOP_SECONDS = 5.0

#: The search path comes as an argument, not as PYTHONPATH, which every command of the agent would inherit.
_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]); control = int(sys.argv[3]); "
    "from workers.isolation.warden import stay_behind; stay_behind(control); "
    "from workers.isolation.zygote import main; main(sys.argv[1], control)"
)


class ZygoteProcess:
    """One zygote, from its start to its end. The process that is started is its warden, which lasts as long."""

    def __init__(self, target: str) -> None:
        if sys.platform != "linux":
            raise ProcessDied(f"handlers run in processes of their own on Linux only; this is {sys.platform}")
        self._mark = secrets.token_hex(16)
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.settimeout(SILENCE_SECONDS)
        # Not told to die with its parent: for the kernel that is the thread that starts it, which may be one of a
        # pool and end at any time. It ends when the agent's end of the control socket closes.
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  our own interpreter and program
                [sys.executable, "-c", _PROGRAM, target, json.dumps(sys.path), str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env=os.environ | {MARK: self._mark},
                start_new_session=True,  # Ctrl-C at the agent's terminal is for the agent
            )
        self.pid = self._process.pid
        self._census = Census(self.pid)
        self._counting = threading.Lock()

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def request(self, *descriptors: int) -> None:
        """Ask for a child with this channel, stdout, stderr and tether. Raises OSError if it is not there."""
        socket.send_fds(self._control, [b"fork"], list(descriptors))

    @contextlib.contextmanager
    def census(self) -> Iterator[Census]:
        """The census of all that descends from it, for one thread at a time."""
        with self._counting:
            yield self._census

    def stop(self) -> None:
        """End it with everything that runs under it."""
        self._control.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        self.clear()

    def clear(self) -> None:
        """Kill it, and whatever still bears its mark. For when it did not end in order."""
        self._process.send_signal(CLEAR)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(SILENCE_SECONDS)
        self._process.kill()
        self._process.wait()
        deadline = time.monotonic() + STOP_SECONDS
        while (left := self._marked()) and time.monotonic() < deadline:
            for pid in left:
                send(pid, signal.SIGKILL)
            time.sleep(CLEARING_SECONDS)

    def _marked(self) -> list[int]:
        wanted = f"{MARK}={self._mark}".encode()
        return [int(name) for name in os.listdir("/proc") if name.isdigit() and wanted in _environment(name)]


def _environment(pid: str) -> list[bytes]:
    """The environment that a process began with; empty for a zombie, and for what is not ours to see."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return file.read().split(b"\0")
    except OSError:
        return []


class Zygotes:
    """The zygote in use; a new one takes the place of one that is gone. Safe between threads."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._lock = threading.Lock()
        self._current: ZygoteProcess | None = None

    def alive(self) -> ZygoteProcess:
        """The one in use, started if need be."""
        with self._lock:
            if self._current is not None and not self._current.is_alive:
                log.warning("the process that starts handlers is gone; starting it anew", extra={"action": "zygote"})
                self._current.clear()
                self._current = None
            if self._current is None:
                self._current = ZygoteProcess(self._target)
            return self._current

    def stop(self) -> None:
        """End the one in use, with everything that runs under it."""
        with self._lock:
            if self._current is not None:
                self._current.stop()
                self._current = None
