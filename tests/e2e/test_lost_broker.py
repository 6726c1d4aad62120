"""A broker goes away while a worker has messages that it has not acknowledged."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from queue import Empty

import pytest
from kombu import Connection, Exchange, Queue
from redis.exceptions import ConnectionError as RedisConnectionError

from mindswarm_exec.embedded import start_embedded
from tests.eventually import eventually
from workers.consumer import CarefulTransport


def test_a_lost_connection_ends_quietly_though_what_came_by_it_is_not_acknowledged(tmp_path: Path) -> None:
    """What Celery's consumer does with a connection whose reading failed: it collects what is left and closes it."""
    with start_embedded(tmp_path / "server", durable=False) as server:
        connection = Connection(server.url, transport=CarefulTransport)
        work = connection.SimpleQueue("work")
        control = connection.channel()  # as a worker's channel for remote control: it is the first to be closed
        connection.Consumer([Queue("control", Exchange("all", type="fanout"), auto_delete=True)], control).consume()
        work.put("to be acknowledged too late")
        message = work.get(timeout=20)
        with pytest.raises(Empty):
            work.get(timeout=0.2)  # a question that the server has not answered when it ends
        os.kill(server.pid, signal.SIGKILL)
        eventually(lambda: _ended(server.is_alive()))
        with contextlib.suppress(RedisConnectionError):
            connection.collect(socket_timeout=1)
        connection.close()
        with pytest.raises(connection.connection_errors, match="is lost"):
            message.ack()


def _ended(is_alive: bool) -> None:
    assert not is_alive
