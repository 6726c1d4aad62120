"""The wishes that reach a running attempt from outside, and which of them counts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from enum import StrEnum

from mindswarm_exec.context import ExecutionCancelled

#: A process that is killed at the end of its grace has this long to be gone.
CONTAINED_SECONDS = 6.0


class Wish(StrEnum):
    """Why a running handler should stop. Those from CANCEL on do not wait for a safe point."""

    PAUSE = "pause"
    HAND_BACK = "hand_back"
    CANCEL = "cancel"
    KILL = "kill"  # a cancel without a grace
    TIMEOUT = "timeout"
    STALL = "stall"
    LOST = "lost"

    @property
    def waits_for_safe_point(self) -> bool:
        return self in (Wish.PAUSE, Wish.HAND_BACK)

    @property
    def is_cancel(self) -> bool:
        return self in (Wish.CANCEL, Wish.KILL)


class Wishes:
    """What is asked of one attempt. Safe between threads.

    `interrupt` is called when the handler has to stop at once; for a thread handler that is a flag only, which its
    next context call finds. `nudge` is called whenever the wish has changed, for whoever watches over it.
    """

    def __init__(self) -> None:
        self.interrupt: Callable[[], None] = lambda: None
        self.nudge: Callable[[], None] = lambda: None
        #: the monotonic instant at which an immediate stop was asked for
        self.stop_asked_at: float | None = None
        #: while hooks clean up after a cancel, their context calls are let through
        self.is_cleaning_up = False
        #: whether its handler runs in a process, which whoever watches over it kills in the end
        self.is_contained = False
        #: whether it was settled over the head of a handler that does not stop
        self.is_fenced = False
        self._changing = threading.Condition()
        self._must_stop = threading.Event()
        self._wish: Wish | None = None
        self._frozen_at: float | None = None
        self._frozen_seconds = 0.0

    @property
    def wish(self) -> Wish | None:
        return self._wish

    def wish_for(self, wish: Wish) -> None:
        """Ask the handler to stop.

        What asks for an immediate stop outdoes a pause; the first of those stays, but that a kill outdoes a cancel.
        A frozen process is past handing anything back.
        """
        with self._changing:
            if self._wish is not None and not self._wish.waits_for_safe_point:
                if not (wish is Wish.KILL and self._wish is Wish.CANCEL):
                    return
            elif wish is Wish.HAND_BACK and self.is_frozen:
                return
            self._wish = wish
            if not wish.waits_for_safe_point:
                self.stop_asked_at = self.stop_asked_at or time.monotonic()
                self._must_stop.set()
            self._changing.notify_all()
        if not wish.waits_for_safe_point:
            self.interrupt()
        self.nudge()

    def withdraw_pause(self) -> None:
        """A pause is off; a process that was frozen for it goes on."""
        with self._changing:
            if self._wish is Wish.PAUSE:
                self._wish = None
            if self._frozen_at is not None:
                self._frozen_seconds += time.monotonic() - self._frozen_at
                self._frozen_at = None
            self._changing.notify_all()
        self.nudge()

    def raise_if_stopped(self) -> None:
        """Stop a thread handler here if something asked for it."""
        if self._must_stop.is_set() and not self.is_cleaning_up:
            raise ExecutionCancelled(str(self._wish))

    def ignores_cancel(self, now: float, grace_seconds: float) -> bool:
        """Whether the grace of a cancel is over at `now` (monotonic seconds), and the handler still runs."""
        if self._wish is None or not self._wish.is_cancel or self.is_fenced or self.stop_asked_at is None:
            return False
        return now - self.stop_asked_at >= grace_seconds + (CONTAINED_SECONDS if self.is_contained else 0)

    # --- frozen in place ---------------------------------------------------------------------------------

    @property
    def is_frozen(self) -> bool:
        return self._frozen_at is not None

    @property
    def frozen_seconds(self) -> float:
        """How long it was frozen in all: its timeouts stood still for so long."""
        return self._frozen_seconds

    def note_frozen(self) -> None:
        """The ledger has it as paused, and its process is stopped."""
        with self._changing:
            if self._wish is not None and self._wish.waits_for_safe_point and self._frozen_at is None:
                self._wish = Wish.PAUSE  # a drain that was asked for meanwhile strands it
                self._frozen_at = time.monotonic()

    def wait_until_thawed(self) -> None:
        """Wait while it is frozen, until it may go on or has to stop for good."""
        with self._changing:
            self._changing.wait_for(lambda: not self.is_frozen or self._must_stop.is_set())
