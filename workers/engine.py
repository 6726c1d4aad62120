"""UnifiedTaskEngine: runs attempts on an agent, from the claim to the settled outcome.

The message wakes, the ledger feeds: settling one attempt claims the next in the same script, so a backlog drains
at one round trip an execution.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from mindswarm_exec.agent import Agent
from mindswarm_exec.errors import LedgerUnavailable
from mindswarm_exec.identifiers import new_nonce
from mindswarm_exec.ledger import operations
from mindswarm_exec.ledger.faces import SyncLedger
from mindswarm_exec.ledger.operations import Settlement
from mindswarm_exec.ledger.replies import Attempt, Claimed, Refused, Settled, Wake
from mindswarm_exec.lifecycle import CANCEL, PAUSED, RELEASE, STRAND, OutcomeKind
from mindswarm_exec.service.control import CANCELLED_ON_REQUEST
from mindswarm_exec.settings import Settings
from workers.attempt import RunningAttempt, Wish
from workers.calling import HandlerCalls
from workers.courier import Courier
from workers.isolation.process import ProcessIsolation
from workers.outcome import (
    Outcome,
    cancelled,
    settlement,
)
from workers.reports import AWAY_SECONDS
from workers.spans import begun_span, settle_span

log = logging.getLogger(__name__)

NO_FIELDS: dict[str, str | int | float] = {}
#: Wishes kept for attempts that do not run here yet.
MOST_EARLY = 1000


class Observer(Protocol):
    """Told of every attempt that runs here, for Flower. Called on the attempt's thread; must not block."""

    def began(self, attempt: Attempt) -> None: ...
    def ended(self, attempt: Attempt, outcome: Outcome | None, seconds: float) -> None: ...


