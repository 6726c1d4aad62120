"""The calls of the child's context, carried out on the attempt in the agent."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from typing import Any

from pydantic_core import to_json

from mindswarm_exec.errors import InvalidRequest
from workers.attempt import RunningAttempt
from workers.isolation import wire
from workers.isolation.output import Teller

log = logging.getLogger(__name__)

#: Calls of one attempt that may wait for an answer at once; each has a thread.
MOST_CALLS = 32


class CallDesk:
    """Takes the frames of one child. News go to the teller; a call runs on a thread of its own, for it may wait as
    long as it likes (for the ledger, for somebody's answer) while limits and wishes are watched all the same.
    """

    def __init__(self, running: RunningAttempt, teller: Teller, answer: Callable[[bytes], None]) -> None:
        self._running = running
        self._teller = teller
        self._answer = answer
        self._lock = threading.Lock()
        self._open = 0

    def news(self, body: bytes) -> int:
        """Pass news on; the bytes of output among them."""
        method, *arguments = json.loads(body)
        if method == "progress":
            fraction, message = arguments
            self._teller.progress(float(fraction), str(message))
            return 0
        text, stream = arguments
        self._teller.output(str(text), str(stream))
        return len(str(text).encode("utf-8", "backslashreplace"))

    def call(self, body: bytes) -> None:
        """Carry out a call; its answer goes to the child when there is one."""
        asked = json.loads(body)
        with self._lock:
            is_too_much = self._open >= MOST_CALLS
            self._open += not is_too_much
        if is_too_much:
            refusal = InvalidRequest(f"more than {MOST_CALLS} calls of the context wait at once; make fewer.")
            self._answer(wire.packed_json(wire.ANSWER, {"id": asked["id"], "error": wire.told(refusal)}))
            return
        threading.Thread(target=self._carry_out, args=(asked,), name="context call", daemon=True).start()

    def _carry_out(self, asked: dict[str, Any]) -> None:
        try:
            method = asked["method"]
            if method not in wire.CALLS:
                raise InvalidRequest(f"the context has no call '{method}'.")
            value = getattr(self._running, method)(*asked["positional"], **asked["named"])
            answer = {"id": asked["id"], "value": value}
        except BaseException as error:  # noqa: BLE001  whatever it is, the child waits for it
            answer = {"id": asked["id"], "error": wire.told(error)}
        finally:
            with self._lock:
                self._open -= 1
        self._answer(wire.packed(wire.ANSWER, to_json(answer, fallback=str)))
