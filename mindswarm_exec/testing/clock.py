"""The clock that a swarm goes by: the server's, put forward by the test."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from mindswarm_exec.errors import InvalidRequest
from mindswarm_exec.ledger.faces import SyncLedger


class TestClock:
    """Every deadline of the ledger goes by it. What a process measures itself, such as the timeout of a handler that
    runs, goes by real time."""

    __test__ = False  # for pytest: it holds no tests

    def __init__(self, ledger: SyncLedger) -> None:
        self._ledger = ledger
        self._offset = ledger.keys.of("clock_offset")

    def now(self) -> datetime:
        """The instant that it shows."""
        seconds, microseconds = self._ledger.client.time()
        ahead_ms = int(self._ledger.client.get(self._offset) or 0)
        return datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=microseconds, milliseconds=ahead_ms)

    def advance(self, seconds: float) -> None:
        """Put it forward. What is due then happens at the next `swarm.sweep()`.

        Raises:
            InvalidRequest: time does not go backwards.
        """
        if seconds < 0:
            raise InvalidRequest(f"the clock cannot be put back by {-seconds:g} s; advance takes seconds from 0 on.")
        self._ledger.client.incrby(self._offset, round(seconds * 1000))
