"""Attempts that keep what is reported to themselves, so that a test sees one process and no ledger."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from mindswarm_exec.errors import InvalidRequest
from mindswarm_exec.identifiers import new_id, new_nonce
from mindswarm_exec.ledger.replies import Attempt
from mindswarm_exec.models.options import ExecutionOptions
from tests.eventually import eventually
from tests.isolation.handlers import agent
from tests.process_table import is_running
from workers.attempt import RunningAttempt, Wish
from workers.isolation.process import ProcessIsolation


class LocalAttempt(RunningAttempt):
    """An attempt whose reports end here; wishes, checkpoints and options are the real ones."""

    def __init__(
        self, task_type: str, payload: Any = None, checkpoint: dict[str, Any] | None = None, **limits: Any
    ) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.told: list[tuple[float, str]] = []
        self.calls: list[tuple[Any, ...]] = []
        self.freezes = 0
        self.may_freeze = True
        self.reader = threading.Event()
        self.reader.set()
        super().__init__(_attempt(task_type, payload, checkpoint, limits), None, 1 << 20)  # type: ignore[arg-type]

    def progress(self, fraction: float, message: str) -> None:
        self.told.append((fraction, message))

    def _report(self, event: str, data: dict[str, Any], fields: Any, *, patiently: bool = False) -> None:
        self.events.append((event, data))
        self.reader.wait()

    def meter(self, name: str, amount: float) -> None:
        if " " in name:
            raise InvalidRequest("no budget has that name.", field="name")
        self.calls.append(("meter", name, amount))

    def ask(self, prompt: str, schema: dict[str, Any] | None, key: str) -> Any:
        self.calls.append(("ask", prompt, schema, key))
        return True

    def start_child(self, task_type: str, payload: Any, options: dict[str, Any], key: str) -> str:
        self.calls.append(("start_child", task_type, payload, options, key))
        return "the child"

    def child_outcome(self, execution_id: str) -> Any:
        self.calls.append(("child_outcome", execution_id))
        return {"status": "completed", "result": 5, "error": None}

    def confirm_freeze(self) -> bool:
        self.freezes += 1
        if self.may_freeze:
            self.note_frozen()
        return self.is_frozen

    def text(self, stream: str) -> str:
        """All that was reported of one stream."""
        return "".join(
            data["text"] for event, data in self.events if event == "execution.output" and data["stream"] == stream
        )


def _attempt(task_type: str, payload: Any, checkpoint: dict[str, Any] | None, limits: dict[str, Any]) -> Attempt:
    options = ExecutionOptions.model_validate({"resource_limits": limits, "tags": ["blue"]})
    return Attempt(
        execution_id=new_id(),
        nonce=new_nonce(),
        number=2,
        task_type=task_type,
        project_id="default",
        task_id=None,
        payload=json.dumps(payload),
        options=options.stored,
        checkpoint=json.dumps(checkpoint) if checkpoint else None,
        failed_attempts=0,
        lost_attempts=0,
        intent="",
        agent_id="isolated",
    )


class Run:
    """One attempt that runs on a thread of its own, as on a slot of an agent."""

    def __init__(self, isolation: ProcessIsolation, attempt: LocalAttempt) -> None:
        self.attempt = attempt
        self._isolation = isolation
        self._future: Future[bytes] = Future()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            handler = agent.handlers[self.attempt.task_type]
            self._future.set_result(self._isolation.run(handler, self.attempt))
        except BaseException as error:  # noqa: BLE001  it is for the test to look at
            self._future.set_exception(error)

    def result(self, seconds: float = 30) -> Any:
        """What it ended with, read from its JSON, or raised."""
        return json.loads(self._future.result(seconds))

    @property
    def is_over(self) -> bool:
        return self._future.done()

    def end_on(self, wish: Wish) -> BaseException | None:
        self.attempt.wish_for(wish)
        return self._future.exception(30)


def noted(path: Path) -> dict[int, str]:
    """What handlers wrote into a file: a word for each pid."""
    lines = path.read_text().splitlines() if path.exists() else []
    return {int(pid): word for word, pid in (line.split() for line in lines)}


def await_noted(path: Path, count: int) -> dict[int, str]:
    def check() -> dict[int, str]:
        found = noted(path)
        assert len(found) >= count
        return found

    return eventually(check, 20_000)


def await_word(path: Path, word: str) -> None:
    def check() -> None:
        assert path.exists()
        assert word in path.read_text()

    eventually(check, 20_000)


def assert_gone(pids: Iterable[int]) -> None:
    assert [pid for pid in pids if is_running(pid)] == []