class UnifiedTaskEngine:
    """Runs one attempt after another on the calling thread; called from as many threads as there are slots.

    Synchronous on purpose: a handler that returns at once then costs one round trip and no hand-over between
    threads. `async` handlers run on one event loop beside the slots.
    """

    def __init__(
        self,
        agent: Agent,
        agent_id: str,
        ledger: SyncLedger,
        settings: Settings,
        *,
        observer: Observer | None = None,
        processes: ProcessIsolation | None = None,
        publish: Callable[[Sequence[Wake]], None] = lambda wakes: None,
        others_wait: Callable[[], bool] = lambda: False,
    ) -> None:
        self.calls = HandlerCalls(agent, processes, settings.max_payload_bytes)
        self._agent_id = agent_id
        self._ledger = ledger
        self._courier = Courier(ledger)
        self._settings = settings
        self._observer = observer
        self._publish = publish
        self._others_wait = others_wait
        self._running: dict[str, RunningAttempt] = {}
        #: wishes that came ahead of the attempt that they are for, the oldest first; most come after its end
        self._early: dict[str, Wish] = {}
        self._changed = threading.Condition()
        self._stopped = threading.Event()
        self.is_draining = False
        #: the monotonic instant since which nothing runs, None while something does
        self.idle_since: float | None = time.monotonic()

    # --- the pipeline ------------------------------------------------------------------------------------

    def run(self, execution_id: str, nonce: str) -> None:
        """Run the attempt that a message named, then those that the ledger feeds to the freed slot."""
        attempt = self.claim(execution_id, nonce)
        while attempt is not None:
            attempt = self.run_attempt(attempt)

    def run_attempt(self, attempt: Attempt) -> Attempt | None:
        """Run one claimed attempt to a decided outcome; returns the next one for this slot, already claimed."""
        limit, span = self._settings.max_payload_bytes, begun_span(attempt)
        running = RunningAttempt(attempt, self._ledger, limit, self._publish, span)
        self._enter(running)
        try:
            with running.in_trace():
                outcome = self._performed(running)
        finally:
            self._leave(running)
        if self._observer is not None:
            self._observer.ended(attempt, outcome, time.monotonic() - running.began)
        return self.settle(running, outcome)

    def claim(self, execution_id: str, nonce: str) -> Attempt | None:
        """Take up the attempt; None where another message or a later decision got ahead of this one."""
        operation = operations.claim(execution_id, nonce, new_nonce()[:16], self._agent_id)
        reply = self._patiently(lambda: self._ledger.run(operation))
        if isinstance(reply, Claimed):
            return reply.attempt
        log.info("a message was out of date", extra={"action": "claim", "execution_id": execution_id})
        return None

    def settle(self, running: RunningAttempt, outcome: Outcome | None) -> Attempt | None:
        """Record the outcome, however long the ledger is away; the next attempt for this slot, or None."""
        feeds = not (self.is_draining or self._others_wait())
        slot = "claim" if feeds else "wake"
        if outcome is None:  # lost: another has taken over; this only frees the slot the dead code held
            how, fields = Settlement(RELEASE, slot=slot), NO_FIELDS
        else:
            how, fields = settlement(running, outcome, slot)
        operation = operations.settle(running.held, self._agent_id, f"agent:{self._agent_id}", how, fields)
        reply = self._patiently(lambda: self._courier.run(operation))
        settle_span(running, outcome, reply)
        if reply is not None and reply.wakes:
            self._publish(reply.wakes)
        if isinstance(reply, Settled):
            return reply.following
        if isinstance(reply, Refused) and reply.status == PAUSED:
            self._strand(running, "ended")  # it ended as it was being frozen; a resume begins another attempt
        log.warning(
            "an outcome was refused: the attempt is another's or over",
            extra={"action": "settle", "execution_id": running.execution_id, "reply": type(reply).__name__},
        )
        return None

    # --- wishes from outside -----------------------------------------------------------------------------

    def wish(self, attempt_id: str, wish: Wish) -> None:
        """Pass a wish on to a running attempt, or to one whose claim is still under way."""
        with self._changed:
            running = self._running.get(attempt_id)
            if running is None:
                self._early[attempt_id] = wish
                self._forget_early(MOST_EARLY)
        if running is not None:
            running.wish_for(wish)

    def withdraw_pause(self, attempt_id: str) -> None:
        with self._changed:
            self._early.pop(attempt_id, None)
            running = self._running.get(attempt_id)
        if running is not None:
            running.withdraw_pause()

    def _forget_early(self, most: int) -> None:
        while len(self._early) > most:
            del self._early[next(iter(self._early))]

    def wish_all(self, wish: Wish) -> None:
        """Pass a wish on to every running attempt."""
        for running in list(self._running.values()):
            running.wish_for(wish)

    def hand_back_all(self) -> None:
        """Hand on what runs at its next safe point.

        What is frozen can reach none: its process ends, it stays paused, and a resume begins it anew elsewhere.
        """
        for running in list(self._running.values()):
            if running.is_frozen:
                self._strand(running, "drained")
            else:
                running.wish_for(Wish.HAND_BACK)

    def running(self) -> dict[str, RunningAttempt]:
        """The attempts that run here now, by attempt id."""
        return dict(self._running)

    def wait_idle(self, seconds: float) -> bool:
        """Wait until nothing runs, at most `seconds`; whether that was reached."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._running, seconds)

    # --- beside the slots --------------------------------------------------------------------------------

    def start(self) -> None:
        """Start where handlers run, and the attendant that enforces clocks and sends held-back progress."""
        self.calls.start()
        threading.Thread(target=self._attend, name="attendant", daemon=True).start()

    def stop(self) -> None:
        """End the attendant and the loop; patience with an absent ledger ends too."""
        self._stopped.set()
        with self._changed:
            self._changed.notify_all()
        self.calls.stop()

    def _attend(self) -> None:
        while not self._stopped.is_set():
            with self._changed:
                self._changed.wait_for(lambda: self._running or self._stopped.is_set())
            now = time.monotonic()
            for running in list(self._running.values()):
                try:
                    self._look_after(running, now)
                except Exception:  # whatever it is, the clocks of the others go on
                    log.exception(
                        "an attempt could not be looked after", extra={"execution_id": running.execution_id}
                    )
            self._stopped.wait(0.1)

    def _look_after(self, running: RunningAttempt, now: float) -> None:
        if running.has_clock and (overdue := running.overdue(now)):
            running.wish_for(overdue)
        if running.ignores_cancel(now, self._settings.cancel_grace_seconds):
            self._fence(running)
        if running.owes_progress:
            running.send_progress()

    def _fence(self, running: RunningAttempt) -> None:
        """The handler ignores a cancel: it is cancelled all the same; its slot waits for its code to end."""
        running.is_fenced = True
        data = json.dumps({"attempt": running.attempt, "agent_id": self._agent_id, "unresponsive": True})
        how = Settlement(CANCEL, data, slot="keep")
        fields = {"error": CANCELLED_ON_REQUEST.model_dump_json(exclude_defaults=True)}
        operation = operations.settle(running.held, self._agent_id, f"agent:{self._agent_id}", how, fields)
        try:
            reply = self._ledger.run(operation)
        except LedgerUnavailable:
            running.is_fenced = False  # the next round tries again, and a sweep does it in the end
            return
        log.warning(
            "a handler ignores its cancel; it is fenced, and its slot stays taken until it ends",
            extra={"action": "fence", "execution_id": running.execution_id, "reply": type(reply).__name__},
        )

    def _strand(self, running: RunningAttempt, reason: str) -> None:
        """Its process is gone or about to end: it stays paused, without a slot."""
        data = json.dumps({"attempt": running.attempt, "agent_id": self._agent_id, "reason": reason})
        source = f"agent:{self._agent_id}"
        operation = operations.settle(running.held, self._agent_id, source, Settlement(STRAND, data), NO_FIELDS)
        with contextlib.suppress(LedgerUnavailable):  # what is not told now is found when the lease ends
            self._ledger.run(operation)
        running.end_span("stranded")
        running.wish_for(Wish.LOST)

    # --- steps -------------------------------------------------------------------------------------------

    def _performed(self, running: RunningAttempt) -> Outcome | None:
        """Call the handler, and clean up after it if it was cancelled; None if the attempt was lost meanwhile."""
        outcome = self.calls.perform(running)
        running.send_progress(at_last=True)
        if outcome is not None:
            running.wait_until_thawed()  # it ended as it was frozen: that counts when it may go on
        if running.is_fenced or (running.is_frozen and running.wish is not None and running.wish.is_cancel):
            outcome = cancelled(running)  # however it ended when it was let go on for that
        if outcome is not None and outcome.kind is OutcomeKind.CANCELLED:
            self.calls.clean_up(running)
        return outcome

    def _enter(self, running: RunningAttempt) -> None:
        if self._observer is not None:
            self._observer.began(running.held)
        with self._changed:
            self._running[running.held.id] = running
            early = self._early.pop(running.held.id, None)
            self.idle_since = None
            self._changed.notify_all()
        for wish in (Wish.HAND_BACK if self.is_draining else None, early):
            if wish is not None:
                running.wish_for(wish)

    def _leave(self, running: RunningAttempt) -> None:
        with self._changed:
            self._running.pop(running.held.id, None)
            if not self._running:
                self.idle_since = time.monotonic()
            self._changed.notify_all()

    def _patiently(self, call: Callable[[], Any]) -> Any:
        """Repeat `call` until the ledger answers; scripts may run twice. None once the engine is stopped."""
        tries = 0
        while True:
            try:
                return call()
            except LedgerUnavailable:
                if tries == 0:
                    log.warning("the ledger is away; what is to be reported is kept", extra={"action": "wait"})
                if self._stopped.wait(AWAY_SECONDS[min(tries, len(AWAY_SECONDS) - 1)]):
                    return None
                tries += 1
