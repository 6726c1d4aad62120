"""What people type, turned into what the API takes. Pure, but for reading the file or stdin that is named."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mindswarm_exec.errors import InvalidRequest
from mindswarm_exec.models.options import PRIORITY_NAMES, Constraint

_CONSTRAINT = re.compile(r"^\s*([^\s=!<>]+)\s*(>=|<=|!=|=|>|<|\bin\b)\s*(.+?)\s*$")
_SPAN = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)?\s*$")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}


def read_payload(argument: str | None) -> Any:
    """Read a payload: JSON as it stands, `@file`, or `-` for stdin; none is null.

    Raises:
        InvalidRequest: the file cannot be read, or what was given is no JSON.
    """
    if argument is None:
        return None
    text, origin = _payload_text(argument)
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise InvalidRequest(f"the payload {origin}is nested too deeply for JSON here.") from None
    except ValueError as error:
        raise InvalidRequest(
            f"the payload {origin}is no JSON: {error}. Text needs its quotes, such as '\"text\"'."
        ) from None


def parse_json_object(text: str, option: str) -> dict[str, Any]:
    """Read the JSON object that an option takes.

    Raises:
        InvalidRequest: it is no JSON object.
    """
    try:
        found = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"{option} is no JSON: {error}.") from None
    if not isinstance(found, dict):
        raise InvalidRequest(f"{option} takes a JSON object, such as '{{\"max_attempts\": 3}}'.")
    return found


def parse_priority(text: str) -> int | str:
    """Read a priority: 0 to 9, or its name.

    Raises:
        InvalidRequest: it is neither.
    """
    if text.lower() in PRIORITY_NAMES:
        return text.lower()
    if text.isascii() and text.isdigit() and int(text) <= 9:
        return int(text)
    names = ", ".join(PRIORITY_NAMES)
    raise InvalidRequest(f"priority '{text}' does not exist: it is 0 to 9 (9 most urgent) or one of {names}.")


def parse_seconds(text: str) -> float:
    """Read a duration in seconds: a plain number, or one with a unit such as `90s`, `15m`, `2h`.

    Raises:
        InvalidRequest: it is no duration.
    """
    match = _SPAN.match(text)
    if match is None:
        raise InvalidRequest(f"'{text}' is no duration: give seconds, or a number with ms, s, m, h, d or w.")
    return float(match[1]) * _UNITS[match[2] or "s"]


def parse_meters(texts: Sequence[str]) -> dict[str, float]:
    """Read budgets, each as `name=limit`.

    Raises:
        InvalidRequest: one is none, or a name comes twice.
    """
    meters: dict[str, float] = {}
    for text in texts:
        name, _, limit = text.partition("=")
        try:
            number = float(limit)
        except ValueError:
            number = -1.0
        if not name or name in meters or not 0 <= number < float("inf"):
            raise InvalidRequest(f"meter '{text}' does not fit: give each name once with a limit, as tokens=40000.")
        meters[name] = number
    return meters


def parse_instant(text: str, *, ahead: bool = False, now: datetime | None = None) -> str:
    """Read an instant: RFC 3339 with its offset, or a duration counted from now (`ahead`, else back).

    Raises:
        InvalidRequest: it is neither, or names no offset.
    """
    try:
        instant = _from_now(text, ahead, now) if _SPAN.match(text) else _parse_rfc3339(text)
    except (ValueError, OverflowError):
        raise InvalidRequest(
            f"'{text}' is no instant: give RFC 3339 such as 2026-01-31T12:00:00Z, or a duration such as 15m."
        ) from None
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_constraint(text: str) -> dict[str, Any]:
    """Read a constraint on a label: `gpu_mb>=16000`, `region in eu,us`, `gpu` (exists), `!gpu` (does not).

    Raises:
        InvalidRequest: it is no constraint, or its value does not fit its operator.
    """
    match = _CONSTRAINT.match(text)
    if match is None:
        name = text.strip()
        found: dict[str, Any] = {"label": name.removeprefix("!"), "op": "exists", "value": name[:1] != "!"}
    elif match[2] == "in":
        found = {"label": match[1], "op": "in", "value": [_scalar(part) for part in match[3].split(",")]}
    else:
        found = {"label": match[1], "op": match[2], "value": _scalar(match[3])}
    try:
        return Constraint.model_validate(found).model_dump(mode="json")
    except ValidationError as error:
        reason = error.errors(include_url=False, include_input=False)[0]["msg"]
        if match is None:
            reason = "write it as gpu_mb>=16000, region in eu,us, gpu or !gpu; operators are = != > >= < <= in"
        raise InvalidRequest(f"constraint '{text}' does not fit: {reason}.") from None


def _payload_text(argument: str) -> tuple[str, str]:
    """The text of a payload, and where it came from in words."""
    try:
        if argument == "-":
            return sys.stdin.read(), "on stdin "
        if argument.startswith("@"):
            return Path(argument[1:]).read_text(encoding="utf-8"), f"in {argument[1:]} "
    except (OSError, ValueError) as error:  # ValueError: no UTF-8, or a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise InvalidRequest(f"the payload {argument} cannot be read: {reason}.") from None
    return argument, ""


def _from_now(text: str, ahead: bool, now: datetime | None) -> datetime:
    span = timedelta(seconds=parse_seconds(text))
    return (now or datetime.now(UTC)) + (span if ahead else -span)


def _parse_rfc3339(text: str) -> datetime:
    instant = datetime.fromisoformat(text.strip())
    if instant.tzinfo is None:
        raise InvalidRequest(f"'{text}' has no offset from UTC: write it as {text.strip()}Z or with +02:00.")
    return instant.astimezone(UTC)


def _scalar(text: str) -> str | bool | int | float:
    """A label's value as it was most likely meant: a boolean, a number, else the text, quotes taken off."""
    word = text.strip()
    if word in ("true", "false"):
        return word == "true"
    for kind in (int, float):
        try:
            number = kind(word)
        except ValueError:
            continue
        return number if number == number and abs(number) != float("inf") else word
    return word.strip("\"'")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON value")
