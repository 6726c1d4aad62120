"""`/ws`: calls in both directions of one connection, and its events.

`?events=off` switches the automatic delivery off. Calls of a connection are answered one after the other, so a
client that does not read its answers stops being read, and one that does not read its events loses them alone.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

from starlette.websockets import WebSocket, WebSocketDisconnect

from mindswarm_exec.api.answers import problem, too_large
from mindswarm_exec.api.authentication import identify
from mindswarm_exec.api.caller import Caller
from mindswarm_exec.api.event_feed import EventFeed
from mindswarm_exec.api.jsonrpc import Dispatcher, failure
from mindswarm_exec.errors import LedgerUnavailable, MindSwarmError, Unauthenticated
from mindswarm_exec.service.actors import acting_as
from mindswarm_exec.service.cancellation import cancel_and_wait

if TYPE_CHECKING:
    from mindswarm_exec.service import Services
    from mindswarm_exec.settings import Settings

#: A revoked key ends its open connections within this time, or at the next call.
KEY_CHECK_SECONDS = 10.0
_POLICY_VIOLATION = 1008  # RFC 6455 §7.4.1


class WebSocketEdge:
    """Serves each connection of one application."""

    def __init__(self, dispatcher: Dispatcher[Caller], services: Services, settings: Settings) -> None:
        self._dispatcher = dispatcher
        self._services = services
        self._settings = settings

    async def serve(self, socket: WebSocket) -> None:
        """Serve one connection until it ends."""
        try:
            caller = await identify(socket, self._services, self._settings)
        except MindSwarmError as error:
            await socket.send_denial_response(problem(error))
            return
        await socket.accept()
        is_automatic = socket.query_params.get("events") != "off"
        feed = EventFeed(self._services.events, socket.send_text, scope=caller.projects, is_automatic=is_automatic)
        work = (feed.run(), self._watch_key(socket))
        background = [asyncio.create_task(each) for each in work]
        try:
            with contextlib.suppress(WebSocketDisconnect):
                await self._answer_calls(socket, replace(caller, events=feed), feed)
        finally:
            feed.close()
            await cancel_and_wait(*background)

    async def _answer_calls(self, socket: WebSocket, caller: Caller, feed: EventFeed) -> None:
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            reply = await self._reply(socket, message.get("text") or message.get("bytes") or "", caller)
            if reply is not None:
                await socket.send_text(reply)
            feed.start_replays()

    async def _reply(self, socket: WebSocket, text: str | bytes, caller: Caller) -> str | None:
        limit = self._settings.max_request_bytes
        if len(text.encode() if isinstance(text, str) else text) > limit:
            return failure(None, too_large("the message", limit))
        try:
            await identify(socket, self._services, self._settings)
        except Unauthenticated as error:
            await socket.close(_POLICY_VIOLATION, str(error)[:120])
            raise WebSocketDisconnect(_POLICY_VIOLATION) from None
        except LedgerUnavailable as error:
            return failure(None, error)
        with acting_as(caller.actor):
            return await self._dispatcher.dispatch(text, caller)

    async def _watch_key(self, socket: WebSocket) -> None:
        while self._settings.api_keys:
            await asyncio.sleep(KEY_CHECK_SECONDS)
            try:
                await identify(socket, self._services, self._settings)
            except Unauthenticated as error:
                await socket.close(_POLICY_VIOLATION, str(error)[:120])
                return
            except LedgerUnavailable:
                continue
