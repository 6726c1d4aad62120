"""Everything on one machine: the ledger, the API, a dispatcher, beat and agents, each a process of its own."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mindswarm_exec.archive.opening import OFF, archive_url
from mindswarm_exec.cli.children import Child, stop_all
from mindswarm_exec.client import ExecutionClient
from mindswarm_exec.embedded import EmbeddedServer, ledger_url
from mindswarm_exec.errors import (
    ApiUnavailable,
    InvalidRequest,
    LedgerUnavailable,
    MindSwarmError,
    Unauthenticated,
)
from mindswarm_exec.identifiers import AGENT_ID_PATTERN
from mindswarm_exec.settings import PREFIX, Settings

#: Seconds that the API may take to answer first. Slow machines import for a while.
READY_SECONDS = 45.0
#: Seconds beyond the drain grace that an agent may take to end.
AGENT_MARGIN_SECONDS = 3.0
#: Seconds that the processes without work of their own may take to end.
SERVICE_GRACE_SECONDS = 8.0

#: Variables that are settings: a child gets those of its stack and no others.
_VARIABLES = frozenset(PREFIX + name.upper() for name in Settings.model_fields)
_AGENT_NAME = re.compile(AGENT_ID_PATTERN)


@dataclass(frozen=True, slots=True)
class AgentPlan:
    """An agent to start: where its object is, and the name it goes by (None: its own)."""

    target: str
    name: str | None = None

    @classmethod
    def parse(cls, text: str) -> AgentPlan:
        """Read `MODULE:ATTR` or `NAME=MODULE:ATTR`.

        Raises:
            InvalidRequest: it is neither.
        """
        name, separator, target = text.rpartition("=")
        module, colon, attribute = target.partition(":")
        if not (module and colon and attribute):
            raise InvalidRequest(f"'{text}' names no agent: give MODULE:ATTR, or NAME=MODULE:ATTR.")
        if separator and not _AGENT_NAME.match(name):
            allowed = "lower case letters, digits, '.', '_' and '-', up to 64"
            raise InvalidRequest(f"'{name}' is no agent name: {allowed}.")
        return cls(target, name or None)

    @property
    def shown(self) -> str:
        return self.name or self.target


class Stack:
    """The processes of one machine. Start it, call `supervise` about twice a second, stop it."""

    def __init__(
        self, settings: Settings, agents: Sequence[AgentPlan], tell: Callable[[str], None], *, restart: bool = True
    ) -> None:
        self.settings = settings
        self.url = f"http://{_for_url(settings.api_host)}:{settings.api_port}"
        self.agents: list[Child] = []
        self.services: list[Child] = []
        self._plans = list(agents)
        self._tell = tell
        self._restart = restart
        self._server: EmbeddedServer | None = None

    @property
    def logs(self) -> Path:
        return self.settings.data_dir / "logs"

    def start(self, stop: threading.Event) -> None:
        """Start everything and return when the API answers. What was started is stopped if that fails.

        Raises:
            KeyboardInterrupt: `stop` was set meanwhile.
            InvalidRequest: the API's port is taken, or an agent or setting is malformed.
            LedgerUnavailable: there is no ledger.
            ApiUnavailable: the API did not come up.
        """
        check_port_is_free(self.settings.api_host, self.settings.api_port)
        self.logs.mkdir(parents=True, exist_ok=True)
        try:
            ledger, self._server = ledger_url(self.settings)
            environment = self._environment(ledger)
            self.services = [self._child(name, [name], environment) for name in ("api", "dispatcher", "beat")]
            self.agents = [self._agent(number, plan, environment) for number, plan in enumerate(self._plans)]
            for child in (*self.services, *self.agents):
                child.start()
            self._wait_until_ready(stop)
        except BaseException:
            self.stop()
            raise

    def supervise(self) -> None:
        """Start again what has ended, the ledger included, and tell so.

        Raises:
            InvalidRequest: a process ended because what it was asked is malformed.
        """
        if self._server is not None:
            self._revive_server(self._server)
        now = time.monotonic()
        for child in (*self.services, *self.agents):
            self._check(child)
            line = child.supervise(now) if self._restart else None
            if line is not None:
                self._tell(line)

    def kill(self) -> None:
        """End every process at once, for those who cannot wait. `stop` must still be called, or be under way."""
        for child in (*self.agents, *self.services):
            child.signal(signal.SIGKILL)

    def kill_everything(self) -> None:
        """End every process, the embedded ledger too, and give its data up."""
        self.kill()
        if self._server is not None and self._server.owned:
            with suppress(ProcessLookupError):
                os.kill(self._server.pid, signal.SIGKILL)

    def stop(self) -> None:
        """Stop everything in order: agents drain, then the services end, then the ledger. Idempotent."""
        drain = self.settings.drain_grace_seconds + AGENT_MARGIN_SECONDS
        killed = stop_all(self.agents, drain) + stop_all(self.services, SERVICE_GRACE_SECONDS)
        server, self._server = self._server, None
        if server is not None:
            server.stop()
        for name in killed:
            self._tell(f"{name} did not end when asked and was killed")

    def _wait_until_ready(self, stop: threading.Event) -> None:
        deadline = time.monotonic() + READY_SECONDS
        told = ""
        with ExecutionClient(self.url, api_key=self.settings.api_key) as client:
            while (refusal := _refusal_of(client)) is not None:
                if not isinstance(refusal, ApiUnavailable) and str(refusal) != told:
                    told = str(refusal)
                    self._tell(f"the API is not ready: {told}")
                if stop.wait(0.1):
                    raise KeyboardInterrupt
                for child in (*self.services, *self.agents):
                    self._check(child)
                api = self.services[0]
                if not api.is_alive:
                    raise ApiUnavailable(f"the API {api.how_it_ended()}. Its log is {api.log}.")
                if time.monotonic() > deadline:
                    raise ApiUnavailable(
                        f"the API was not ready within {READY_SECONDS:g} s: {refusal} Its log is {api.log}."
                    )

    def _check(self, child: Child) -> None:
        if child.refuses_to_run():
            raise InvalidRequest(f"{child.name} cannot run: it {child.how_it_ended()}. Its log is {child.log}.")

    def _revive_server(self, server: EmbeddedServer) -> None:
        try:
            if server.ensure_running():
                self._tell(f"the embedded Valkey had ended and runs again, as pid {server.pid}")
        except LedgerUnavailable as error:
            self._tell(f"the embedded Valkey does not run: {error}")

    def _agent(self, number: int, plan: AgentPlan, environment: dict[str, str]) -> Child:
        arguments = ["agent", plan.target] + (["--name", plan.name] if plan.name else [])
        name = plan.name or f"agent-{number + 1}"
        child = self._child(name, arguments, environment)
        child.name = f"agent {plan.shown}"
        return child

    def _child(self, name: str, arguments: list[str], environment: dict[str, str]) -> Child:
        return Child(name, arguments, self.logs / f"{name}.log", environment)

    def _environment(self, ledger: str) -> dict[str, str]:
        """The environment of every child: this process's, with what this stack has decided."""
        given = self.settings.model_dump(mode="json", exclude_unset=True)
        given |= {"redis_url": ledger, "data_dir": str(self.settings.data_dir.resolve()), "api_url": self.url}
        given |= {"api_host": self.settings.api_host, "api_port": self.settings.api_port}
        # decided here: a child is told where the ledger is, and cannot see that it is an embedded one
        given |= {"archive_url": archive_url(self.settings) or OFF}
        ours = {PREFIX + name.upper(): _as_variable(value) for name, value in given.items() if value is not None}
        theirs = {name: value for name, value in os.environ.items() if name not in _VARIABLES}
        return {**theirs, **ours}


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def check_port_is_free(host: str, port: int) -> None:
    """Make sure that the API can listen.

    Raises:
        InvalidRequest: it cannot; the message says why.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise InvalidRequest(
                f"the API cannot listen on {host} port {port}: {error.strerror or error}. {_who_listens(host, port)}"
                "Choose another with --port or MINDSWARM_API_PORT."
            ) from None


def _who_listens(host: str, port: int) -> str:
    with ExecutionClient(f"http://{_for_url(host)}:{port}") as client:
        if _refusal_of(client) is not None:
            return ""
    return (
        "An API of MindSwarm Exec runs there already: use that one (`mindswarm-exec agent MODULE:ATTR` in its "
        "directory gives it one more agent), or end it first. "
    )


def _refusal_of(client: ExecutionClient) -> MindSwarmError | None:
    """What the API has against answering; None once it does."""
    try:
        client.call("mindswarm.execution.getQueueStatus")
    except Unauthenticated:
        return None  # it is up; who may ask what is not the question here
    except MindSwarmError as error:
        return error
    return None


def _for_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _as_variable(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
