"""The API as a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from mindswarm_exec.cli.stack import free_port
from mindswarm_exec.client import ExecutionClient
from mindswarm_exec.embedded import EmbeddedServer, start_embedded
from mindswarm_exec.errors import MindSwarmError
from mindswarm_exec.settings import Settings
from tests.api.hand_agent import HandAgent
from tests.eventually import eventually

ROOT = Path(__file__).parents[2]


class ApiProcess:
    def __init__(self, settings: Settings, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        environment = {key: value for key, value in os.environ.items() if not key.startswith("MINDSWARM_")} | {
            "MINDSWARM_REDIS_URL": str(settings.redis_url),
            "MINDSWARM_NAMESPACE": settings.namespace,
            "MINDSWARM_API_PORT": str(port),
            "PYTHONPATH": str(ROOT),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mindswarm_exec.cli", "api"], env=environment, cwd=ROOT
        )
        with ExecutionClient(self.url) as client:
            eventually(lambda: self._must_answer(client), within_ms=30_000)

    def _must_answer(self, client: ExecutionClient) -> None:
        try:
            client.get_queue_status()
        except MindSwarmError as error:
            raise AssertionError(str(error)) from None


@pytest.fixture
def process(settings: Settings) -> Iterator[ApiProcess]:
    api = ApiProcess(settings, free_port())
    yield api
    api.process.kill()
    api.process.wait()


def test_a_stop_is_orderly_and_tells_those_who_are_connected(process: ApiProcess) -> None:
    with connect(f"{process.url.replace('http', 'ws')}/ws") as socket:
        process.process.send_signal(signal.SIGTERM)
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=10)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012  # RFC 6455's registry: service restart
        assert process.process.wait(timeout=10) == 0


def test_a_client_follows_through_a_kill_of_the_api(settings: Settings) -> None:
    port = free_port()
    api = ApiProcess(settings, port)
    agent = HandAgent(settings)
    with ExecutionClient(api.url) as client:
        handle = client.start("code.survey")
        following = handle.events()
        seen = [next(following).event_type]
        attempt = agent.begin(handle.execution_id)
        api.process.kill()
        api.process.wait()
        agent.progress(attempt, 0.5)
        agent.complete(attempt, 7)
        api = ApiProcess(settings, port)
        seen += [event.event_type for event in following]
        assert seen[-2:] == ["execution.progress", "execution.completed"]
        assert len(seen) == 5
        assert handle.result(timeout=30) == 7
    agent.close()
    api.process.kill()
    api.process.wait()


def test_events_are_heard_again_after_the_ledgers_server_was_killed(tmp_path: Path) -> None:
    server: EmbeddedServer = start_embedded(tmp_path, durable=True)
    try:
        settings = Settings(redis_url=server.url, namespace="killed", api_port=0)
        api = ApiProcess(settings, free_port())
        try:
            with ExecutionClient(api.url) as client:
                following = client.handle(client.start("code.survey").execution_id).events()
                first = next(following)
                assert server.pid is not None
                os.kill(server.pid, signal.SIGKILL)
                eventually(lambda: must_be_revived(server), within_ms=10_000)
                eventually(lambda: api._must_answer(client), within_ms=10_000)
                client.cancel(str(first.context.execution_id))
                assert [event.event_type for event in following] == ["execution.cancelled"]
        finally:
            api.process.kill()
            api.process.wait()
    finally:
        server.stop()


def must_be_revived(server: EmbeddedServer) -> None:
    assert server.ensure_running()
