"""What the handler of an attempt reports: progress, output, checkpoints. Each report brings wishes back."""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
import time
from typing import TypeVar

from pydantic import JsonValue

from mindswarm_exec.context import SafePointReached
from mindswarm_exec.errors import LedgerFull, LedgerUnavailable
from mindswarm_exec.identifiers import new_nonce
from mindswarm_exec.ledger import operations
from mindswarm_exec.ledger.faces import SyncLedger
from mindswarm_exec.ledger.operations import Fields, Operation
from mindswarm_exec.ledger.replies import Absent, Attempt, Exhausted, Fenced, Metered, Reported
from mindswarm_exec.service.submission import stored_json
from workers.wishes import Wish, Wishes

#: Progress is sent at most this often; what lies between is dropped for the latest.
PROGRESS_SECONDS = 0.1
#: Pauses between tries to reach a ledger that is away, in seconds; the last one repeats.
AWAY_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0)
#: A longer piece of output is cut into pieces of this size.
OUTPUT_CHUNK = 64 * 1024
MAX_MESSAGE = 500

R = TypeVar("R")


def storable(text: str) -> str:
    """The text with halves of surrogate pairs, which no UTF-8 can hold, spelled out."""
    return text.encode("utf-8", "backslashreplace").decode()


class Reports(Wishes):
    """The news of one attempt, on their way to the ledger. Safe between threads."""

    def __init__(self, held: Attempt, ledger: SyncLedger, max_payload_bytes: int) -> None:
        super().__init__()
        self.held = held
        self.checkpoint_state: dict[str, JsonValue] = json.loads(held.checkpoint) if held.checkpoint else {}
        self.checkpoint_id: str | None = None
        self.began = time.monotonic()
        self.sign_of_life = self.began
        self._ledger = ledger
        self._max_payload_bytes = max_payload_bytes
        # one report at a time: the ledger knows a repeated one by the token of the latest
        self._reporting = threading.Lock()
        self._progress_sent = 0.0
        self._progress_held: tuple[float, str] | None = None
        self._answers_used: set[str] = set()
        #: what the attempt has used, as far as it is known: told when it settles
        self.used: dict[str, int | float] = {}

    # --- news --------------------------------------------------------------------------------------------

    def progress(self, fraction: float, message: str) -> None:
        """Note progress; it is sent now, or with the next sign if the last one is too fresh."""
        fraction = min(1.0, max(0.0, float(fraction)))
        now = time.monotonic()
        with self._changing:
            self.sign_of_life = now - self.frozen_seconds
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
            with self._changing:
                held, self._progress_held = self._progress_held, None
                self._progress_sent = time.monotonic()
            if held is not None:
                self._heed(self._once(self._news_of_progress(*held)))
        finally:
            self._reporting.release()

    def output(self, chunk: str, stream: str) -> None:
        """Send a piece of output as events."""
        self._note_life()
        chunk, stream = storable(chunk), storable(stream)
        self.used["output_bytes"] = self.used.get("output_bytes", 0) + len(chunk.encode())
        for start in range(0, len(chunk), OUTPUT_CHUNK):
            self._report("execution.output", {"stream": stream, "text": chunk[start : start + OUTPUT_CHUNK]}, {})

    def checkpoint(self, state: dict[str, JsonValue]) -> None:
        """Record the state; stop here if a pause or a drain was asked for.

        Raises:
            SafePointReached: it is to stop here, and the state is recorded.
            InvalidRequest: the state is no JSON, or too large; nothing was recorded.
        """
        stored = stored_json(state, "the checkpoint", self._max_payload_bytes)
        self._note_life()
        checkpoint_id = new_nonce()
        news: dict[str, JsonValue] = {"checkpoint_id": checkpoint_id}
        # answers that were used up to here are part of the state: a later question may be the same
        used = {f"answer:{question_id}": "" for question_id in self._answers_used}
        reply = self._report("execution.checkpoint", news, {"checkpoint": stored, **used}, patiently=True)
        self._answers_used.clear()
        self.checkpoint_state, self.checkpoint_id = state, checkpoint_id
        self.raise_if_stopped()
        # the ledger's word on a pause is newer than any message: what it knows nothing of was withdrawn
        is_withdrawn = self._wish is Wish.PAUSE and isinstance(reply, Reported) and not reply.intent
        if self._wish is not None and not is_withdrawn:
            raise SafePointReached

    # --- steps -------------------------------------------------------------------------------------------

    def _note_life(self) -> None:
        self.sign_of_life = time.monotonic() - self.frozen_seconds

    def _report(
        self, event: str, data: dict[str, JsonValue], fields: Fields, *, patiently: bool = False
    ) -> Reported | Absent | Fenced | None:
        operation = self._news(event, data, fields)
        with self._reporting:
            reply = self._patiently(operation) if patiently else self._once(operation)
        self._heed(reply)
        return reply

    def _news(self, event: str, data: dict[str, JsonValue], fields: Fields) -> Operation[Reported | Absent | Fenced]:
        return operations.report(self.held, new_nonce(), event, json.dumps(data), fields)

    def _news_of_progress(self, fraction: float, message: str) -> Operation[Reported | Absent | Fenced]:
        data: dict[str, JsonValue] = {"fraction": fraction, "message": message}
        return self._news("execution.progress", data, {"progress_fraction": fraction, "progress_message": message})

    def _heed(self, reply: Reported | Metered | Exhausted | Absent | Fenced | None) -> None:
        """Take up what the ledger's answer to a report says about this attempt."""
        if isinstance(reply, Absent | Fenced):
            self.wish_for(Wish.LOST)
        elif isinstance(reply, Reported | Metered) and reply.intent in ("cancel", "pause"):
            self.wish_for(Wish(reply.intent))

    def _once(self, operation: Operation[R]) -> R | None:
        """News may be lost while the ledger is away; the outcome is not."""
        with contextlib.suppress(LedgerUnavailable):
            return self._ledger.run(operation)
        return None

    def _patiently(self, operation: Operation[R]) -> R | None:
        """The answer, however long the ledger is away; None if the handler has to stop meanwhile.

        A safe point that is not recorded is none. Raises LedgerFull: to wait for room would be to hang.
        """
        for pause in itertools.chain(AWAY_SECONDS, itertools.repeat(AWAY_SECONDS[-1])):
            try:
                return self._ledger.run(operation)
            except LedgerFull:
                raise
            except LedgerUnavailable:
                self._note_life()
            if self._must_stop.wait(pause):
                return None
        raise AssertionError("the pauses never end")
