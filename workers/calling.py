"""Where handlers run: on the slot's thread, on the event loop beside it, or in a process of their own."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError as FutureCancelled
from concurrent.futures import Future
from functools import partial
from typing import Any

from pydantic_core import from_json

from mindswarm_exec.agent import Agent, Handler, InvalidPayload
from mindswarm_exec.context import (
    ExecutionCancelled,
    ExecutionContext,
    RetryAfter,
    SafePointReached,
    SyncExecutionContext,
)
from mindswarm_exec.errors import PayloadTooLarge
from mindswarm_exec.lifecycle import OutcomeKind
from workers.attempt import RunningAttempt, Wish
from workers.isolation.endings import HandlerFailed, LimitBreached, ProcessDied
from workers.isolation.process import ProcessIsolation
from workers.outcome import Outcome, cancelled, deferred, died, failed, limited, overran, raised, succeeded

log = logging.getLogger(__name__)


class HandlerExited(Exception):
    """An async handler tried to end the process."""


class HandlerCalls:
    """Calls an agent's handlers and hooks, each where it belongs, and makes a value of whatever happens in them."""

    def __init__(self, agent: Agent, processes: ProcessIsolation | None, max_payload_bytes: int) -> None:
        self._handlers = agent.handlers
        self._cancel_hooks = agent.cancel_hooks
        self._processes = processes
        self._max_payload_bytes = max_payload_bytes
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread: threading.Thread | None = None
        self._starting_loop = threading.Lock()

    def start(self) -> None:
        """Start the event loop, and the process that others are forked from, where handlers need them."""
        isolations = {handler.isolation for handler in self._handlers.values()}
        if "async" in isolations:
            self._handlers_loop()
        if "process" in isolations and self._processes is not None:
            self._processes.start()

    def rest(self) -> None:
        """Give back what only a running handler needs; the next one brings it back."""
        if self._processes is not None:
            self._processes.stop()

    def stop(self) -> None:
        """End the loop, and every process that a handler runs in."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
        self.rest()

    def close(self) -> None:
        """Stop, and give back the loop too, for a process that goes on without it. Nothing may run here any more."""
        self.stop()
        if self._loop is not None and self._loop_thread is not None:
            self._loop_thread.join()
            self._loop.close()

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
            return self._called(handler, running)
        except SafePointReached:
            paused = running.wish is Wish.PAUSE or running.parked is not None
            return Outcome(OutcomeKind.PAUSED if paused else OutcomeKind.HANDED_BACK)
        except (ExecutionCancelled, FutureCancelled, asyncio.CancelledError) as error:
            return _stopped(running, error)
        except RetryAfter as asked:
            return deferred(running, asked)
        except LimitBreached as breach:
            return limited(breach.kind, breach.message, breach.measured)
        except ProcessDied as death:
            return died(death.message, death.measured)
        except HandlerFailed as error:
            return failed(error.type, error.message, error.measured)
        except InvalidPayload as error:
            return raised(error, OutcomeKind.REFUSED)
        except BaseException as error:  # whatever a handler raises, sys.exit() too, is its outcome
            log.info(
                "a handler raised",
                exc_info=error,
                extra={"action": "perform", "execution_id": running.execution_id, "error_type": type(error).__name__},
            )
            return raised(error)

    def clean_up(self, running: RunningAttempt) -> None:
        """Run the agent's hooks for a cancelled execution; what one raises stops no other."""
        running.is_cleaning_up = True
        for hook in self._cancel_hooks:
            is_async = inspect.iscoroutinefunction(hook)
            context = ExecutionContext(running) if is_async else SyncExecutionContext(running)
            try:
                self.run_hook(partial(hook, context))
            except BaseException as error:  # noqa: BLE001  a hook is the user's code
                log.warning(
                    "a hook failed to clean up after a cancel",
                    extra={
                        "action": "clean_up",
                        "execution_id": running.execution_id,
                        "error_type": type(error).__name__,
                    },
                )

    def run_hook(self, hook: Callable[[], Awaitable[None] | None]) -> None:
        """Run a hook of the agent to its end: on this thread, or on the handlers' loop if it is async.

        Raises what the hook raises.
        """
        awaitable = hook()
        if awaitable is not None:
            asyncio.run_coroutine_threadsafe(_contained(awaitable), self._handlers_loop()).result()

    # --- steps -------------------------------------------------------------------------------------------

    def _called(self, handler: Handler, running: RunningAttempt) -> Outcome:
        if handler.isolation == "process":
            assert self._processes is not None, "whoever offers process handlers is given where they run"
            running.is_contained = True
            return succeeded(self._processes.run(handler, running).decode())
        return self._rendered(handler, self._call(handler, running))

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
        if len(encoded) > self._max_payload_bytes:
            return raised(PayloadTooLarge.of("the result", len(encoded), self._max_payload_bytes))
        return succeeded(encoded.decode())

    def _handlers_loop(self) -> asyncio.AbstractEventLoop:
        """The loop that async handlers and hooks run on; started when it is first needed."""
        with self._starting_loop:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._loop_thread = threading.Thread(target=self._loop.run_forever, name="handlers", daemon=True)
                self._loop_thread.start()
            return self._loop


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
        case Wish.CANCEL | Wish.KILL:
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
