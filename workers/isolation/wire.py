"""What the child and the supervising side say to each other: frames on a stream socket.

A frame is its length (4 bytes, of the body), its kind (1 byte) and its body: JSON, but for a result, which is the
handler's JSON as it is.
"""

from __future__ import annotations

import asyncio
import errno
import json
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple, get_type_hints

from pydantic import BaseModel, JsonValue, create_model

from mindswarm_exec import errors
from mindswarm_exec.agent import InvalidPayload
from mindswarm_exec.context import AttemptReporter, ExecutionCancelled, RetryAfter, SafePointReached

HEAD = struct.Struct("!Ic")

#: To the child: what to run; the answer to a call.
START, ANSWER = b"s", b"a"
#: From the child: a call of the context, news that need no answer, and how the handler ended.
CALL, NEWS, RESULT, FAILURE = b"c", b"n", b"r", b"f"

#: Room in a frame beside the payload, result or checkpoint that it carries.
ENVELOPE_BYTES = 256 * 1024
#: A handler's output crosses in pieces of this many characters.
OUTPUT_PIECE = 16 * 1024
MAX_MESSAGE = 2000

#: The attributes of an attempt that its context shows, as a model: it makes them JSON and reads them back.
AttemptFacts: type[BaseModel] = create_model(
    "AttemptFacts", **{name: (hint, ...) for name, hint in get_type_hints(AttemptReporter).items()}
)  # type: ignore[call-overload]

#: Calls that cross with an answer: those of an AttemptReporter that are no news and can not be told in the child.
CALLS = frozenset(
    name
    for name, member in vars(AttemptReporter).items()
    if callable(member) and not name.startswith("_") and name not in {"progress", "output", "raise_if_stopped"}
)


class Frame(NamedTuple):
    kind: bytes
    body: bytes


class BadFrame(Exception):
    """What arrived is no frame, or one longer than allowed."""


def packed(kind: bytes, body: bytes) -> bytes:
    return HEAD.pack(len(body), kind) + body


def packed_json(kind: bytes, value: Any) -> bytes:
    return packed(kind, json.dumps(value).encode())


def frame_limit(max_payload_bytes: int) -> int:
    """Bytes that a frame may have. A start carries a payload and a checkpoint; text grows when it is quoted."""
    return 4 * max_payload_bytes + ENVELOPE_BYTES


class FrameReader:
    """Cuts a stream of bytes into frames."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are complete with `data`. Raises BadFrame for one that is longer than the limit."""
        self._held += data
        while len(self._held) >= HEAD.size:
            length, kind = HEAD.unpack_from(self._held)
            if length > self._limit:
                raise BadFrame(f"a frame of {length} bytes; the limit is {self._limit}")
            end = HEAD.size + length
            if len(self._held) < end:
                return
            body = bytes(self._held[HEAD.size : end])
            del self._held[:end]
            yield Frame(kind, body)


# --- errors ----------------------------------------------------------------------------------------------


def told(error: BaseException) -> dict[str, JsonValue]:
    """An error as JSON: its kind out of a closed set, its class by name, its text."""
    described: dict[str, JsonValue] = {"kind": _kind(error), "type": type(error).__name__, "message": _text(error)}
    if isinstance(error, errors.MindSwarmError):
        described |= {"rpc_code": error.rpc_code, "data": json.loads(json.dumps(error.data, default=str))}
    if isinstance(error, RetryAfter):
        described |= {"seconds": error.seconds, "reason": str(error.reason)}
    return described


def raised_by_call(described: dict[str, Any]) -> BaseException:
    """The error that a call of the context raised on the supervising side, for the handler to see."""
    match described["kind"]:
        case "safe_point":
            return SafePointReached()
        case "cancelled":
            return ExecutionCancelled(described["message"])
        case "mindswarm":
            return errors.from_wire(described["message"], described["rpc_code"], described["data"])
        case "retry_after":
            return RetryAfter(described["seconds"], described["reason"])
        case _:
            return errors.MindSwarmError(f"the call failed in the agent: {described['type']}: {described['message']}")


def _kind(error: BaseException) -> str:
    match error:
        case SafePointReached():
            return "safe_point"
        case ExecutionCancelled() | asyncio.CancelledError():
            return "cancelled"
        case RetryAfter():
            return "retry_after"
        case InvalidPayload():
            return "invalid_payload"
        case errors.MindSwarmError():
            return "mindswarm"
        case MemoryError():
            return "memory"
        case OSError(errno=errno.ENOMEM):
            return "memory"
        case _:
            return "raised"


def _text(error: BaseException) -> str:
    """The message of an error of the handler's, which may be no text or fail to be told."""
    try:
        return str(error)[:MAX_MESSAGE].encode("utf-8", "backslashreplace").decode()
    except Exception as failure:  # noqa: BLE001  an error's __str__ is the handler's code
        return f"its message cannot be told ({type(failure).__name__})"
