"""An agent's rest: when it is idle it goes to sleep, and it wakes when it is told to. Its hooks run here."""

from __future__ import annotations

import ctypes
import gc
import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

from mindswarm_exec.agent import Agent, Hook
from mindswarm_exec.errors import LedgerUnavailable
from workers.engine import UnifiedTaskEngine

log = logging.getLogger(__name__)

#: How soon to look again: for the end of what still runs, and after the ledger refused or was away.
LOOK_SECONDS, AGAIN_SECONDS = 0.2, 1.0


class StartFailed(Exception):
    """An `on_start` hook failed: the agent must not open for work."""


class Standing(Protocol):
    """What the rest asks of the ledger. Each answers the state that the agent is in then."""

    def state(self) -> str: ...
    def sleep(self) -> str: ...
    def open(self) -> str: ...
    def sleep_on(self) -> str: ...


class Rest:
    """Brings the agent's process to the state that the ledger wants it in: awake, or asleep with its hooks run.

    One thread, so that hooks never overlap. It is told the state by the control channel and by each renewal. What it
    is told may be out of date, so it asks the ledger before it acts on it.
    """

    def __init__(
        self,
        agent: Agent,
        engine: UnifiedTaskEngine,
        standing: Standing,
        after_seconds: float | None,
        on_sleep: Callable[[], None],
    ) -> None:
        self._agent = agent
        self._engine = engine
        self._standing = standing
        self._after_seconds = after_seconds
        self._on_sleep = on_sleep
        self._changed = threading.Condition()
        self._state = ""
        self._open_since = 0.0
        self._times_told = 0
        self._stopped = False
        #: from before the first on_sleep hook until after the last on_wake hook: not fit for work
        self.is_asleep = False

    def prepare(self) -> None:
        """Run the `on_start` hooks. Raises StartFailed."""
        for hook in self._agent.start_hooks:
            try:
                self._engine.calls.run_hook(hook)
            except (Exception, SystemExit) as error:
                why = f"its on_start hook '{_name(hook)}' failed: {type(error).__name__}: {error}"
                raise StartFailed(f"agent '{self._agent.name}' does not open for work: {why}") from error

    def start(self) -> None:
        threading.Thread(target=self._attend, name="rest", daemon=True).start()

    def stop(self) -> None:
        """The process ends: nothing is sent to sleep or woken any more."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def tell(self, state: str, asked_at: int | None = None) -> None:
        """The ledger holds the agent to be in this state.

        `asked_at`: the `times_told` when the ledger was asked; what was told since then may be newer, and stands.
        """
        with self._changed:
            if asked_at is None or asked_at == self._times_told:
                self._note(state)
                self._times_told += 1
                self._changed.notify_all()

    @property
    def times_told(self) -> int:
        return self._times_told

    def _note(self, state: str) -> None:
        if state == "awake" != self._state:
            self._open_since = time.monotonic()
        self._state = state

    def _attend(self) -> None:
        while not self._stopped:
            told = self._times_told
            try:
                seconds = self._step()
            except LedgerUnavailable:  # whoever keeps the lease says so in the log
                seconds = AGAIN_SECONDS
            except Exception:  # a script failed: the thread must not end of it
                log.exception("the ledger failed to let the agent sleep or wake", extra={"action": "rest"})
                seconds = AGAIN_SECONDS
            self._wait(told, seconds)

    def _wait(self, told: int, seconds: float | None) -> None:
        """Wait `seconds`, or until something more than `told` was told."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._times_told != told, seconds)

    def _step(self) -> float | None:
        """Do what is to be done now; the seconds after which to look again, None until told."""
        match self._state:
            case "waking":
                return self._wake()
            case "awake" if self.is_asleep:
                return self._wake() if self._ask(self._standing.state) == "awake" else 0.0
            case "awake" if self._after_seconds is not None:
                return self._rest_if_idle(self._after_seconds)
            case "sleeping" if not self.is_asleep:
                return self._rest_when_idle()
        return None

    def _rest_when_idle(self) -> float:
        """An operator wants it to sleep, or it asked for it: what still runs is let finish."""
        if self._engine.wait_idle(LOOK_SECONDS) and self._ask(self._standing.state) == "sleeping":
            self._lie_down()
        return 0.0

    def _rest_if_idle(self, after_seconds: float) -> float:
        """Go to sleep if nothing has run since it opened for that long; else the time that is left to it."""
        since = self._engine.idle_since
        left = after_seconds if since is None else max(since, self._open_since) + after_seconds - time.monotonic()
        if left > 0:
            return left
        return AGAIN_SECONDS if self._ask(self._standing.sleep) == "awake" else 0.0

    def _lie_down(self) -> None:
        self.is_asleep = True
        for hook in self._agent.sleep_hooks:
            self._succeeds(hook, "on_sleep")
        self._succeeds(self._on_sleep, "on_sleep")
        _give_memory_back()
        log.info("the agent sleeps", extra={"action": "sleep", "agent": self._agent.name})

    def _wake(self) -> float:
        """Hooks first, then open. Where a hook fails, the agent sleeps on and the ledger turns to another."""
        if self.is_asleep and not all(self._succeeds(hook, "on_wake") for hook in self._agent.wake_hooks):
            self._ask(self._standing.sleep_on)
            return 0.0
        self.is_asleep = False
        if self._ask(self._standing.open) == "awake":
            log.info("the agent is awake", extra={"action": "wake", "agent": self._agent.name})
        return 0.0

    def _succeeds(self, hook: Hook, kind: str) -> bool:
        try:
            self._engine.calls.run_hook(hook)
        except (Exception, SystemExit) as error:  # SystemExit would end this thread in silence
            log.exception(
                "a hook failed: %s '%s'",
                kind,
                _name(hook),
                extra={"action": kind, "error_type": type(error).__name__},
            )
            return False
        return True

    def _ask(self, question: Callable[[], str]) -> str:
        """Ask the ledger; its answer counts unless something was told meanwhile, which may be newer."""
        told = self._times_told
        state = question()
        with self._changed:
            if self._times_told == told:
                self._note(state)
        return state


def _name(hook: Hook) -> str:
    return getattr(hook, "__name__", repr(hook))


def _give_memory_back() -> None:
    """Return to the system what unloading has freed; the C library would keep it."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):  # not glibc: it has its own way
        log.debug("this C library has no malloc_trim")
