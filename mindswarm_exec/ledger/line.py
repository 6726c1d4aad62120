"""Connections of both faces, used without the clients around them.

A call of redis-py's clients takes a connection from a pool, times itself, counts itself and gives the connection
back; measured here, that is a third of the CPU that a call costs its caller, with asyncio half of it. A line sends
commands and reads replies on redis-py's own connections, and repeats them as the clients would.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from redis import ConnectionPool, exceptions
from redis.asyncio import ConnectionPool as AsyncConnectionPool
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

#: One call and two repeats; together they stay within `ledger_timeout_seconds`.
REPEATS = 2
#: What each repeat waits for before.
PAUSES_SECONDS = tuple(0.02 * 2**repeat for repeat in range(REPEATS))
UNANSWERED = (exceptions.ConnectionError, exceptions.TimeoutError)


class Line:
    """Exchanges commands for replies. Safe to share between threads: each exchange has a connection to itself."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self._idle: deque[Any] = deque()

    def exchange(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """The replies to the commands, sent together; a refusal by the server stands in its place as a value.

        Raises:
            redis.exceptions.ConnectionError, TimeoutError: no answer, though it was asked again.
        """
        connection = self._taken()
        try:
            return self._repeated(connection, commands)
        except BaseException:
            connection.disconnect()  # interrupted half-way: what is still to come is no answer to the next
            raise
        finally:
            self._idle.append(connection)  # also one that is lost: it connects again, and a pool counts what it made

    def close(self) -> None:
        """Let go of the idle connections."""
        while self._idle:
            self._idle.pop().disconnect()

    def _repeated(self, connection: Any, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        for pause_seconds in PAUSES_SECONDS:
            try:
                return _exchange_on(connection, commands)
            except UNANSWERED:
                connection.disconnect()
                time.sleep(pause_seconds)
        return _exchange_on(connection, commands)

    def _taken(self) -> Any:
        with contextlib.suppress(IndexError):  # another thread may take the last one at any moment
            return self._idle.pop()
        connection: Any = self._pool.make_connection()
        connection.retry = Retry(NoBackoff(), 0)  # it is the exchange that is repeated, connecting included
        return connection


class AsyncLine:
    """The asyncio twin of `Line`; of one event loop at a time."""

    def __init__(self, pool: AsyncConnectionPool) -> None:
        self._pool = pool
        self._loop: asyncio.AbstractEventLoop | None = None
        self._idle: deque[Any] = deque()

    async def exchange(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """As `Line.exchange`."""
        connection = self._taken()
        try:
            return await self._repeated(connection, commands)
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        finally:
            self._idle.append(connection)

    async def close(self) -> None:
        """Let go of the idle connections."""
        self._enter_loop()
        while self._idle:
            await self._idle.pop().disconnect()

    async def _repeated(self, connection: Any, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        for pause_seconds in PAUSES_SECONDS:
            try:
                return await _exchange_on_async(connection, commands)
            except UNANSWERED:
                await connection.disconnect(nowait=True)
                await asyncio.sleep(pause_seconds)
        return await _exchange_on_async(connection, commands)

    def _taken(self) -> Any:
        self._enter_loop()
        if self._idle:
            return self._idle.pop()
        connection: Any = self._pool.make_connection()
        connection.retry = AsyncRetry(NoBackoff(), 0)
        return connection

    def _enter_loop(self) -> None:
        """Forget the connections of the loop before: they ended with it."""
        if self._loop is not (loop := asyncio.get_running_loop()):
            self._loop, self._idle = loop, deque()


def _exchange_on(connection: Any, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
    connection.send_packed_command(connection.pack_commands(commands), check_health=False)
    replies: list[Any] = []
    for _ in commands:
        try:
            replies.append(connection.read_response())
        except exceptions.ResponseError as refusal:
            replies.append(refusal)
    return replies


async def _exchange_on_async(connection: Any, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
    await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
    replies: list[Any] = []
    for _ in commands:
        try:
            replies.append(await connection.read_response())
        except exceptions.ResponseError as refusal:
            replies.append(refusal)
    return replies
