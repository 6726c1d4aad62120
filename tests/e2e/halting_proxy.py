"""A TCP proxy before the ledger that falls silent at a certain request: who asks through it stands still there."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Self


class HaltingProxy:
    """Forwards to `port` on loopback, until a request holds `word`: from then on nothing, on any connection.

    `passes`: that one request still reaches the server, but not its reply.
    """

    def __init__(self, port: int, word: str, *, passes: bool) -> None:
        self.halted = threading.Event()
        self._target, self._word, self._passes = port, word.encode(), passes
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets = [self._listener]

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += [client, server]
                threading.Thread(target=self._requests, args=(client, server), daemon=True).start()
                threading.Thread(target=self._replies, args=(server, client), daemon=True).start()

    def _requests(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := client.recv(1 << 16):
                if self.halted.is_set():
                    continue
                is_the_one = self._word in chunk
                if is_the_one:
                    self.halted.set()
                if self._passes or not is_the_one:
                    server.sendall(chunk)

    def _replies(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := server.recv(1 << 16):
                if not self.halted.is_set():
                    client.sendall(chunk)
