"""The zygote: a process that has imported the agent's module and forks a child for each attempt.

Started by exec, so that nothing of the agent's threads and locks is in it. It stays single-threaded and runs no
handler itself. A request comes with four descriptors: the channel, the child's stdout and stderr, and the *tether*,
on which the zygote tells the pid and how the process ended. The supervising side lets go of the tether when it is
done; then the zygote kills what is left of the attempt, and lets go of its own end when nothing is. The leader is
waited for last: until then its pid and its process group cannot become somebody else's.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import selectors
import signal
import socket
import sys
import time
import traceback
from dataclasses import dataclass
from typing import NoReturn

from mindswarm_exec.agent import Agent
from mindswarm_exec.agent_loading import load_agent
from workers.isolation import child
from workers.isolation.kernel import adopt_orphans
from workers.isolation.tree import Census, Process, below, send

#: Descriptors of a request: channel, stdout, stderr, tether.
DESCRIPTORS = 4
#: How often it looks for processes that have left their attempt, and, while something is being ended, what is left.
WATCH_SECONDS, ENDING_SECONDS = 0.1, 0.003
#: Exit code of a child that could not be set up.
EXIT_BROKEN = 70


@dataclass
class Brood:
    """One attempt as the zygote sees it: the process it forked and what became of it."""

    leader: int
    tether: socket.socket
    pidfd: int
    is_wanted: bool = True
    has_exited: bool = False


class Zygote:
    """The loop of the zygote's process."""

    def __init__(self, control: socket.socket, agent: Agent | None, trouble: str) -> None:
        self._control = control
        self._agent = agent
        self._trouble = trouble
        self._broods: dict[int, Brood] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ, self._take_request)
        self._census = Census(os.getpid())
        self._is_closing = False
        self._has_strays = False
        self._watch_at = 0.0

    def run(self) -> None:
        """Serve until the agent is gone, then until nothing is left of what ran here."""
        while not (self._is_closing and not self._broods and not self._has_strays):
            for key, _ in self._selector.select(self._patience()):
                key.data()
            if self._is_ending or time.monotonic() >= self._watch_at:
                self._tidy()

    @property
    def _is_ending(self) -> bool:
        return self._has_strays or any(not brood.is_wanted for brood in self._broods.values())

    def _patience(self) -> float | None:
        if self._is_ending:
            return ENDING_SECONDS
        return max(0.0, self._watch_at - time.monotonic()) if self._broods else None

    # --- starting ----------------------------------------------------------------------------------------

    def _take_request(self) -> None:
        request, descriptors, _, _ = socket.recv_fds(self._control, 16, DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
        if not request:  # the end of the stream: the agent is gone
            self._close()
            return
        if len(descriptors) < DESCRIPTORS:  # too many files are open here; closing what came tells the agent
            for descriptor in descriptors:
                os.close(descriptor)
            return
        *ends, tether_fd = descriptors
        tether = socket.socket(fileno=tether_fd)
        if self._agent is None:
            _tell(tether, {"failed": self._trouble})
            tether.close()
        elif not _is_let_go(tether):
            self._fork(self._agent, ends, tether)
        for descriptor in ends:
            os.close(descriptor)

    def _fork(self, agent: Agent, ends: list[int], tether: socket.socket) -> None:
        try:
            pid = os.fork()
        except OSError as error:
            _tell(tether, {"failed": f"no process could be forked: {error.strerror}"})
            tether.close()
            return
        if pid == 0:
            self._live_as_child(agent, ends, tether)
        brood = Brood(pid, tether, os.pidfd_open(pid))
        self._broods[pid] = brood
        self._selector.register(tether, selectors.EVENT_READ, lambda: self._let_go(brood))
        self._selector.register(brood.pidfd, selectors.EVENT_READ, lambda: self._note_exit(brood))
        _tell(tether, {"pid": pid})

    def _live_as_child(self, agent: Agent, ends: list[int], tether: socket.socket) -> NoReturn:
        """Become the child. What belongs to the zygote or to other attempts is closed first."""
        try:
            zygote = os.getppid()
            self._selector.close()
            for held in (self._control, tether, *(brood.tether for brood in self._broods.values())):
                held.close()
            for brood in self._broods.values():
                if not brood.has_exited:
                    os.close(brood.pidfd)
            child.live(agent, zygote, *ends)
        except BaseException:  # noqa: BLE001  it must not return into the loop of the zygote
            traceback.print_exc()
        finally:
            os._exit(EXIT_BROKEN)

    # --- ending ------------------------------------------------------------------------------------------

    def _close(self) -> None:
        self._is_closing = True
        self._selector.unregister(self._control)
        for brood in self._broods.values():
            self._let_go(brood)

    def _let_go(self, brood: Brood) -> None:
        if brood.is_wanted:
            brood.is_wanted = False
            self._selector.unregister(brood.tether)

    def _note_exit(self, brood: Brood) -> None:
        found = os.waitid(os.P_PID, brood.leader, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if found is None:
            return
        self._selector.unregister(brood.pidfd)
        os.close(brood.pidfd)
        brood.has_exited = True
        _tell(brood.tether, {"exit" if found.si_code == os.CLD_EXITED else "signal": found.si_status})

    def _tidy(self) -> None:
        """Kill what belongs to no wanted attempt, reap what is dead, and forget attempts of which nothing is left."""
        self._watch_at = time.monotonic() + WATCH_SECONDS
        processes = self._census.take()
        for brood in self._broods.values():
            if not brood.is_wanted and not brood.has_exited:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(brood.leader, signal.SIGKILL)
                send(brood.leader, signal.SIGKILL)  # it may not have its own group yet
        strays = [process for process in processes.values() if self._is_stray(process)]
        for stray in strays:
            for pid in (stray.pid, *below({stray.pid}, processes)):
                send(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(stray.pid, os.WNOHANG)
        self._has_strays = bool(strays)
        if not strays:
            self._forget_ended()

    def _is_stray(self, process: Process) -> bool:
        """Whether it was adopted and is dead, or is in the group and session of no wanted attempt."""
        if process.parent != os.getpid() or process.pid in self._broods:
            return False
        homes = [self._broods.get(process.group), self._broods.get(process.session)]
        return process.is_zombie or not any(brood is not None and brood.is_wanted for brood in homes)

    def _forget_ended(self) -> None:
        for brood in [one for one in self._broods.values() if one.has_exited and not one.is_wanted]:
            os.waitpid(brood.leader, 0)
            del self._broods[brood.leader]
            with contextlib.suppress(OSError):
                # a child that was frozen as soon as it was forked may hold a copy, and would keep it open
                brood.tether.shutdown(socket.SHUT_RDWR)
            brood.tether.close()


def _tell(tether: socket.socket, news: dict[str, object]) -> None:
    with contextlib.suppress(OSError):  # nobody listens any more
        tether.send(json.dumps(news).encode())


def _is_let_go(tether: socket.socket) -> bool:
    poll = select.poll()
    poll.register(tether, select.POLLIN)
    return bool(poll.poll(0))


def main(target: str, control_fd: int) -> None:
    """Import the agent's module, then serve on the control socket."""
    # The agent decides when it ends, by closing the control socket. Blocked and not ignored: what is sent to a child
    # before it has its handlers waits there.
    signal.pthread_sigmask(signal.SIG_BLOCK, child.BLOCKED)
    adopt_orphans()
    agent, trouble = None, ""
    try:
        agent = load_agent(target)
        for handler in agent.handlers.values():
            handler.info()  # builds what validates its payload and result once, and not in every child
    except BaseException as error:  # noqa: BLE001  importing runs the author's code; each attempt is told
        trouble = f"the agent '{target}' cannot be loaded: {type(error).__name__}: {error}"
    sys.stdout.flush()
    sys.stderr.flush()
    gc.collect()
    gc.freeze()  # a collection in a child would touch, and so copy, every page of what is shared
    Zygote(socket.socket(fileno=control_fd), agent, trouble).run()
