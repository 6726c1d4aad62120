"""A Celery program as others write it: it knows a broker, a queue and a task's name, and imports nothing of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from celery import Celery

if TYPE_CHECKING:
    from tests.e2e.swarm import Swarm

START = "mindswarm.execution.start"


class CeleryProgram:
    """Submits at the front door, and waits for answers through the result backend."""

    def __init__(self, swarm: Swarm) -> None:
        self.queue = f"{swarm.settings.namespace}.executions"
        self.app = Celery(broker=swarm.broker_url, backend=swarm.server.url, set_as_current=False)

    def send(self, params: dict[str, Any], *args: Any, **options: Any) -> Any:
        return self.app.send_task(START, args=args, kwargs=params, queue=self.queue, **options)

    def start(self, params: dict[str, Any], *args: Any, **options: Any) -> Any:
        """The answer of the front door."""
        return self.send(params, *args, **options).get(timeout=20)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.app.close()
