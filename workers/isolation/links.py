"""The descriptors between the supervising side and one child."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading

#: Read at once from a pipe or socket.
READ_BYTES = 64 * 1024


class Alarm:
    """Wakes a selector from any thread. Ringing a closed one does nothing."""

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._lock = threading.Lock()
        self._is_open = True

    def ring(self) -> None:
        with self._lock:
            if self._is_open:
                os.eventfd_write(self.fd, 1)

    def quiet(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.fd)

    def close(self) -> None:
        with self._lock:  # the number may be another's as soon as it is closed
            self._is_open = False
            os.close(self.fd)


class Pipe:
    """The reading end of the child's stdout or stderr."""

    def __init__(self) -> None:
        self.fd, self.theirs = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self.fd, False)

    def read(self) -> bytes | None:
        """What has arrived; b"" if nothing has, None at the end of the stream."""
        try:
            return os.read(self.fd, READ_BYTES) or None
        except BlockingIOError:
            return b""


class Links:
    """All descriptors of one attempt. `theirs` are the ends that the child and the zygote get."""

    def __init__(self) -> None:
        self.alarm = Alarm()
        self.stdout, self.stderr = Pipe(), Pipe()
        self.channel, self._their_channel = socket.socketpair()
        self.tether, self._their_tether = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel.setblocking(False)
        self.tether.setblocking(False)
        self._outbox = bytearray()
        self._posting = threading.Lock()

    @property
    def theirs(self) -> tuple[int, ...]:
        """In the order of a request to the zygote."""
        return self._their_channel.fileno(), self.stdout.theirs, self.stderr.theirs, self._their_tether.fileno()

    def hand_over(self) -> None:
        """Close the other side's ends, once it has them: only then do streams end with their last writer."""
        self._their_channel.close()
        self._their_tether.close()
        os.close(self.stdout.theirs)
        os.close(self.stderr.theirs)

    def post(self, frame: bytes) -> None:
        """Put a frame on its way to the child; `push` sends it. From any thread."""
        with self._posting:
            self._outbox += frame
        self.alarm.ring()

    def push(self) -> None:
        """Send what the socket takes of the frames posted."""
        with self._posting, contextlib.suppress(BlockingIOError):
            try:
                while self._outbox:
                    del self._outbox[: self.channel.send(self._outbox)]
            except (BrokenPipeError, ConnectionResetError):
                self._outbox.clear()  # the child is gone, or is a program by now

    @property
    def owes_frames(self) -> bool:
        return bool(self._outbox)

    def read_channel(self) -> bytes | None:
        """As `Pipe.read`."""
        try:
            return self.channel.recv(READ_BYTES) or None
        except BlockingIOError:
            return b""
        except ConnectionResetError:
            return None

    def read_tether(self) -> dict[str, int | str] | None:
        """News from the zygote; an empty mapping if there are none, None once it has let go of its end."""
        try:
            news = self.tether.recv(4096)
        except BlockingIOError:
            return {}
        except ConnectionResetError:
            return None
        found: dict[str, int | str] | None = json.loads(news) if news else None
        return found

    def close(self) -> None:
        self.alarm.close()
        self.channel.close()
        self.tether.close()
        os.close(self.stdout.fd)
        os.close(self.stderr.fd)
