"""JSON-RPC 2.0, apart from any transport: the text of a message in, the text of its reply out.

Source: https://www.jsonrpc.org/specification; `§` below are its sections. Each example of §7 is a test.
"""

from __future__ import annotations

import difflib
import logging
import math
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from mindswarm_exec.errors import InvalidRequest, MindSwarmError, PayloadTooLarge
from mindswarm_exec.models.validation import invalid_request

log = logging.getLogger(__name__)

#: What a transport knows of whoever calls; handlers receive it, this module only hands it on.
Caller = TypeVar("Caller")

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INTERNAL_ERROR = -32700, -32600, -32601, -32603  # §5.1


@dataclass(frozen=True)
class Method(Generic[Caller]):
    """One row of a method table. `params` and `result` are both checked types and published schemas."""

    name: str
    params: type[BaseModel]
    #: any type that Pydantic can serialise
    result: Any
    handler: Callable[[Caller, Any], Awaitable[object]]
    summary: str
    #: the errors beyond InvalidRequest that a caller should expect
    errors: tuple[type[MindSwarmError], ...] = ()

    @property
    def positions(self) -> list[str]:
        """The names of the params in the order of a call by position: required ones first."""
        fields = {field.alias or name: field for name, field in self.params.model_fields.items()}
        return sorted(fields, key=lambda name: not fields[name].is_required())


class ProtocolError(Exception):
    """The message is no call that JSON-RPC allows. `rpc_code` is one of the standard's own."""

    def __init__(self, rpc_code: int, code: str, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.rpc_code = rpc_code
        self.data = {"code": code, **facts}


class Dispatcher(Generic[Caller]):
    """Answers messages by one table of methods."""

    def __init__(self, methods: Iterable[Method[Caller]], *, max_batch: int = 100) -> None:
        self._methods = {method.name: method for method in methods}
        self._results = {name: TypeAdapter(method.result) for name, method in self._methods.items()}
        self._max_batch = max_batch

    async def dispatch(self, text: bytes | str, caller: Caller) -> str | None:
        """Do what one message asks and return the reply, or None where the standard wants silence (§4.1, §6).

        Requests of a batch run one after the other, in order.
        """
        try:
            message = _parse(text)
        except ProtocolError as error:
            return failure(None, error)
        if not isinstance(message, list):
            return await self._answer(message, caller)
        if refusal := self._refuse_batch(message):
            return failure(None, refusal)
        replies = [reply for each in message if (reply := await self._answer(each, caller)) is not None]
        return f"[{','.join(replies)}]" if replies else None

    def _refuse_batch(self, batch: list[Any]) -> ProtocolError | PayloadTooLarge | None:
        if not batch:
            return _invalid("a batch holds at least one request")
        if len(batch) > self._max_batch:
            return PayloadTooLarge(
                f"the batch holds {len(batch)} requests; the limit is {self._max_batch}. "
                "Split it, or raise MINDSWARM_MAX_BATCH.",
                requests=len(batch),
                limit=self._max_batch,
            )
        return None

    async def _answer(self, message: object, caller: Caller) -> str | None:
        request_id = message.get("id") if isinstance(message, dict) else None
        try:
            name, params = _read_request(message)
        except ProtocolError as error:
            return failure(request_id if _is_id(request_id) else None, error)
        reply = await self._call(name, params, request_id, caller)
        return reply if isinstance(message, dict) and "id" in message else None

    async def _call(self, name: str, params: dict[str, Any] | list[Any], request_id: object, caller: Caller) -> str:
        try:
            method = self._find(name)
            result = await method.handler(caller, _bind(method, params))
            text = self._results[name].dump_json(result).decode()
        except (MindSwarmError, ProtocolError) as error:
            return failure(request_id, error)
        except Exception:
            log.exception("a method failed unexpectedly", extra={"action": "rpc_failed", "method": name})
            broken = ProtocolError(
                INTERNAL_ERROR, "internal_error", "Internal error: the server's log has the cause."
            )
            return failure(request_id, broken)
        return f'{{"jsonrpc":"2.0","result":{text},"id":{to_json(request_id).decode()}}}'

    def _find(self, name: str) -> Method[Caller]:
        if method := self._methods.get(name):
            return method
        near = difflib.get_close_matches(name, self._methods, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise ProtocolError(
            METHOD_NOT_FOUND,
            "method_not_found",
            f"Method not found: '{name[:128]}'.{hint} rpc.discover lists those that exist.",
            nearest=near[0] if near else None,
        )


def failure(request_id: object, error: MindSwarmError | ProtocolError) -> str:
    """The text of an error reply (§5.1)."""
    described = {"code": error.rpc_code, "message": str(error), "data": error.data}
    return to_json({"jsonrpc": "2.0", "error": described, "id": request_id}, fallback=str).decode()


def _parse(text: bytes | str) -> object:
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError as error:
        # the parser's words name a position, never the content
        raise ProtocolError(PARSE_ERROR, "parse_error", f"Parse error: {error}.") from None


def _read_request(message: object) -> tuple[str, dict[str, Any] | list[Any]]:
    """The method and params of a request object (§4)."""
    if not isinstance(message, dict):
        raise _invalid("a request is an object")
    if message.get("jsonrpc") != "2.0":
        raise _invalid('jsonrpc must be "2.0"')
    if not _is_id(message.get("id")):
        raise _invalid("id must be a string, a number or null")
    name, params = message.get("method"), message.get("params", {})
    if not isinstance(name, str):
        raise _invalid("method must be a string")
    if not isinstance(params, dict | list):
        raise _invalid("params must be an object or an array")
    return name, params


def _is_id(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or (isinstance(value, str | int) and not isinstance(value, bool))


def _invalid(reason: str) -> ProtocolError:
    return ProtocolError(INVALID_REQUEST, "invalid_message", f"Invalid Request: {reason}.")


def _bind(method: Method[Caller], params: dict[str, Any] | list[Any]) -> BaseModel:
    """Check params by name, or by position in the order that OpenRPC publishes (§4.2)."""
    if isinstance(params, list):
        names = method.positions
        if len(params) > len(names):
            raise InvalidRequest(
                f"{method.name}: {len(params)} params by position, but it takes at most {len(names)}: "
                f"{', '.join(names) or 'none'}.",
                allowed=names,
            )
        params = dict(zip(names, params, strict=False))
    try:
        return method.params.model_validate(params)
    except ValidationError as error:
        raise invalid_request(error, method.name, method.params) from None
