"""Conversations with the API as scripts: generators that ask for each input and output, and do none.

A script yields an Effect and is sent its answer, or thrown `Refused` or `Dropped` where it failed. So sync and
async clients follow the same conversation, its repeats and its waits.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from mindswarm_exec.client.wire import Address, Call, encode, encode_batch, error_of, outcome, parse
from mindswarm_exec.errors import ApiUnavailable, MindSwarmError

T = TypeVar("T")

#: A call that may be repeated is sent this often before its failure is told.
TRIES = 3
#: Bounds on making a connection, on its answer, and on its farewell: one that streams has other things in its buffers
#: first.
CONNECT_SECONDS, ANSWER_SECONDS, CLOSE_SECONDS = 10.0, 30.0, 1.0
#: WebSockets that are kept for the next conversation.
MOST_IDLE_SOCKETS = 8
#: Messages of the API are at most this large: a result with all that surrounds it.
MAX_MESSAGE_BYTES = 64 << 20


@dataclass(frozen=True)
class Post:
    """Send a body to `/rpc`. Answer: (HTTP status, body)."""

    body: bytes


@dataclass(frozen=True)
class Connect:
    """Have a WebSocket, new or from an earlier conversation. Answer: None."""


@dataclass(frozen=True)
class Send:
    """Send a message over the WebSocket. Answer: None."""

    text: bytes


@dataclass(frozen=True)
class Receive:
    """Wait for a message, at most `seconds`. Answer: its text, or None."""

    seconds: float


@dataclass(frozen=True)
class Sleep:
    """Wait. Answer: None."""

    seconds: float


Effect = Post | Connect | Send | Receive | Sleep
Script = Generator[Effect, Any, T]


class Refused(Exception):
    """There was no connection: nothing was sent."""


class Dropped(Exception):
    """The connection broke: whether what was sent took effect is unknown."""


def make(call: Call[T], address: Address) -> Script[T]:
    """One call over HTTP.

    Raises:
        ApiUnavailable: no answer; a call that may not be repeated may have taken effect.
        MindSwarmError: what the server raised.
    """
    _, body = encode(call)
    reply = yield from _posted(body, address, TRIES if call.is_repeatable else 1)
    if not isinstance(reply, dict):
        raise address.unavailable("what answers there is no MindSwarm API")
    return call.read(outcome(reply))


def make_batch(calls: Sequence[Call[Any]], address: Address) -> Script[list[Any]]:
    """Several calls in one request. The answers in the order of the calls: a result, or the error as a value."""
    if not calls:
        return []
    ids, body = encode_batch(calls)
    reply = yield from _posted(body, address, TRIES if all(call.is_repeatable for call in calls) else 1)
    if isinstance(reply, dict):
        outcome(reply)  # the batch was refused as a whole
    if not isinstance(reply, list):
        raise address.unavailable("what answers there is no MindSwarm API")
    by_id = {each.get("id"): each for each in reply}
    return [_value(call, by_id.get(request_id)) for call, request_id in zip(calls, ids, strict=True)]


def _posted(body: bytes, address: Address, tries: int) -> Script[Any]:
    """The JSON of the reply. A refused connection is not tried again: who asks knows better whether to wait."""
    for left in reversed(range(tries)):
        try:
            status, text = yield Post(body)
            break
        except Refused as error:
            raise address.unavailable(str(error)) from None
        except Dropped as error:
            if not left:
                raise address.unavailable(f"the connection broke ({error})") from None
    reply = parse(text)
    if reply is None:
        raise address.unavailable(f"what answers there is no MindSwarm API (HTTP {status})")
    return reply


def _value(call: Call[Any], reply: Any) -> Any:
    if reply is None:
        return ApiUnavailable("the API left this call of the batch unanswered. Ask again.")
    if (error := reply.get("error")) is not None:
        return error_of(error)
    try:
        return call.read(reply.get("result"))
    except MindSwarmError as error:
        return error
