"""The supervising side: one attempt in a process, from its start to its end."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import socket
import time
from typing import Any

from mindswarm_exec.agent import CommandHandler, Handler
from mindswarm_exec.context import ExecutionCancelled
from mindswarm_exec.settings import Settings
from workers.attempt import RunningAttempt, Wish
from workers.isolation import wire
from workers.isolation.command import command_result
from workers.isolation.endings import LimitBreached
from workers.isolation.forking import ZygoteProcess, Zygotes
from workers.isolation.intake import Intake
from workers.isolation.limits import Meter, RunningClock
from workers.isolation.links import Links
from workers.isolation.tree import Process, look_at, members, peak_bytes, send, signal_tree
from workers.isolation.verdict import death, result_of, told_by_handler

#: How often limits are checked.
SAMPLE_SECONDS = 0.1
#: From SIGTERM to SIGKILL where nobody waits for the handler any more.
SHORT_GRACE_SECONDS = 0.5
#: A process that has told how its handler ended gets this long to exit.
EXIT_SECONDS = 1.0
#: Bound on waiting for what was killed to be gone, and for the last output to arrive.
CLEARING_SECONDS = 5.0


class ProcessIsolation:
    """Runs handlers and commands in processes of their own. `target` is MODULE:ATTR of the agent.

    Safe between threads; each attempt occupies the thread that calls `run`.
    """

    def __init__(self, target: str, settings: Settings) -> None:
        self._zygotes = Zygotes(target)
        self._settings = settings

    def start(self) -> None:
        """Start the process that handlers are forked from, ahead of the first attempt."""
        self._zygotes.alive()

    def stop(self) -> None:
        """End it, and every attempt that still runs. The next attempt, if there is one, starts it anew."""
        self._zygotes.stop()

    def run(self, handler: Handler, running: RunningAttempt) -> bytes:
        """Run one attempt to its end; its result as JSON. Afterwards nothing of it is left running.

        Raises:
            HandlerFailed: the handler raised, or the command failed.
            InvalidPayload: the payload does not fit.
            LimitBreached: it used more than it may, and was killed.
            SafePointReached, ExecutionCancelled: it stopped because of `running.wish`.
            ProcessDied: its process ended without an answer.
        """
        supervision = Supervision(handler, running, self._zygotes.alive(), self._settings)
        try:
            supervision.watch()
        finally:
            supervision.end()
        return supervision.verdict()


class Supervision:
    """One attempt's process, and the loop that watches it: limits, wishes, freezing, the end."""

    def __init__(self, handler: Handler, running: RunningAttempt, zygote: ZygoteProcess, settings: Settings) -> None:
        self._handler = handler
        self._running = running
        self._zygote = zygote
        self._settings = settings
        self._links = Links()
        self._intake = Intake(running, self._links, settings.max_payload_bytes)
        self._meter = Meter(running.options.resource_limits, settings.max_output_mb)
        self._clock = RunningClock()
        self._breach: LimitBreached | None = None
        self._is_abandoned = False
        self._stopping: Wish | None = None
        self._kill_at: float | None = None
        self._owes_term = False
        self._given_up_at = math.inf
        self._is_frozen = False
        self._pause_seen_at: float | None = None
        self._sample_at = 0.0
        self._cpu_seconds = 0.0
        self._resident_bytes = 0
        self._peak_bytes = 0

    # --- from the start to the end -----------------------------------------------------------------------

    def watch(self) -> None:
        """Start the process, and watch over it until it has exited or cannot be watched any more."""
        self._running.nudge = self._links.alarm.ring
        self._launch()
        while not self._is_over:
            self._intake.wait(self._patience())
            self._heed_wish()
            if self._owes_term and self._intake.pid is not None:
                self._terminate(self._intake.pid)
            if time.monotonic() >= self._sample_at:
                self._sample()
            if self._intake.answer is not None and self._kill_at is None:
                self._kill_at = time.monotonic() + EXIT_SECONDS
            if self._kill_at is not None and time.monotonic() >= self._kill_at:
                self._kill()

    def end(self) -> None:
        """Clear away what is left of the process, take in its last words, and close."""
        self._running.nudge = lambda: None
        self._take_last_sample()
        self._clear_away()
        self._intake.drain(CLEARING_SECONDS)
        self._intake.finish()
        self._links.close()

    def verdict(self) -> bytes:
        """What became of the attempt, as `ProcessIsolation.run` returns or raises it."""
        breach = self._breach or self._meter.output(self._intake.output_bytes)
        if breach is not None:
            raise breach
        if self._intake.answer is not None and self._intake.answer.kind == wire.RESULT:
            return result_of(self._intake.answer, self._settings.max_payload_bytes)
        if self._intake.answer is not None:
            raise told_by_handler(json.loads(self._intake.answer.body), self._meter, self._resident_bytes)
        code = (self._intake.exit or {}).get("exit")
        is_ok = isinstance(self._handler, CommandHandler) and code in self._handler.command.ok_codes
        if self._stopping is not None and not is_ok:
            raise ExecutionCancelled(self._stopping.value)
        if isinstance(self._handler, CommandHandler) and code is not None:
            return command_result(self._handler, int(code), self._intake.stdout, self._intake.stderr)
        raise death(self._handler, self._intake)

    @property
    def _is_over(self) -> bool:
        intake = self._intake
        is_lost = self._is_abandoned or intake.is_let_go or time.monotonic() >= self._given_up_at
        return is_lost or intake.exit is not None or intake.fault is not None

    def _patience(self) -> float:
        until = self._sample_at if self._kill_at is None else min(self._sample_at, self._kill_at)
        return until - time.monotonic()

    # --- starting ----------------------------------------------------------------------------------------

    def _launch(self) -> None:
        try:
            self._zygote.request(*self._links.theirs)
        except OSError:
            self._intake.is_let_go = True
        finally:
            self._links.hand_over()
        self._links.post(wire.packed_json(wire.START, self._order()))

    def _order(self) -> dict[str, Any]:
        running = self._running
        facts = {name: getattr(running, name) for name in wire.AttemptFacts.model_fields}
        return {
            "task_type": running.task_type,
            "payload": running.held.payload,
            "facts": wire.AttemptFacts(**facts).model_dump(mode="json"),
            "limits": running.options.resource_limits.model_dump(mode="json"),
            "max_payload_bytes": self._settings.max_payload_bytes,
        }

    # --- limits ------------------------------------------------------------------------------------------

    def _sample(self) -> None:
        self._sample_at = time.monotonic() + SAMPLE_SECONDS
        if self._intake.pid is not None:
            self._peak_bytes = max(self._peak_bytes, peak_bytes(self._intake.pid))
        self._intake.tell_starts_of_lines()
        if self._breach is None and not self._is_frozen:
            breach = self._meter.wall(self._clock.seconds) or self._meter.output(self._intake.output_bytes)
            self._breach = breach or self._sample_tree()
            if self._breach is not None:
                self._kill()

    def _sample_tree(self) -> LimitBreached | None:
        if self._intake.pid is None or not self._meter.needs_census:
            return None
        with self._zygote.census() as census:
            tree = list(members(self._intake.pid, census.take()).values())
        self._note_usage(tree)
        return self._meter.memory(tree) or self._meter.cpu(self._cpu_seconds) or self._meter.processes(tree)

    def _note_usage(self, tree: list[Process]) -> None:
        # what an orphan used is nobody's once it is reaped: the sum never falls
        self._cpu_seconds = max(self._cpu_seconds, sum(process.cpu_seconds for process in tree))
        self._resident_bytes = max(self._resident_bytes, sum(process.resident_bytes for process in tree))

    def _take_last_sample(self) -> None:
        """The leader is not waited for yet, so that what it used can still be read."""
        leader = look_at(self._intake.pid) if self._intake.pid is not None and not self._intake.is_let_go else None
        if leader is not None:
            self._note_usage([leader])
            self._running.used["cpu_ms"] = round(self._cpu_seconds * 1000)
        if self._peak_bytes:
            self._running.used["peak_rss_mb"] = round(self._peak_bytes / 2**20, 1)
        if self._breach is None and "signal" in (self._intake.exit or {}) and self._kill_at is None:
            self._breach = self._meter.cpu(self._cpu_seconds)  # the kernel's own ceiling came first

    # --- wishes ------------------------------------------------------------------------------------------

    def _heed_wish(self) -> None:
        wish = self._running.wish
        if self._is_frozen and (wish is not Wish.PAUSE or not self._running.is_frozen):
            self._thaw()
        if wish is None or wish is Wish.HAND_BACK:
            self._pause_seen_at = None
        elif wish is Wish.PAUSE:
            if self._pause_is_due():
                self._freeze()
        elif wish is not self._stopping:
            self._stop(wish)

    def _stop(self, wish: Wish) -> None:
        """SIGTERM, so that `finally` blocks run; SIGKILL when the grace is over."""
        self._stopping = wish
        grace = self._grace(wish)
        self._kill_at = time.monotonic() + grace
        self._owes_term = grace > 0

    def _terminate(self, pid: int) -> None:
        self._owes_term = False
        try:
            os.killpg(pid, signal.SIGTERM)
        except ProcessLookupError:  # it does not lead its group yet
            send(pid, signal.SIGTERM)

    def _grace(self, wish: Wish) -> float:
        match wish:
            case Wish.KILL:
                return 0.0
            case Wish.CANCEL:
                return self._settings.cancel_grace_seconds
            case _:
                return SHORT_GRACE_SECONDS

    def _kill(self) -> None:
        self._kill_at = math.inf  # once is enough: what it misses is killed when the zygote clears away
        self._given_up_at = time.monotonic() + CLEARING_SECONDS  # a zygote that is stuck tells of no exit
        if self._intake.pid is None:
            self._is_abandoned = True  # the zygote has not come to it yet, and then kills it in the bud
        else:
            self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        assert self._intake.pid is not None
        with self._zygote.census() as census:
            signal_tree(self._intake.pid, number, census)

    # --- freezing ----------------------------------------------------------------------------------------

    def _pause_is_due(self) -> bool:
        """Whether to freeze: at once if it has no safe points; else only if none came within the time for that."""
        if self._is_frozen or self._stopping or self._intake.pid is None or self._intake.answer is not None:
            return False
        now = time.monotonic()
        self._pause_seen_at = self._pause_seen_at or now
        has_safe_points = self._running.checkpoint_id is not None or bool(self._running.checkpoint_state)
        return not has_safe_points or now - self._pause_seen_at >= self._settings.pause_ack_seconds

    def _freeze(self) -> None:
        self._is_frozen = True
        self._clock.stop()
        self._signal(signal.SIGSTOP)
        if not self._running.confirm_freeze():
            self._thaw()

    def _thaw(self) -> None:
        self._is_frozen = False
        self._pause_seen_at = None
        self._signal(signal.SIGCONT)
        self._clock.go_on()

    # --- the end -----------------------------------------------------------------------------------------

    def _clear_away(self) -> None:
        """Let go of the tether; the zygote kills what is left, and lets go when nothing is."""
        with contextlib.suppress(OSError):
            self._links.tether.shutdown(socket.SHUT_WR)
        has_vanished = self._intake.is_let_go and not self._intake.failure
        is_stuck = time.monotonic() >= self._given_up_at
        patience = SHORT_GRACE_SECONDS if self._is_abandoned or is_stuck else CLEARING_SECONDS
        deadline = time.monotonic() + patience
        while not self._intake.is_let_go and time.monotonic() < deadline:
            self._intake.wait(deadline - time.monotonic())
        # a zygote that still imports the agent's module knows of nothing to clear: it finds the tether let go later
        if has_vanished or not (self._intake.is_let_go or self._is_abandoned):
            self._zygote.clear()
