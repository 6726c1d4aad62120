"""A running Flower, asked over its own HTTP API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from mindswarm_exec.cli.stack import free_port
from tests.e2e.swarm import START_MS, Swarm
from tests.eventually import eventually

PASSWORD = ("operator", "open sesame")


class Flower:
    """`mindswarm-exec flower` on the broker of a swarm, with a password."""

    def __init__(self, swarm: Swarm, name: str = "flower") -> None:
        port = free_port()
        self.process = swarm.command(name, "flower", "--port", str(port), FLOWER_BASIC_AUTH=":".join(PASSWORD))
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", auth=PASSWORD, timeout=20)
        eventually(self._answers, START_MS)

    def _answers(self) -> None:
        try:
            assert self.http.get("/healthcheck").status_code == 200
        except httpx.TransportError as error:
            raise AssertionError(f"Flower does not answer: {error!r}") from None

    def get(self, path: str, **params: str | int) -> Any:
        answer = self.http.get(path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def await_worker(self, agent_id: str) -> str:
        """Wait until Flower has heard of the agent; its node name."""

        def check() -> str:
            alive = [name for name, is_alive in self.get("/api/workers", status=1).items() if is_alive]
            found = [name for name in alive if name.startswith(f"{agent_id}@")]
            assert found, alive
            return found[0]

        return eventually(check, START_MS, every_ms=100)

    def await_task(self, attempt: str, state: str) -> Mapping[str, Any]:
        """Wait until Flower shows the attempt in a state."""

        def check() -> Mapping[str, Any]:
            tasks: Mapping[str, Mapping[str, Any]] = self.get("/api/tasks")
            assert attempt in tasks, sorted(tasks)
            assert tasks[attempt]["state"] == state
            return tasks[attempt]

        return eventually(check, START_MS, every_ms=100)

    def press(self, button: str, **params: str | int) -> httpx.Response:
        """What a button of a page does: a POST to `/api/<button>`."""
        return self.http.post(f"/api/{button}", params=params)

    def revoke(self, attempt: str, **params: str) -> None:
        answer = self.http.post(f"/api/task/revoke/{attempt}", params=params)
        assert answer.status_code == 200, answer.text
