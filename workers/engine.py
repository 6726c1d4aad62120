"""UnifiedTaskEngine: runs attempts on an agent, from the claim to the settled outcome.

The message wakes, the ledger feeds: settling one attempt claims the next in the same script, so a backlog drains
at one round trip an execution.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError as FutureCancelled
from concurrent.futures import Future
from typing import Any, Protocol

from pydantic_core import from_json

from mindswarm_exec.agent import Agent, Handler, Hook, InvalidPayload
from mindswarm_exec.context import ExecutionCancelled, ExecutionContext, SafePointReached, SyncExecutionContext
from mindswarm_exec.errors import LedgerUnavailable, PayloadTooLarge
from mindswarm_exec.identifiers import new_nonce
from mindswarm_exec.ledger import operations
from mindswarm_exec.ledger.faces import SyncLedger
from mindswarm_exec.ledger.operations import Settlement
from mindswarm_exec.ledger.replies import Attempt, Claimed, Settled, Wake
from mindswarm_exec.lifecycle import RELEASE, OutcomeKind
from mindswarm_exec.settings import Settings
from workers.attempt import RunningAttempt, Wish
from workers.courier import Courier
from workers.outcome import Outcome, cancelled, overran, raised, settlement, succeeded

log = logging.getLogger(__name__)

#: Pauses between tries to reach a ledger that is away, in seconds; the last one repeats.
AWAY_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0)
NO_FIELDS: dict[str, str | int | float] = {}


class HandlerExited(Exception):
    """An async handler tried to end the process."""


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
        publish: Callable[[Sequence[Wake]], None] = lambda wakes: None,
        others_wait: Callable[[], bool] = lambda: False,
    ) -> None:
        self._handlers = agent.handlers
        self._agent_id = agent_id
        self._ledger = ledger
        self._courier = Courier(ledger)
        self._settings = settings
        self._observer = observer
        self._publish = publish
        self._others_wait = others_wait
        self._running: dict[str, RunningAttempt] = {}
        self._changed = threading.Condition()
        self._loop: asyncio.AbstractEventLoop | None = None
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
        running = RunningAttempt(attempt, self._ledger, self._settings.max_payload_bytes)
        self._enter(running)
        try:
            outcome = self.perform(running)
            running.send_progress(at_last=True)
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

    def perform(self, running: RunningAttempt) -> Outcome | None:
        """Run the handler: a value for whatever happens in it; None if the attempt was lost meanwhile."""
        if running.held.intent == "cancel":
            return cancelled(running)
        if running.held.intent == "pause":
            return Outcome(OutcomeKind.PAUSED)
        handler = self._handlers.get(running.task_type)
        if handler is None:
            return raised(
                InvalidPayload(f"this agent no longer implements '{running.task_type}'"), OutcomeKind.REFUSED
            )
        try:
            return self._rendered(handler, self._call(handler, running))
        except SafePointReached:
            paused = running.wish is Wish.PAUSE
            return Outcome(OutcomeKind.PAUSED if paused else OutcomeKind.HANDED_BACK)
        except (ExecutionCancelled, FutureCancelled, asyncio.CancelledError) as error:
            return _stopped(running, error)
        except InvalidPayload as error:
            return raised(error, OutcomeKind.REFUSED)
        except BaseException as error:  # noqa: BLE001  whatever a handler raises, sys.exit() too, is its outcome
            log.info(
                "a handler raised",
                extra={"action": "perform", "execution_id": running.execution_id, "error_type": type(error).__name__},
            )
            return raised(error)

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
        if reply is not None and reply.wakes:
            self._publish(reply.wakes)
        if isinstance(reply, Settled):
            return reply.following
        log.warning(
            "an outcome was refused: the attempt is another's or over",
            extra={"action": "settle", "execution_id": running.execution_id, "reply": type(reply).__name__},
        )
        return None

    # --- wishes from outside -----------------------------------------------------------------------------

    def wish(self, attempt_id: str, wish: Wish) -> None:
        """Pass a wish on to a running attempt; one that does not run here is no concern of ours."""
        running = self._running.get(attempt_id)
        if running is not None:
            running.wish_for(wish)

    def withdraw_pause(self, attempt_id: str) -> None:
        running = self._running.get(attempt_id)
        if running is not None:
            running.withdraw_pause()

    def wish_all(self, wish: Wish) -> None:
        """Pass a wish on to every running attempt."""
        for running in list(self._running.values()):
            running.wish_for(wish)

    def running(self) -> dict[str, RunningAttempt]:
        """The attempts that run here now, by attempt id."""
        return dict(self._running)

    def wait_idle(self, seconds: float) -> bool:
        """Wait until nothing runs, at most `seconds`; whether that was reached."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._running, seconds)

    # --- beside the slots --------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the event loop and the attendant that enforces clocks and sends held-back progress."""
        if any(handler.isolation == "async" for handler in self._handlers.values()):
            self._start_loop()
        threading.Thread(target=self._attend, name="attendant", daemon=True).start()

    def _start_loop(self) -> asyncio.AbstractEventLoop:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="handlers", daemon=True).start()
        return self._loop

    def run_hook(self, hook: Hook) -> None:
        """Run a hook of the agent to its end: on this thread, or on the handlers' loop if it is async.

        Never called by two threads at once. Raises what the hook raises.
        """
        awaitable = hook()
        if awaitable is not None:
            loop = self._loop or self._start_loop()
            asyncio.run_coroutine_threadsafe(_contained(awaitable), loop).result()

    def stop(self) -> None:
        """End the attendant and the loop; patience with an absent ledger ends too."""
        self._stopped.set()
        with self._changed:
            self._changed.notify_all()
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)

    def _attend(self) -> None:
        while not self._stopped.is_set():
            with self._changed:
                self._changed.wait_for(lambda: self._running or self._stopped.is_set())
            now = time.monotonic()
            for running in list(self._running.values()):
                if running.has_clock and (overdue := running.overdue(now)):
                    running.wish_for(overdue)
                if running.owes_progress:
                    running.send_progress()
            self._stopped.wait(0.1)

    # --- steps -------------------------------------------------------------------------------------------

    def _call(self, handler: Handler, running: RunningAttempt) -> Any:
        arguments = (handler.parse(running.held.payload),) if handler.takes_payload else ()
        if handler.isolation == "thread":
            return handler.function(SyncExecutionContext(running), *arguments)
        assert self._loop is not None, "start() makes the loop that async handlers run on"
        coroutine = handler.function(ExecutionContext(running), *arguments)
        future: Future[Any] = asyncio.run_coroutine_threadsafe(_to_completion(coroutine, running), self._loop)
        return future.result()

    def _rendered(self, handler: Handler, result: Any) -> Outcome:
        try:
            encoded = handler.render(result)
            from_json(encoded)  # what is stored can be read: no number too long, no nesting too deep
        except ValueError as error:
            return raised(TypeError(f"the result is not JSON: {type(error).__name__}"))
        if len(encoded) > self._settings.max_payload_bytes:
            return raised(PayloadTooLarge.of("the result", len(encoded), self._settings.max_payload_bytes))
        return succeeded(encoded.decode())

    def _enter(self, running: RunningAttempt) -> None:
        if self._observer is not None:
            self._observer.began(running.held)
        with self._changed:
            self._running[running.held.id] = running
            self.idle_since = None
            self._changed.notify_all()
        if self.is_draining:
            running.wish_for(Wish.HAND_BACK)

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


