"""What goes over the wire: JSON-RPC requests and how their replies are read. Pure."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit, urlunsplit

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from mindswarm_exec.errors import ApiUnavailable, InvalidRequest, MindSwarmError, from_wire
from mindswarm_exec.identifiers import new_id
from mindswarm_exec.models.addresses import is_loopback
from mindswarm_exec.settings import Settings

T = TypeVar("T")

START = "mindswarm.execution.start"

_ids = itertools.count(1)
_HTTP = re.compile(r"https?://\S+")
#: What may stand in a header. Keys of the engine's own are of fewer characters.
_KEY = re.compile(r"[!-~]+")


@dataclass(frozen=True)
class Address:
    """Where an API is, and the key that opens it."""

    url: str
    api_key: str | None = None
    user_agent: str | None = None

    @property
    def rpc(self) -> str:
        return f"{self.url.rstrip('/')}/rpc"

    @property
    def websocket(self) -> str:
        """The WebSocket, without the automatic delivery of events."""
        parts = urlsplit(self.url)
        scheme = "wss" if parts.scheme == "https" else "ws"
        return urlunsplit((scheme, parts.netloc, f"{parts.path.rstrip('/')}/ws", "events=off", ""))

    @property
    def headers(self) -> dict[str, str]:
        key = {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        return key | ({"User-Agent": self.user_agent} if self.user_agent else {})

    @property
    def uses_proxies(self) -> bool:
        """A proxy named in the environment cannot reach this machine's loopback."""
        return not is_loopback(urlsplit(self.url).hostname or "")

    def unavailable(self, cause: str) -> ApiUnavailable:
        return ApiUnavailable(
            f"the API at {self.url} does not answer: {cause.rstrip('.')}. Start it with `mindswarm-exec up` (or "
            "`mindswarm-exec api`), or name the right one in MINDSWARM_API_URL.",
            url=self.url,
        )


@dataclass(frozen=True)
class Call(Generic[T]):
    """One method call, and how its result is read."""

    method: str
    params: Mapping[str, Any]
    read: Callable[[Any], T]

    @property
    def is_repeatable(self) -> bool:
        """Whether carrying it out twice is the same as once, so that it may be sent again after a lost reply."""
        verb = self.method.rpartition(".")[2]
        looks = verb.startswith(("get", "list")) or verb in ("explain", "simulate", "discover")
        return looks or "idempotency_key" in self.params


def any_call(method: str, params: Mapping[str, Any]) -> Call[Any]:
    """A call whose result stays as it came. A submission gets an idempotency key, so that it can be repeated."""
    if method == START and "idempotency_key" not in params:
        params = {**params, "idempotency_key": new_id()}
    return Call(method, params, lambda result: result)


def as_record(record: Any) -> Callable[[Any], Any]:
    """A reader of results of a type.

    Raises, when it reads:
        ApiUnavailable: the result is of another type; what answers is another version, or no API of ours.
    """
    adapter: TypeAdapter[Any] = TypeAdapter(record)

    def read(result: Any) -> Any:
        try:
            return adapter.validate_python(result)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"])) or "the whole"
            raise ApiUnavailable(
                f"the API's answer does not read as {getattr(record, '__name__', record)} ({where}: {first['msg']}). "
                "Use the same version of mindswarm-exec on both sides."
            ) from None

    return read


def encode(call: Call[Any]) -> tuple[int, bytes]:
    """The id and text of a request. Pydantic models, datetimes and sets may be among the params."""
    request_id = next(_ids)
    return request_id, to_json(
        {"jsonrpc": "2.0", "id": request_id, "method": call.method, "params": dict(call.params)}
    )


def encode_batch(calls: Sequence[Call[Any]]) -> tuple[list[int], bytes]:
    """The ids and text of a batch."""
    requests = [encode(call) for call in calls]
    return [request_id for request_id, _ in requests], b"[" + b",".join(text for _, text in requests) + b"]"


def parse(text: str | bytes) -> Any:
    """The JSON of a reply, or None if it is none: what answers is then no API of ours."""
    try:
        reply = from_json(text)
    except ValueError:
        return None
    return reply if isinstance(reply, list) or (isinstance(reply, dict) and "jsonrpc" in reply) else None


def outcome(reply: Mapping[str, Any]) -> Any:
    """The result in a reply.

    Raises:
        MindSwarmError: the reply is an error; the class is the one that the server raised.
    """
    if (error := reply.get("error")) is not None:
        raise error_of(error)
    return reply.get("result")


def error_of(error: Mapping[str, Any]) -> MindSwarmError:
    data = error.get("data")
    return from_wire(
        str(error.get("message", "")), int(error.get("code", 0)), data if isinstance(data, dict) else None
    )


def handshake_error(status: int, body: bytes) -> MindSwarmError:
    """The error of a server that refused a WebSocket."""
    reply = parse(body)
    if isinstance(reply, dict) and isinstance(error := reply.get("error"), dict):
        return error_of(error)
    return ApiUnavailable(f"what answers there is no MindSwarm API (HTTP {status} to a WebSocket). Check its URL.")


def address_of(url: str | None, api_key: str | None) -> Address:
    """The address given, completed from the environment.

    Raises:
        InvalidRequest: the URL is none of an API, or the key is none.
    """
    settings = Settings.from_environment()
    address = Address(url or settings.api_url, api_key or settings.api_key)
    if not _is_http(address.url):
        raise InvalidRequest(
            f"'{address.url}' is no URL of an API: MINDSWARM_API_URL takes one such as http://127.0.0.1:8420."
        )
    if address.api_key is not None and not _KEY.fullmatch(address.api_key):
        raise InvalidRequest(
            "the API key holds what no key has: a blank, or a character beyond ASCII. Check MINDSWARM_API_KEY."
        )
    return address


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return _HTTP.fullmatch(url) is not None and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a bracket that does not close, a port that is none
        return False
