"""A swarm of real processes for a test: one Valkey server of its own, agents, dispatchers, beat and the API."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar
from weakref import WeakSet

import httpx
import redis

from mindswarm_exec.cli.stack import free_port
from mindswarm_exec.embedded import EmbeddedServer, start_embedded
from mindswarm_exec.ledger.faces import AsyncLedger, connect_async
from mindswarm_exec.lifecycle import Status
from mindswarm_exec.models.options import StartRequest
from mindswarm_exec.models.records import AgentRecord, Execution
from mindswarm_exec.service.agents import AgentManager
from mindswarm_exec.service.executions import ExecutionService
from mindswarm_exec.settings import Settings
from tests.eventually import eventually, must_be, must_hold

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
HANDLERS = "tests.e2e.handlers:agent"
WIDE = "tests.e2e.handlers:wide"
#: Short periods, so that a test of a lost agent takes seconds; the proportions are those of the defaults.
FAST = {
    "MINDSWARM_NAMESPACE": "swarm",
    "MINDSWARM_LEASE_SECONDS": "3",
    "MINDSWARM_DELIVERY_SECONDS": "1",
    "MINDSWARM_SWEEP_SECONDS": "0.2",
    "MINDSWARM_ENFORCEMENT_GRACE_SECONDS": "0.5",
    "MINDSWARM_DRAIN_GRACE_SECONDS": "3",
}
START_MS = 60_000
WAIT_MS = 40_000


class Process:
    """One process that the swarm started; its output goes to a file that a failing test shows."""

    def __init__(self, name: str, command: list[str], environment: dict[str, str], log: Path) -> None:
        self.name = name
        self._log = log
        with log.open("ab") as output:
            self._child = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=output, stderr=output)
        self.pid = self._child.pid

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    @property
    def is_alive(self) -> bool:
        return self._child.poll() is None

    def freeze(self) -> None:
        self._child.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._child.send_signal(signal.SIGCONT)

    def terminate(self) -> None:
        self._child.terminate()

    def kill(self) -> None:
        """End it with -9, also if it is frozen."""
        self._child.kill()
        self._child.wait()

    def exit_code(self, within_seconds: float = 60) -> int:
        return self._child.wait(within_seconds)


class Swarm:
    """A context: every process it started is killed on the way out, by its pid."""

    all: ClassVar[WeakSet[Swarm]] = WeakSet()

    def __init__(
        self, directory: Path, *, durable: bool = False, broker_is_apart: bool = False, **settings: str
    ) -> None:
        self.directory = directory
        self.files = directory / "files"
        self.files.mkdir()
        self.server: EmbeddedServer = start_embedded(directory / "server", durable=durable)
        self.environment = FAST | settings
        self.environment.setdefault("MINDSWARM_REDIS_URL", self.server.url)
        self.broker_url = self.server.url
        if broker_is_apart:  # another database of the same server: no script of the ledger can reach it
            self.broker_url = self.environment["MINDSWARM_BROKER_URL"] = self.server.url.removesuffix("0") + "1"
        self.processes: list[Process] = []
        self._loop = asyncio.Runner()
        self.settings = Settings.from_environment(self.environment)
        self.connect()
        Swarm.all.add(self)

    def connect(self, url: str | None = None) -> None:
        """Speak to the ledger as a service beside it would; `url` goes by way of a proxy."""
        self.ledger = AsyncLedger(connect_async(url or self.server.url, self.settings), self.settings)
        self.executions = ExecutionService(self.ledger, self.settings)
        self.agents = AgentManager(self.ledger)
        self.redis = redis.Redis.from_url(self.server.url, decode_responses=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.kill()
        self.run(self.ledger.close())
        self._loop.close()
        self.redis.close()
        self.server.stop()
        Swarm.all.discard(self)

    # --- processes ---------------------------------------------------------------------------------------

    def process(self, name: str, *command: str, **environment: str) -> Process:
        """Start a Python process of the engine in the environment of the swarm."""
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("MINDSWARM_")}
        own = {"PYTHONPATH": str(ROOT), "SWARM_FILES": str(self.files), "PYTHONUNBUFFERED": "1"}
        everything = inherited | own | self.environment | environment
        log = self.directory / f"{name}.log"
        process = Process(name, [sys.executable, *command], everything, log)
        self.processes.append(process)
        return process

    def command(self, name: str, *words: str, **environment: str) -> Process:
        """Start a `mindswarm-exec` command."""
        return self.process(name, "-m", "mindswarm_exec.cli", *words, **environment)

    def agent(self, name: str, target: str = HANDLERS, **environment: str) -> Process:
        """Start an agent; `await_agents` waits for it."""
        return self.command(name, "agent", target, "--name", name, **environment)

    def dispatcher(self, name: str = "dispatcher", **environment: str) -> Process:
        return self.command(name, "dispatcher", **environment)

    def beat(self, name: str = "beat") -> Process:
        return self.command(name, "beat")

    def api(self, name: str = "api") -> str:
        """Start the API; its URL, once it answers."""
        port = free_port()
        self.command(name, "api", "--port", str(port))
        url = f"http://127.0.0.1:{port}"
        eventually(lambda: must_hold(_answers(url)), START_MS)
        return url

    def plain_celery(self, name: str, *words: str, **environment: str) -> Process:
        """Start Celery's own command."""
        return self.process(name, "-m", "celery", *words, **environment)

    def named(self, name: str) -> Process:
        """The process of that name that was started last."""
        return [one for one in self.processes if one.name == name][-1]

    @contextlib.contextmanager
    def frozen_server(self) -> Iterator[None]:
        """The server is silent meanwhile; its connections stay open."""
        os.kill(self.server.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.server.pid, signal.SIGCONT)

    def await_agents(self, *names: str, state: str = "awake") -> None:
        """Wait until these agents are open for work (or in `state`)."""

        def check() -> None:
            for name in names:
                assert self._state(name) == (state, "1" if state == "awake" else "0")

        eventually(check, START_MS)

    def await_dispatcher(self) -> None:
        """Wait until a dispatcher or beat has swept."""
        eventually(lambda: must_hold(self.redis.exists(self.key("swept_at"))), START_MS)

    def _state(self, name: str) -> tuple[str | None, str | None]:
        state, accepts = self.redis.hmget(self.key("agent", name), "state", "accepts_work")
        return state, accepts

    # --- the ledger --------------------------------------------------------------------------------------

    def run(self, awaitable: Awaitable[T]) -> T:
        """Await something of the services."""

        async def wait() -> T:
            return await awaitable

        return self._loop.run(wait())

    def key(self, family: str, member: str = "") -> str:
        return self.ledger.keys.of(family, member)

    def start(self, task_type: str, payload: Any = None, *, key: str | None = None, **options: Any) -> str:
        """Submit an execution; its id. `on="name"` prefers an agent."""
        if preferred := options.pop("on", None):
            options["agent"] = {"preferred_agent_id": preferred}
        request = StartRequest(task_type=task_type, payload=payload, options=options, idempotency_key=key)
        return self.run(self.executions.start(request)).execution_id

    def get(self, execution_id: str) -> Execution:
        return self.run(self.executions.get(execution_id))

    def agent_record(self, name: str) -> AgentRecord:
        return self.run(self.agents.get(name))

    def await_status(self, execution_id: str, *statuses: Status, within_ms: int = WAIT_MS) -> Execution:
        """Wait until the execution is in one of `statuses`."""

        def check() -> Execution:
            execution = self.get(execution_id)
            assert execution.status in statuses, f"it is {execution.status}: {execution.error}"
            return execution

        return eventually(check, within_ms)

    def await_end(self, execution_id: str, within_ms: int = WAIT_MS) -> Execution:
        """Wait until the execution has ended, however."""
        return self.await_status(execution_id, *(s for s in Status if s.is_terminal), within_ms=within_ms)

    def await_load(self, agent: str, load: int, within_ms: int = WAIT_MS) -> None:
        """Wait until the agent holds `load` attempts."""
        eventually(lambda: must_be(self.agent_record(agent).load, load), within_ms)

    def events(self, execution_id: str) -> list[dict[str, Any]]:
        """The events of one execution in the order of the stream; their `seq` is checked to be 1, 2, 3 …"""
        entries = [fields for _, fields in self.redis.xrange(self.key("events"))]
        found = [fields for fields in entries if fields["execution_id"] == execution_id]
        assert [int(fields["seq"]) for fields in found] == list(range(1, len(found) + 1)), "gaps or doubles"
        return [{**fields, "data": json.loads(fields["data"])} for fields in found]

    def event_types(self, execution_id: str) -> list[str]:
        """The events of one execution by type, without the common prefix."""
        return [event["type"].removeprefix("execution.") for event in self.events(execution_id)]

    # --- files that handlers and tests share -------------------------------------------------------------

    def touch(self, name: str) -> None:
        """Let the handlers go on that wait for the file `name`."""
        (self.files / name).touch()

    def written(self, name: str) -> list[str]:
        """The lines that handlers appended to the file `name`."""
        path = self.files / name
        return path.read_text().splitlines() if path.exists() else []

    def await_lines(self, name: str, count: int, within_ms: int = WAIT_MS) -> list[str]:
        """Wait until handlers have appended at least `count` lines to the file `name`."""

        def check() -> list[str]:
            lines = self.written(name)
            assert len(lines) >= count, f"{name}: {len(lines)} of {count} lines"
            return lines

        return eventually(check, within_ms)

    @classmethod
    def logs(cls) -> Iterable[tuple[str, str]]:
        """What the processes of every swarm that runs have said."""
        return [(process.name, process.log[-6000:]) for swarm in cls.all for process in swarm.processes]


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").status_code == 200
    except httpx.TransportError:
        return False


def count_of(events: Iterable[str], *types: str) -> dict[str, int]:
    """How often each of `types` is among the events."""
    seen = list(events)
    return {name: seen.count(name) for name in types}
