"""What arrives from one child, taken in on the thread that supervises it."""

from __future__ import annotations

import select
import time
from collections.abc import Callable

from workers.attempt import RunningAttempt
from workers.isolation import wire
from workers.isolation.calls import CallDesk
from workers.isolation.endings import ProcessDied
from workers.isolation.links import Links, Pipe
from workers.isolation.output import LineBuffer, Teller


class Intake:
    """Reads frames, printed output and the zygote's news, and keeps what matters for the outcome.

    Attributes:
        answer: the frame that tells how the handler ended, once it has come.
        fault: set where the child sent what is no frame.
        output_bytes: printed and streamed so far.
        pid, exit: what the zygote has told; `exit` is {"exit": code} or {"signal": number}.
        failure: why the zygote could not start the child.
        is_let_go: the zygote has let go of the tether: nothing is left of the attempt, or it is gone itself.
    """

    def __init__(self, running: RunningAttempt, links: Links, max_payload_bytes: int) -> None:
        self.answer: wire.Frame | None = None
        self.fault: ProcessDied | None = None
        self.output_bytes = 0
        self.pid: int | None = None
        self.exit: dict[str, int | str] | None = None
        self.failure = ""
        self.is_let_go = False
        self.stdout, self.stderr = LineBuffer(), LineBuffer()
        self._links = links
        self._teller = Teller(running)
        self._desk = CallDesk(running, self._teller, links.post)
        self._frames = wire.FrameReader(wire.frame_limit(max_payload_bytes))
        self._engine_side: dict[int, Callable[[], bool]] = {
            links.alarm.fd: self._take_alarm,
            links.tether.fileno(): self._take_news,
        }
        self._child_side: dict[int, Callable[[], bool]] = {
            links.channel.fileno(): self._take_frames,
            links.stdout.fd: lambda: self._take_output(links.stdout, "stdout", self.stdout),
            links.stderr.fd: lambda: self._take_output(links.stderr, "stderr", self.stderr),
        }

    def wait(self, seconds: float) -> None:
        """Take in what arrives, for at most this long.

        The child is only read while there is room for what it says; full pipes hold it up instead.
        """
        self._links.push()
        readers = self._engine_side | (self._child_side if self._teller.has_room else {})
        poll = select.poll()
        for descriptor in readers:
            poll.register(descriptor, select.POLLIN)
        if self._links.owes_frames:
            channel = self._links.channel.fileno()
            poll.register(channel, select.POLLOUT | (select.POLLIN if channel in readers else 0))
        for descriptor, events in poll.poll(max(0.0, seconds) * 1000):
            if events & ~select.POLLOUT and descriptor in readers and not readers[descriptor]():
                self._engine_side.pop(descriptor, None)
                self._child_side.pop(descriptor, None)

    def tell_starts_of_lines(self) -> None:
        """Report lines that have no end yet and have waited long enough for it."""
        self._teller.output(self.stdout.overdue(), "stdout")
        self._teller.output(self.stderr.overdue(), "stderr")

    def drain(self, seconds: float) -> None:
        """Take in what is left in the pipes of a child that is gone; nobody writes to them any more."""
        deadline = time.monotonic() + seconds
        while self._child_side and time.monotonic() < deadline:
            self._teller.wait_for_room()
            for descriptor, reader in list(self._child_side.items()):
                if not reader():
                    del self._child_side[descriptor]

    def finish(self) -> None:
        """Report the last of it, and wait until that is sent."""
        self._teller.output(self.stdout.rest(), "stdout")
        self._teller.output(self.stderr.rest(), "stderr")
        self._teller.finish()

    # --- each returns False at the end of its stream -----------------------------------------------------

    def _take_alarm(self) -> bool:
        self._links.alarm.quiet()
        return True

    def _take_news(self) -> bool:
        news = self._links.read_tether()
        if news is None:
            self.is_let_go = True
            return False
        if "pid" in news:
            self.pid = int(news["pid"])
        elif "failed" in news:
            self.failure = str(news["failed"])
        elif news:
            self.exit = news
        return True

    def _take_frames(self) -> bool:
        data = self._links.read_channel()
        if data is None:
            return False
        try:
            for frame in self._frames.feed(data):
                self._take_frame(frame)
        except (wire.BadFrame, ValueError, KeyError, TypeError, RecursionError) as error:
            self.fault = ProcessDied(f"the process was killed: it sent what no handler sends ({error})")
            return False
        return True

    def _take_frame(self, frame: wire.Frame) -> None:
        match frame.kind:
            case wire.NEWS:
                self.output_bytes += self._desk.news(frame.body)
            case wire.CALL:
                self._desk.call(frame.body)
            case wire.RESULT | wire.FAILURE:
                self.answer = frame
            case _:
                raise wire.BadFrame(f"a frame of kind {frame.kind!r}")

    def _take_output(self, pipe: Pipe, stream: str, buffer: LineBuffer) -> bool:
        data = pipe.read()
        if data is None:
            return False
        self.output_bytes += len(data)
        self._teller.output(buffer.feed(data), stream)
        return True
