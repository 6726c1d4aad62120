"""A swarm whose agents run `controlled`, with short patience, and what the tests of control ask of it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, TypeVar

from mindswarm_exec.lifecycle import PAUSED, RUNNING
from mindswarm_exec.models.records import Execution
from tests.e2e.swarm import Process, Swarm
from tests.eventually import eventually, must_be

T = TypeVar("T")

TARGET = "tests.e2e.controlled:agent"
PAUSE_ACK_SECONDS = 0.6
CANCEL_GRACE_SECONDS = 1.0
#: What a handler is waited for is short; the machine may be slow all the same.
SHORT = {
    "MINDSWARM_PAUSE_ACK_SECONDS": str(PAUSE_ACK_SECONDS),
    "MINDSWARM_CANCEL_GRACE_SECONDS": str(CANCEL_GRACE_SECONDS),
}
#: The step at which `counting` holds.
HELD_AT = 3


class ControlledSwarm(Swarm):
    """A context, as `Swarm`; agents `one` and `two`, beat and a dispatcher are up within it."""

    def __init__(self, directory: Path, *, agents: tuple[str, ...] = ("one", "two"), **settings: str) -> None:
        super().__init__(directory, **(SHORT | settings))
        self.beat()
        self.dispatcher()
        for name in agents:
            self.controlled(name)
        self.await_agents(*agents)

    def controlled(self, name: str, **environment: str) -> Process:
        """Start an agent with the handlers of `controlled`."""
        return self.agent(name, TARGET, **environment)

    # --- work --------------------------------------------------------------------------------------------

    def running(self, task_type: str, file: str, **options: Any) -> str:
        """An execution that runs until `file` appears (and `file`.end, if it waits for two); its code has begun."""
        path = str(self.files / file)
        is_command = task_type == "wait.command"
        payload = {"path": path} if is_command else {"file": file, "end": f"{file}.end"}
        execution_id = self.start(task_type, payload, **options)
        self.await_status(execution_id, RUNNING)
        if not is_command:
            self.began(execution_id)
        if task_type.startswith("late."):
            eventually(lambda: must_be(self.get(execution_id).checkpoint, {"next": 1}))
        return execution_id

    def counting(self, task_type: str, file: str, **options: Any) -> str:
        """An execution that checkpoints at step 3 of 6 until `file` appears."""
        payload = {"steps": 6, "hold": HELD_AT, "file": file}
        execution_id = self.start(task_type, payload, **options)
        eventually(lambda: must_be(self.get(execution_id).checkpoint, {"next": HELD_AT}), 10_000)
        return execution_id

    def began(self, execution_id: str, attempt: int = 1) -> list[str]:
        """Wait until the code of an attempt has begun; agent, attempt and pid of its process."""

        def check() -> list[str]:
            lines = [line.split() for line in self.written("began") if line.startswith(execution_id)]
            assert len(lines) >= attempt, f"{len(lines)} attempts have begun"
            return lines[attempt - 1][1:]

        return eventually(check, 10_000)

    def pid_of(self, execution_id: str, attempt: int = 1) -> int:
        """The process that the handler of an attempt began in."""
        return int(self.began(execution_id, attempt)[2])

    def forked(self, execution_id: str) -> list[int]:
        """The processes that its handler has forked."""
        return [int(line.split()[1]) for line in self.lines("forked", execution_id)]

    def kill_handler(self, execution_id: str) -> None:
        """Kill the process of a process handler, as nobody here would."""
        os.kill(self.pid_of(execution_id), signal.SIGKILL)

    # --- control -----------------------------------------------------------------------------------------

    def pause(self, execution_id: str, reason: str = "") -> Execution:
        return self.run(self.executions.pause(execution_id, reason))

    def paused(self, execution_id: str, reason: str = "") -> Execution:
        """Pause it, and wait until it is."""
        self.pause(execution_id, reason)
        return self.await_status(execution_id, PAUSED)

    def resume(self, execution_id: str, **how: Any) -> Execution:
        return self.run(self.executions.resume(execution_id, **how))

    def cancel(self, execution_id: str, reason: str = "", *, force: bool = False) -> Execution:
        return self.run(self.executions.cancel(execution_id, reason, force=force))

    def retry(self, execution_id: str, **how: Any) -> Execution:
        return self.run(self.executions.retry(execution_id, **how))

    def answer(self, execution_id: str, answer: Any, **how: Any) -> Execution:
        return self.run(self.executions.provide_input(execution_id, answer, **how))

    def at_once(self, *awaitables: Awaitable[T]) -> list[T | BaseException]:
        """Await all of them together; an error counts as an answer."""

        async def wait() -> list[T | BaseException]:
            return await asyncio.gather(*awaitables, return_exceptions=True)

        return self.run(wait())

    def all_of(self, *awaitables: Awaitable[T]) -> list[T]:
        """Await all of them together; the first error is raised."""

        async def wait() -> list[T]:
            return await asyncio.gather(*awaitables)

        return self.run(wait())

    def released(self, execution_id: str, within_ms: int = 15_000) -> Execution:
        """Wait until no slot is held for it any more, by its receipt."""

        def check() -> Execution:
            found = self.get(execution_id)
            assert found.intent is not None
            assert found.intent.slot_released_at is not None
            return found

        return eventually(check, within_ms)

    def told(self, execution_id: str, event_type: str) -> list[dict[str, Any]]:
        """The data of its events of one type, in their order."""
        return [one["data"] for one in self.events(execution_id) if one["type"] == f"execution.{event_type}"]

    def lines(self, name: str, execution_id: str) -> list[str]:
        """What handlers wrote about one execution into the file `name`."""
        return [line for line in self.written(name) if execution_id in line]

    def await_lines_of(self, name: str, execution_id: str) -> list[str]:
        """Wait until handlers have written about one execution into the file `name`."""

        def check() -> list[str]:
            found = self.lines(name, execution_id)
            assert found, f"nothing of {execution_id} in {name}"
            return found

        return eventually(check, 10_000)


def gone(pid: int) -> None:
    assert not Path(f"/proc/{pid}").exists()
