"""One round trip for the outcomes of several slots."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any, TypeVar

from mindswarm_exec.errors import MindSwarmError
from mindswarm_exec.ledger.faces import SyncLedger
from mindswarm_exec.ledger.operations import Operation

R = TypeVar("R")


class _Letter:
    """An operation on its way. `arrived` is released when there is an answer, or when this one is to lead."""

    __slots__ = ("answer", "arrived", "error", "leads", "operation")

    def __init__(self, operation: Operation[Any]) -> None:
        self.operation = operation
        self.arrived = threading.Lock()
        self.arrived.acquire()
        self.answer: Any = None
        self.error: Exception | None = None
        self.leads = False

    def go_alone(self, ledger: SyncLedger) -> None:
        try:
            self.answer = ledger.run(self.operation)
        except Exception as error:  # noqa: BLE001  raised by whoever waits for the answer
            self.error = error


class Courier:
    """Carries operations to the ledger; those that come while a round trip is under way share the next one.

    The thread whose operation finds nobody on the way goes itself, and takes along all that wait. Alone, a
    thread pays two uncontended locks for it; under load, slots share the cost of a round trip, most of which
    is the kernel's. Each operation stays atomic by itself, and is such as may be carried out twice.
    """

    def __init__(self, ledger: SyncLedger) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()
        self._waiting: deque[_Letter] = deque()
        self._is_under_way = False

    def run(self, operation: Operation[R]) -> R:
        """Carry out one operation. Raises as `SyncLedger.run`."""
        letter = _Letter(operation)
        with self._lock:
            self._waiting.append(letter)
            letter.leads = not self._is_under_way
            self._is_under_way = True
        if not letter.leads:
            letter.arrived.acquire()
        if letter.leads:
            self._go()
        if letter.error is not None:
            raise letter.error
        answer: R = letter.answer
        return answer

    def _go(self) -> None:
        with self._lock:
            letters = list(self._waiting)
            self._waiting.clear()
        try:
            answers = self._ledger.run_many([letter.operation for letter in letters])
            for letter, answer in zip(letters, answers, strict=True):
                letter.answer = answer
        except MindSwarmError as error:
            for letter in letters:
                letter.error = error
        except Exception:  # noqa: BLE001  a script failed: whose it was is told alone, and the others are answered
            for letter in letters:
                letter.go_alone(self._ledger)
        finally:
            self._pass_on(letters)

    def _pass_on(self, letters: list[_Letter]) -> None:
        """Wake those whose answers have come, and send the next one off if more have gathered."""
        with self._lock:
            heir = self._waiting[0] if self._waiting else None
            self._is_under_way = heir is not None
        if heir is not None:
            heir.leads = True
            heir.arrived.release()
        for letter in letters:
            if not letter.leads:
                letter.arrived.release()
