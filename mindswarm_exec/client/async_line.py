"""Carries out what scripts ask for, on an event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, TypeVar

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, WebSocketException

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

    def __init__(self, http: httpx.AsyncClient, address: Address, idle: deque[ClientConnection]) -> None:
        self._http = http
        self._address = address
        self._idle = idle
        self._socket: ClientConnection | None = None
        self._wait: asyncio.Timeout | None = None

    async def __aenter__(self) -> Line:
        return self

    async def __aexit__(self, failed: type[BaseException] | None, _: object, __: TracebackType | None) -> None:
        """Keep the WebSocket for another conversation, unless this one broke off."""
        socket, self._socket = self._socket, None
        if socket is None:
            return
        if failed is None and len(self._idle) < MOST_IDLE_SOCKETS:
            self._idle.append(socket)
        else:
            await socket.close()

    def cut_short(self) -> None:
        """End the wait for a message, if there is one, as if its time were over."""
        if self._wait is not None and not self._wait.expired():
            self._wait.reschedule(asyncio.get_running_loop().time())

    async def perform(self, script: Script[T]) -> T:
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
                answer = await self._carry_out(effect)
            except (Refused, Dropped, MindSwarmError) as error:
                failure = error

    async def _carry_out(self, effect: Effect) -> Any:
        match effect:
            case Post(body):
                return await self._post(body)
            case Connect():
                return await self._connect()
            case Send(text):
                return await self._exchange(lambda socket: socket.send(text, text=True))
            case Receive(seconds):
                return await self._exchange(lambda socket: self._received(socket, seconds))
            case Sleep(seconds):
                return await asyncio.sleep(seconds)

    async def _post(self, body: bytes) -> tuple[int, bytes]:
        try:
            headers = {"Content-Type": "application/json", **trace_headers()}
            reply = await self._http.post(self._address.rpc, content=body, headers=headers)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol) as error:
            raise Refused(str(error) or type(error).__name__) from None
        except httpx.TransportError as error:
            raise Dropped(type(error).__name__) from None
        return reply.status_code, reply.content

    async def _connect(self) -> None:
        if self._socket is not None:
            await self._socket.close()
            self._socket = None
        if self._idle:
            self._socket = self._idle.pop()
            return
        try:
            self._socket = await connect(
                self._address.websocket,
                additional_headers=self._address.headers,
                compression=None,
                max_size=MAX_MESSAGE_BYTES,
                open_timeout=CONNECT_SECONDS,
                close_timeout=CLOSE_SECONDS,
                proxy=True if self._address.uses_proxies else None,
            )
        except InvalidStatus as error:
            raise handshake_error(error.response.status_code, bytes(error.response.body or b"")) from None
        except (OSError, InvalidHandshake, TimeoutError) as error:
            raise Refused(str(error) or type(error).__name__) from None

    async def _exchange(self, step: Callable[[ClientConnection], Awaitable[T]]) -> T:
        if self._socket is None:
            raise Dropped("there is no connection")
        try:
            return await step(self._socket)
        except (ConnectionClosed, WebSocketException, OSError) as error:
            broken, self._socket = self._socket, None
            await broken.close()
            raise Dropped(type(error).__name__) from None

    async def _received(self, socket: ClientConnection, seconds: float) -> bytes | None:
        try:
            async with asyncio.timeout(seconds) as self._wait:
                return await socket.recv(decode=False)  # loses no message when it is cancelled
        except TimeoutError:
            return None
        finally:
            self._wait = None
