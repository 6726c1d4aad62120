"""Which trace an execution belongs to, as W3C Trace Context says it. Pure; needs no OpenTelemetry.

Source: https://www.w3.org/TR/trace-context/; `§` below are its sections.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, Field

log = logging.getLogger(__name__)

TRACEPARENT, TRACESTATE = "traceparent", "tracestate"
#: Characters of a tracestate that have to be handed on (§3.3.1.5); longer ones are dropped as a whole.
MAX_TRACESTATE = 512
MAX_MEMBERS = 32

_TRACEPARENT = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace_id>[0-9a-f]{32})-(?P<parent_id>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?"
)
#: `sampled` and `random`; all others are to be zero in what is sent (§2.2.5).
_FLAGS = 0x03
_KEY = re.compile(r"[a-z0-9][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13}")
_VALUE = re.compile(r"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]")


def checked_traceparent(text: str) -> str:
    """The traceparent, as version 00 writes it. Raises ValueError if it names no trace (§3.2)."""
    found = _TRACEPARENT.fullmatch(text)
    if found is None or found["version"] == "ff" or (found["version"] == "00" and found["more"]):
        raise ValueError("a traceparent is 00-<32 hex digits>-<16 hex digits>-<2 hex digits>, in lower case")
    if not int(found["trace_id"], 16) or not int(found["parent_id"], 16):
        raise ValueError("a traceparent names a trace and a span; ids of zeros alone name none")
    return f"00-{found['trace_id']}-{found['parent_id']}-{int(found['flags'], 16) & _FLAGS:02x}"


def checked_tracestate(text: str) -> str:
    """The tracestate without empty members and blanks between them. Raises ValueError if it is none (§3.3)."""
    members = [member for part in text.split(",") if (member := part.strip(" \t"))]
    kept = ",".join(members)
    if len(kept) > MAX_TRACESTATE or len(members) > MAX_MEMBERS:
        raise ValueError(f"a tracestate has at most {MAX_TRACESTATE} characters and {MAX_MEMBERS} members")
    keys = [_key(member) for member in members]
    if len(set(keys)) < len(keys):
        raise ValueError("each key of a tracestate occurs once")
    return kept


def _key(member: str) -> str:
    key, equals, value = member.partition("=")
    if not (equals and _KEY.fullmatch(key) and _VALUE.fullmatch(value)):
        raise ValueError("a tracestate is a list of key=value, separated by commas, in printable ASCII")
    return key


Traceparent = Annotated[
    str,
    AfterValidator(checked_traceparent),
    Field(
        max_length=512,
        description="W3C Trace Context: the span that it goes on from",
        examples=["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"],
    ),
]
Tracestate = Annotated[
    str, AfterValidator(checked_tracestate), Field(max_length=2048, description="W3C Trace Context: goes with it")
]


class TraceContext(NamedTuple):
    """A span that others go on from, and what its tracing system adds."""

    traceparent: str
    tracestate: str | None = None

    @classmethod
    def of(cls, traceparent: str | None, tracestate: str | None) -> TraceContext | None:
        """Both in one; None where there is no traceparent. They have been checked before."""
        return cls(traceparent, tracestate or None) if traceparent else None

    @property
    def headers(self) -> dict[str, str]:
        """As headers of a request, or fields of a record."""
        state = {TRACESTATE: self.tracestate} if self.tracestate else {}
        return {TRACEPARENT: self.traceparent, **state}


def context_in(headers: Mapping[str, object]) -> TraceContext | None:
    """What the headers of a request or message say. What is no trace context counts as none, as the standard says.

    A sender of headers may be anybody on the way, so that refusing the request would help nobody (§3.2.2.5, §4.3).
    """
    found = headers.get(TRACEPARENT)
    if found is None:
        return None
    try:
        traceparent = checked_traceparent(str(found).strip(" \t"))
    except ValueError as error:
        log.debug("a header was ignored", extra={"action": "trace", "header": TRACEPARENT, "reason": str(error)})
        return None
    return TraceContext(traceparent, _state_in(headers))


def _state_in(headers: Mapping[str, object]) -> str | None:
    try:
        return checked_tracestate(str(headers.get(TRACESTATE) or "")) or None
    except ValueError as error:
        log.debug("a header was ignored", extra={"action": "trace", "header": TRACESTATE, "reason": str(error)})
        return None
