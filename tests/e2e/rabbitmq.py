"""A RabbitMQ of a test's own: its own node, ports, data and port mapper, on loopback."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path
from typing import Self

from mindswarm_exec.cli.stack import free_port
from tests.debian import required
from tests.eventually import eventually

#: Debian's script without the wrapper around it, which insists on a system account.
SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
START_MS = 120_000


class RabbitMQ:
    """A context. The broker and its port mapper are children of this process, and end with it."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        required("rabbitmq-server")
        self.port, mapper_port = free_port(), free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}//"
        settings = directory / "rabbitmq-env.conf"
        settings.touch()
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "ERL_EPMD_PORT": str(mapper_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_CONF_ENV_FILE": str(settings),
            "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq"),
            "RABBITMQ_NODENAME": f"test{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(directory / "mnesia"),
            "RABBITMQ_LOG_BASE": str(directory / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}",
        }
        self.log = directory / "output.log"
        with self.log.open("ab") as output:
            self._mapper = subprocess.Popen(["epmd"], env=environment, stdout=output, stderr=output)
            self._server = subprocess.Popen(
                [str(SERVER)], env=environment, stdout=output, stderr=output, stdin=subprocess.DEVNULL
            )

    def __enter__(self) -> Self:
        try:
            eventually(self._accepts, START_MS, every_ms=200)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def _accepts(self) -> None:
        assert self._server.poll() is None, self.log.read_text(errors="replace")[-3000:]
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", self.port)) == 0, "it does not listen yet"

    def _stop(self) -> None:
        self._server.terminate()
        try:
            self._server.wait(30)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()
        self._mapper.kill()
        self._mapper.wait()
