"""What people type becomes what the API takes, or a sentence."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindswarm_exec.cli import arguments
from mindswarm_exec.cli.start_command import start_params
from mindswarm_exec.errors import InvalidRequest
from mindswarm_exec.models.options import Constraint, StartRequest

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(("text", "value"), [('{"a": 1}', {"a": 1}), ("3", 3), ('"x"', "x"), ("null", None)])
def test_a_payload_is_json_as_it_stands(text: str, value: Any) -> None:
    assert arguments.read_payload(text) == value


def test_a_payload_comes_from_a_file_or_stdin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "payload.json"
    path.write_text('{"from": "file"}')
    assert arguments.read_payload(f"@{path}") == {"from": "file"}
    monkeypatch.setattr("sys.stdin", StringIO("[1, 2]"))
    assert arguments.read_payload("-") == [1, 2]


@pytest.mark.parametrize("text", ["{", "text", "@/absent/file", "@", "@\x00", "NaN", "[Infinity]", "[" * 100_000])
def test_what_is_no_payload_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(InvalidRequest, match="the payload"):
        arguments.read_payload(text)


def test_a_binary_file_is_refused_with_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "payload.bin"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidRequest, match="cannot be read"):
        arguments.read_payload(f"@{path}")


@given(st.text(max_size=60))
def test_any_text_is_a_payload_or_a_sentence(text: str) -> None:
    if text.startswith("@") or text == "-":
        return
    with suppress(InvalidRequest):
        json.dumps(arguments.read_payload(text))


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("9", 9), ("high", "high"), ("LOW", "low")])
def test_a_priority_is_a_digit_or_a_name(text: str, value: Any) -> None:
    assert arguments.parse_priority(text) == value


@pytest.mark.parametrize("text", ["10", "-1", "urgent", "", "²"])
def test_any_other_priority_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(InvalidRequest, match="0 to 9"):
        arguments.parse_priority(text)


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("1.5h", 5400), ("250ms", 0.25), (" 2 d ", 172_800)])
def test_a_duration_is_seconds_or_has_a_unit(text: str, seconds: float) -> None:
    assert arguments.parse_seconds(text) == seconds


def test_an_instant_is_rfc_3339_or_counted_from_now() -> None:
    assert arguments.parse_instant("2026-01-31T13:00:00+02:00") == "2026-01-31T11:00:00.000Z"
    assert arguments.parse_instant("15m", now=NOW) == "2026-01-31T11:45:00.000Z"
    assert arguments.parse_instant("15m", ahead=True, now=NOW) == "2026-01-31T12:15:00.000Z"


@pytest.mark.parametrize(
    "text", ["yesterday", "2026-01-31T12:00:00", "99999999999999999d", "", "0001-01-01T00:00+23:00"]
)
def test_what_is_no_instant_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(InvalidRequest, match=r"instant|offset"):
        arguments.parse_instant(text)


@pytest.mark.parametrize(
    ("text", "constraint"),
    [
        ("gpu_mb>=16000", {"label": "gpu_mb", "op": ">=", "value": 16000}),
        ("region = eu", {"label": "region", "op": "=", "value": "eu"}),
        ("role!=test", {"label": "role", "op": "!=", "value": "test"}),
        ("region in eu,us", {"label": "region", "op": "in", "value": ["eu", "us"]}),
        ("spot=true", {"label": "spot", "op": "=", "value": True}),
        ("gpu", {"label": "gpu", "op": "exists", "value": True}),
        ("!gpu", {"label": "gpu", "op": "exists", "value": False}),
    ],
)
def test_a_constraint_reads_as_it_is_written(text: str, constraint: dict[str, Any]) -> None:
    found = arguments.parse_constraint(text)
    assert found == constraint
    Constraint.model_validate(found)


@pytest.mark.parametrize("text", ["", ">=5", "gpu>many", "a b", "!", "gpu_mb>=nan"])
def test_what_is_no_constraint_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(InvalidRequest, match="constraint"):
        arguments.parse_constraint(text)


def test_options_become_a_request_that_the_api_takes() -> None:
    given = {
        "priority": "high",
        "timeout_seconds": "2m",
        "max_attempts": 3,
        "tags": ("a", "b"),
        "agent_id": "coder",
        "required_capabilities": ("python",),
        "constraints": ("gpu_mb>=1",),
        "no_parallel": True,
        "project_id": "web",
        "more": '{"retry_policy": {"backoff": "fixed"}}',
    }
    request = StartRequest.model_validate(start_params("code.survey", '{"a": 1}', given))
    assert request.options.priority == 7
    assert request.options.timeout_seconds == 120
    assert (request.options.retry_policy.max_attempts, request.options.retry_policy.backoff) == (3, "fixed")
    assert request.options.agent.required_capabilities == {"python"}
    assert request.options.allow_parallel is False
    assert request.payload == {"a": 1}


def test_what_is_not_given_is_left_to_the_server() -> None:
    assert start_params("code.survey", None, {"tags": (), "priority": None}) == {"task_type": "code.survey"}
