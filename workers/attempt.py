"""One attempt while it runs: what its handler reports, and the wishes that reach it."""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache

from pydantic import JsonValue

from mindswarm_exec.context import ExecutionCancelled, SafePointReached
from mindswarm_exec.errors import LedgerUnavailable
from mindswarm_exec.identifiers import new_nonce
from mindswarm_exec.ledger import operations
from mindswarm_exec.ledger.faces import SyncLedger
from mindswarm_exec.ledger.operations import Fields, Operation
from mindswarm_exec.ledger.replies import Absent, Attempt, Fenced, Reported
from mindswarm_exec.models.options import ExecutionOptions
from mindswarm_exec.service.submission import stored_json

#: Progress is sent at most this often; what lies between is dropped for the latest.
PROGRESS_SECONDS = 0.1
#: Pauses between tries to record a checkpoint while the ledger is away, in seconds; the last one repeats.
AWAY_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0)
#: A longer piece of output is cut into pieces of this size.
OUTPUT_CHUNK = 64 * 1024
MAX_MESSAGE = 500

_Answer = Reported | Absent | Fenced


def storable(text: str) -> str:
    """The text with halves of surrogate pairs, which no UTF-8 can hold, spelled out."""
    return text.encode("utf-8", "backslashreplace").decode()


class Wish(StrEnum):
    """Why a running handler should stop. Those from CANCEL on do not wait for a safe point."""

    PAUSE = "pause"
    HAND_BACK = "hand_back"
    CANCEL = "cancel"
    TIMEOUT = "timeout"
    STALL = "stall"
    LOST = "lost"

    @property
    def waits_for_safe_point(self) -> bool:
        return self in (Wish.PAUSE, Wish.HAND_BACK)


@lru_cache(maxsize=256)
def _parsed(options: str) -> ExecutionOptions:
    """The options of an attempt; most executions share a few sets of them."""
    return ExecutionOptions.model_validate_json(options)