async def _to_completion(coroutine: Any, running: RunningAttempt) -> Any:
    """Await the handler as a task of its own, so that a wish can cancel it from any thread.

    The task is awaited to its end even when it resists: its slot stays taken as long as its code runs.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(_contained(coroutine))

    def interrupt() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the process ends anyway
            loop.call_soon_threadsafe(task.cancel)

    running.interrupt = interrupt
    if running.wish is not None and not running.wish.waits_for_safe_point:
        task.cancel()
    try:
        return await task
    finally:
        coroutine.close()  # if it was cancelled before its first step


async def _contained(coroutine: Any) -> Any:
    """Await the handler; what would end the event loop, and with it every other handler, ends this one only."""
    try:
        return await coroutine
    except (SystemExit, KeyboardInterrupt) as error:
        raise HandlerExited(f"the handler raised {type(error).__name__}") from error


def _stopped(running: RunningAttempt, error: BaseException) -> Outcome | None:
    """The outcome of a handler that was made to stop, by the wish that made it."""
    now = time.monotonic()
    match running.wish:
        case Wish.CANCEL:
            return cancelled(running)
        case Wish.TIMEOUT:
            return overran(running, OutcomeKind.TIMED_OUT, now - running.began)
        case Wish.STALL:
            return overran(running, OutcomeKind.STALLED, now - running.sign_of_life)
        case Wish.LOST:
            return None
        case Wish.HAND_BACK:
            return Outcome(OutcomeKind.HANDED_BACK)
        case _:
            return raised(error)
