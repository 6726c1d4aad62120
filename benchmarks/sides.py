"""Two engines with one face, so that one scenario measures both."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import redis

from benchmarks.processes import process, wait_until
from benchmarks.workloads import plain_celery
from mindswarm_exec.direct import DirectClient
from mindswarm_exec.ledger.keys import Keys
from mindswarm_exec.settings import Settings

STARTUP_SECONDS = 30


class Side(Protocol):
    """One engine under measurement."""

    name: str

    def worker(self, events: bool) -> Any: ...
    def client(self) -> Any: ...
    def submit(self, client: Any, payload: dict[str, Any]) -> Any: ...
    def result(self, submitted: Any) -> int: ...
    def ended(self) -> int: ...


@dataclass
class Ours:
    """MindSwarm Exec through `DirectClient`."""

    url: str
    logs: Path
    name: str = "mindswarm"

    def __post_init__(self) -> None:
        self.keys = Keys("mindswarm")
        self.redis = redis.Redis.from_url(self.url)

    @contextmanager
    def worker(self, events: bool) -> Iterator[int]:
        environment = {
            "MINDSWARM_REDIS_URL": self.url,
            "MINDSWARM_AGENT": "benchmarks.workloads:agent",
            "MINDSWARM_TASK_EVENTS": "1" if events else "0",
        }
        options = ["-m", "celery", "-A", "workers.agent", "worker", "--loglevel=WARNING", *_quiet(events)]
        with process(options, environment, self.logs / "agent.log") as child:
            agent = self.keys.of("agent", "bench")
            wait_until(lambda: self.redis.hget(agent, "accepts_work") == b"1", STARTUP_SECONDS, "the agent's start")
            yield child.pid

    def client(self) -> DirectClient:
        return DirectClient(self.url, Settings.from_environment({}))

    def submit(self, client: DirectClient, payload: dict[str, Any]) -> Any:
        return client.start("bench.noop", payload)

    def result(self, submitted: Any) -> int:
        return int(submitted.result(timeout=30))

    def ended(self) -> int:
        return int(self.redis.zcard(self.keys.of("status", "completed")))


@dataclass
class PlainCelery:
    """Celery with its Redis broker and result backend."""

    url: str
    logs: Path
    name: str = "celery"

    def __post_init__(self) -> None:
        self.redis = redis.Redis.from_url(self.url)

    @contextmanager
    def worker(self, events: bool) -> Iterator[int]:
        environment = {"BENCH_REDIS_URL": self.url, "BENCH_EVENTS": "1" if events else "0"}
        options = ["-m", "celery", "-A", "benchmarks.workloads", "worker", "--loglevel=WARNING", *_quiet(events)]
        with process(options, environment, self.logs / "celery.log") as child:
            inspect = plain_celery(self.url).control.inspect(timeout=0.5)
            wait_until(lambda: bool(inspect.ping()), STARTUP_SECONDS, "the Celery worker's start")
            yield child.pid

    def client(self) -> Any:
        return plain_celery(self.url)

    def submit(self, client: Any, payload: dict[str, Any]) -> Any:
        return client.tasks["bench.noop"].apply_async(args=[payload])

    def result(self, submitted: Any) -> int:
        return int(submitted.get(timeout=30))

    def ended(self) -> int:
        return sum(1 for _ in self.redis.scan_iter("celery-task-meta-*", count=5000))


def _quiet(events: bool) -> list[str]:
    return ["--without-gossip", "--without-mingle", *(["-E"] if events else [])]