class RunningAttempt:
    """The engine's side of one attempt; the context of the handler speaks to it. Safe between threads.

    `interrupt` is called when the handler has to stop at once; for a thread handler that is a flag only,
    which its next context call finds.
    """

    def __init__(self, held: Attempt, ledger: SyncLedger, max_payload_bytes: int) -> None:
        self.held = held
        self.options = _parsed(held.options)
        self.execution_id = held.execution_id
        self.task_type = held.task_type
        self.project_id = held.project_id
        self.task_id = held.task_id
        self.agent_id = held.agent_id
        self.attempt = held.number
        self.tags = self.options.tags
        self.checkpoint_state: dict[str, JsonValue] = json.loads(held.checkpoint) if held.checkpoint else {}
        self.checkpoint_id: str | None = None
        self.started_at = datetime.now(UTC)
        self.began = time.monotonic()
        self.sign_of_life = self.began
        self.interrupt: Callable[[], None] = lambda: None
        self._ledger = ledger
        self._max_payload_bytes = max_payload_bytes
        self._lock = threading.Lock()
        # one report at a time: the ledger knows a repeated one by the token of the latest
        self._reporting = threading.Lock()
        self._wish: Wish | None = None
        self._must_stop = threading.Event()
        self._progress_sent = 0.0
        self._progress_held: tuple[float, str] | None = None

    # --- wishes ------------------------------------------------------------------------------------------

    @property
    def wish(self) -> Wish | None:
        return self._wish

    def wish_for(self, wish: Wish) -> None:
        """Ask the handler to stop. What asks for an immediate stop outdoes a pause; the first of those stays."""
        with self._lock:
            if self._wish is not None and not self._wish.waits_for_safe_point:
                return
            self._wish = wish
        if not wish.waits_for_safe_point:
            self._must_stop.set()
            self.interrupt()

    def withdraw_pause(self) -> None:
        """A pause that was not yet obeyed is off."""
        with self._lock:
            if self._wish is Wish.PAUSE:
                self._wish = None

    def overdue(self, now: float) -> Wish | None:
        """The timeout that has passed at `now` (monotonic seconds), if any."""
        timeout, stall = self.options.timeout_seconds, self.options.stall_timeout_seconds
        if timeout is not None and now - self.began >= timeout:
            return Wish.TIMEOUT
        if stall is not None and now - self.sign_of_life >= stall:
            return Wish.STALL
        return None

    @property
    def has_clock(self) -> bool:
        return self.options.timeout_seconds is not None or self.options.stall_timeout_seconds is not None

    # --- what the context calls --------------------------------------------------------------------------

    def raise_if_stopped(self) -> None:
        """Stop a thread handler here if something asked for it."""
        if self._wish is not None and not self._wish.waits_for_safe_point:
            raise ExecutionCancelled(self._wish.value)

    def progress(self, fraction: float, message: str) -> None:
        """Note progress; it is sent now, or with the next sign if the last one is too fresh."""
        fraction = min(1.0, max(0.0, float(fraction)))
        now = time.monotonic()
        with self._lock:
            self.sign_of_life = now
            self._progress_held = (fraction, storable(message[:MAX_MESSAGE]))
            if now - self._progress_sent < PROGRESS_SECONDS:
                return
        self.send_progress()

    @property
    def owes_progress(self) -> bool:
        """Whether the latest progress was held back and may be sent by now."""
        return self._progress_held is not None and time.monotonic() - self._progress_sent >= PROGRESS_SECONDS

    def send_progress(self, *, at_last: bool = False) -> None:
        """Send the latest progress if it was not sent yet; while another report is under way only `at_last`."""
        if self._progress_held is None or not self._reporting.acquire(blocking=at_last):
            return
        try:
            with self._lock:
                held, self._progress_held = self._progress_held, None
                self._progress_sent = time.monotonic()
            if held is not None:
                self._heed(self._once(self._news_of_progress(*held)))
        finally:
            self._reporting.release()

    def output(self, chunk: str, stream: str) -> None:
        """Send a piece of output as events."""
        self.sign_of_life = time.monotonic()
        chunk, stream = storable(chunk), storable(stream)
        for start in range(0, len(chunk), OUTPUT_CHUNK):
            self._report("execution.output", {"stream": stream, "text": chunk[start : start + OUTPUT_CHUNK]}, {})

    def checkpoint(self, state: dict[str, JsonValue]) -> None:
        """Record the state; stop here if a pause or a drain was asked for.

        Raises:
            SafePointReached: it is to stop here, and the state is recorded.
            InvalidRequest: the state is no JSON, or too large; nothing was recorded.
        """
        stored = stored_json(state, "the checkpoint", self._max_payload_bytes)
        self.sign_of_life = time.monotonic()
        checkpoint_id = new_nonce()
        news: dict[str, JsonValue] = {"checkpoint_id": checkpoint_id}
        self._report("execution.checkpoint", news, {"checkpoint": stored}, patiently=True)
        self.checkpoint_state, self.checkpoint_id = state, checkpoint_id
        self.raise_if_stopped()
        if self._wish is not None:
            raise SafePointReached

    # --- steps -------------------------------------------------------------------------------------------

    def _report(self, event: str, data: dict[str, JsonValue], fields: Fields, *, patiently: bool = False) -> None:
        operation = self._news(event, data, fields)
        with self._reporting:
            reply = self._patiently(operation) if patiently else self._once(operation)
        self._heed(reply)

    def _news(self, event: str, data: dict[str, JsonValue], fields: Fields) -> Operation[_Answer]:
        return operations.report(self.held, new_nonce(), event, json.dumps(data), fields)

    def _news_of_progress(self, fraction: float, message: str) -> Operation[_Answer]:
        data: dict[str, JsonValue] = {"fraction": fraction, "message": message}
        return self._news("execution.progress", data, {"progress_fraction": fraction, "progress_message": message})

    def _heed(self, reply: _Answer | None) -> None:
        """Take up what the ledger's answer to a report says about this attempt."""
        if isinstance(reply, Absent | Fenced):
            self.wish_for(Wish.LOST)
        elif reply is not None and reply.intent == "cancel":
            self.wish_for(Wish.CANCEL)
        elif reply is not None and reply.intent == "pause":
            self.wish_for(Wish.PAUSE)

    def _once(self, operation: Operation[_Answer]) -> _Answer | None:
        """News may be lost while the ledger is away; the outcome is not."""
        with contextlib.suppress(LedgerUnavailable):
            return self._ledger.run(operation)
        return None

    def _patiently(self, operation: Operation[_Answer]) -> _Answer | None:
        """A safe point that is not recorded is none: wait for the ledger, unless the handler has to stop."""
        for pause in itertools.chain(AWAY_SECONDS, itertools.repeat(AWAY_SECONDS[-1])):
            if (reply := self._once(operation)) is not None:
                return reply
            self.sign_of_life = time.monotonic()
            if self._must_stop.wait(pause):
                return None
        raise AssertionError("the pauses never end")
