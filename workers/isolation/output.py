"""From bytes that a child writes to events: whole lines, bounded in memory, sent beside the supervising loop."""

from __future__ import annotations

import codecs
import logging
import threading
import time
from collections import deque

from workers.attempt import RunningAttempt

log = logging.getLogger(__name__)

#: Characters that may wait to be sent. Beyond them nothing is read, and the pipes hold the child up.
MOST_HELD = 256 * 1024
#: Pieces of one stream that wait together are sent as one, up to this many characters.
PIECE = 64 * 1024
#: The start of a line is sent by itself once it has waited this long for its end.
LINE_SECONDS = 0.5
#: A command's result has this much of the end of each stream.
TAIL_BYTES = 64 * 1024


class LineBuffer:
    """Cuts one stream into whole lines. UTF-8; what is none is spelled out."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._start = ""
        self._since = 0.0
        self._tail = bytearray()

    def feed(self, data: bytes) -> str:
        """The lines that are whole with `data`; a line too long to keep counts as whole."""
        self._tail += data
        del self._tail[:-TAIL_BYTES]
        text = self._start + self._decoder.decode(data)
        end = len(text) if len(text) > PIECE else text.rfind("\n") + 1
        if end or not self._start:
            self._since = time.monotonic()
        self._start = text[end:]
        return text[:end]

    def overdue(self) -> str:
        """The start of a line that has waited long enough, or nothing."""
        is_overdue = self._start and time.monotonic() - self._since >= LINE_SECONDS
        return self._taken() if is_overdue else ""

    def rest(self) -> str:
        """What is left when the stream has ended."""
        return self._taken() + self._decoder.decode(b"", final=True)

    @property
    def tail(self) -> str:
        return self._tail.decode("utf-8", "backslashreplace")

    def _taken(self) -> str:
        text, self._start = self._start, ""
        return text


class Teller:
    """Passes output and progress on to the attempt, on a thread of its own: the ledger may be slow or away."""

    def __init__(self, running: RunningAttempt) -> None:
        self._running = running
        self._changed = threading.Condition()
        self._output: deque[tuple[str, str]] = deque()
        self._progress: tuple[float, str] | None = None
        self._held = 0
        self._is_over = False
        self._thread: threading.Thread | None = None

    @property
    def has_room(self) -> bool:
        return self._held < MOST_HELD

    def output(self, text: str, stream: str) -> None:
        """Take a piece of output. Never waits: who asks `has_room` first keeps what is held bounded."""
        if not text:
            return
        with self._changed:
            self._held += len(text)
            if self._output and self._output[-1][1] == stream and len(self._output[-1][0]) + len(text) <= PIECE:
                text = self._output.pop()[0] + text
            self._output.append((text, stream))
            self._wake()

    def progress(self, fraction: float, message: str) -> None:
        with self._changed:
            self._progress = (fraction, message)
            self._wake()

    def finish(self) -> None:
        """Wait until everything is sent, or lost with a ledger that is away."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def wait_for_room(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self.has_room)

    def _wake(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._tell_all, name="teller", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _tell_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._output or self._progress or self._is_over)
                piece = self._output.popleft() if self._output else None
                progress, self._progress = self._progress, None
                if piece is None and progress is None:
                    return
            self._tell(piece, progress)
            with self._changed:
                self._held -= len(piece[0]) if piece else 0
                self._changed.notify_all()

    def _tell(self, piece: tuple[str, str] | None, progress: tuple[float, str] | None) -> None:
        try:
            if progress is not None:
                self._running.progress(*progress)
            if piece is not None:
                self._running.output(*piece)
        except Exception:  # news may be lost; the attempt goes on
            log.exception(
                "news of a process could not be reported",
                extra={"action": "report", "execution_id": self._running.execution_id},
            )
