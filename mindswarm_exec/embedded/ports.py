"""Where an embedded server listens."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator

HOST = "127.0.0.1"
#: Below the ports that kernels give to outgoing connections: a client that keeps dialling a dead server can
#: neither take its port nor connect to itself, so a restart on the same port succeeds.
PORTS = range(20_000, 32_000)
PORT_ATTEMPTS = 20


def url_of(port: int) -> str:
    return f"redis://{HOST}:{port}/0"


def candidates(last: int) -> Iterator[int]:
    """Ports to try, that of the `last` server first: its clients find the next one there."""
    if last in PORTS:
        yield last
    yield from random.sample(PORTS, PORT_ATTEMPTS)


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does: TIME_WAIT is free
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True
