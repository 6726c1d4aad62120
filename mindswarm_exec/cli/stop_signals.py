"""Ctrl-C, SIGTERM and a closed terminal, counted: the first asks, those after it insist."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def on_stop(asked: Callable[[int], None]) -> Iterator[None]:
    """Call `asked` with 1, 2, … at each signal to stop, in the main thread; what was there before comes back."""
    count = 0

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        asked(count)

    former = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
