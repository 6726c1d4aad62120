"""Log lines carry ids as fields, and of an error nothing that it could quote."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from mindswarm_exec.errors import UnknownExecution
from mindswarm_exec.logs import ConsoleLines, JsonLines
from mindswarm_exec.models.options import StartRequest

FIELDS = {"process": "agent", "agent_id": "coder"}


def record(message: str, *args: object, error: BaseException | None = None, **extra: object) -> logging.LogRecord:
    exc_info = (type(error), error, error.__traceback__) if error else None
    made = logging.getLogger("x").makeRecord("x", logging.WARNING, "f.py", 1, message, args, exc_info, extra=extra)
    made.created = 0.25
    return made


def as_json(made: logging.LogRecord) -> dict[str, Any]:
    line = JsonLines(FIELDS).format(made)
    assert "\n" not in line
    read: dict[str, Any] = json.loads(line)
    return read


def caught(raising: Any) -> BaseException:
    with pytest.raises(Exception) as found:  # noqa: PT011  whatever it raises
        raising()
    return found.value


def test_a_json_line_has_the_sentence_and_ids_as_fields() -> None:
    assert as_json(record("%s were lost", 3, action="sweep", execution_id="e1")) == {
        "at": "1970-01-01T00:00:00.250Z",
        "level": "warning",
        "logger": "x",
        "message": "3 were lost",
        "process": "agent",
        "agent_id": "coder",
        "action": "sweep",
        "execution_id": "e1",
    }


def test_a_console_line_has_them_too() -> None:
    line = ConsoleLines(FIELDS).format(record("lost", action="sweep"))
    assert line == "1970-01-01T00:00:00.250Z WARNING x: lost process=agent agent_id=coder action=sweep"


def test_an_error_that_quotes_its_input_is_told_without_it() -> None:
    error = caught(lambda: StartRequest.model_validate({"task_type": "x y", "payload": "canary", "canary": 1}))
    told = as_json(record("failed", error=error))["error"]
    assert told.endswith("ValidationError")
    assert "test_logs.py" in told
    assert "canary" not in ConsoleLines({}).format(record("failed", error=ValueError("canary")))


def test_an_error_that_says_where_to_look_is_quoted_with_what_led_to_it() -> None:
    def fail() -> None:
        try:
            raise ValueError("canary")
        except ValueError as error:
            raise UnknownExecution.of("e1") from error

    told = as_json(record("failed", error=caught(fail)))["error"]
    assert "canary" not in told.replace('"canary"', "")
    assert told.index("ValueError") < told.index("which led to") < told.index("UnknownExecution: ")
    assert as_json(record("away", error=ConnectionRefusedError(111, "refused")))["error"].endswith("refused")
