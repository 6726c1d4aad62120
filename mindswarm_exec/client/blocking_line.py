"""Carries out what scripts ask for, in a thread."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

import httpx
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection, connect

from mindswarm_exec.client.calling import (
    CLOSE_SECONDS,
    CONNECT_SECONDS,
    MAX_MESSAGE_BYTES,
    MOST_IDLE_SOCKETS,
    Connect,
    Dropped,
    Effect,
    Post,
    Receive,
    Refused,
    Script,
    Send,
    Sleep,
)
from mindswarm_exec.client.wire import Address, handshake_error
from mindswarm_exec.errors import MindSwarmError
from mindswarm_exec.tracing import trace_headers

T = TypeVar("T")


class Line:
    """Carries out the effects of scripts, on one WebSocket at most."""

    def __init__(self, http: httpx.Client, address: Address, idle: deque[ClientConnection]) -> None:
        self._http = http
        self._address = address
        self._idle = idle
        self._socket: ClientConnection | None = None

    def __enter__(self) -> Line:
        return self

    def __exit__(self, failed: type[BaseException] | None, _: object, __: TracebackType | None) -> None:
        """Keep the WebSocket for another conversation, unless this one broke off."""
        socket, self._socket = self._socket, None
        if socket is None:
            return
        if failed is None and len(self._idle) < MOST_IDLE_SOCKETS:
            self._idle.append(socket)
        else:
            socket.close()

    def perform(self, script: Script[T]) -> T:
        """Run a script to its value, or raise what it raises."""
        answer: Any = None
        failure: Exception | None = None
        while True:
            try:
                effect = script.send(answer) if failure is None else script.throw(failure)
            except StopIteration as done:
                value: T = done.value
                return value
            answer, failure = None, None
            try:
                answer = self._carry_out(effect)
            except (Refused, Dropped, MindSwarmError) as error:
                failure = error

    def _carry_out(self, effect: Effect) -> Any:
        match effect:
            case Post(body):
                return self._post(body)
            case Connect():
                return self._connect()
            case Send(text):
                return self._exchange(lambda socket: socket.send(text, text=True))
            case Receive(seconds):
                return self._exchange(lambda socket: _received(socket, seconds))
            case Sleep(seconds):
                return time.sleep(seconds)

    def _post(self, body: bytes) -> tuple[int, bytes]:
        try:
            headers = {"Content-Type": "application/json", **trace_headers()}
            reply = self._http.post(self._address.rpc, content=body, headers=headers)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol) as error:
            raise Refused(str(error) or type(error).__name__) from None
        except httpx.TransportError as error:
            raise Dropped(type(error).__name__) from None
        return reply.status_code, reply.content

    def _connect(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._idle:
            self._socket = self._idle.pop()
            return
        try:
            self._socket = connect(
                self._address.websocket,
                additional_headers=self._address.headers,
                compression=None,
                max_size=MAX_MESSAGE_BYTES,
                open_timeout=CONNECT_SECONDS,
                close_timeout=CLOSE_SECONDS,
                proxy=True if self._address.uses_proxies else None,
            ).__enter__()  # closed in __exit__, or with the client
        except InvalidStatus as error:
            raise handshake_error(error.response.status_code, bytes(error.response.body or b"")) from None
        except (OSError, InvalidHandshake, TimeoutError) as error:
            raise Refused(str(error) or type(error).__name__) from None

    def _exchange(self, step: Callable[[ClientConnection], T]) -> T:
        if self._socket is None:
            raise Dropped("there is no connection")
        try:
            return step(self._socket)
        except (ConnectionClosed, WebSocketException, OSError) as error:
            broken, self._socket = self._socket, None
            broken.close()
            raise Dropped(type(error).__name__) from None


def _received(socket: ClientConnection, seconds: float) -> bytes | None:
    try:
        return socket.recv(seconds, decode=False)
    except TimeoutError:
        return None
