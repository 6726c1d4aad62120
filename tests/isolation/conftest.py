"""One zygote for all tests of a module; the tests that kill theirs start their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mindswarm_exec.settings import Settings
from tests.isolation.attempts import LocalAttempt, Run
from workers.isolation.process import ProcessIsolation

TARGET = "tests.isolation.handlers:agent"
SETTINGS = Settings(cancel_grace_seconds=1.0, pause_ack_seconds=0.3, max_output_mb=2)

Start = Callable[..., Run]


@pytest.fixture(scope="module")
def isolation() -> Iterator[ProcessIsolation]:
    found = ProcessIsolation(TARGET, SETTINGS)
    found.start()
    yield found
    found.stop()


@pytest.fixture
def start(isolation: ProcessIsolation) -> Start:
    """Start an attempt: its task type, payload, and limits by name."""

    def begin(task_type: str, payload: Any = None, **how: Any) -> Run:
        return Run(isolation, LocalAttempt(task_type, payload, **how))

    return begin
