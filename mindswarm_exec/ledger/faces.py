"""The two faces of the ledger: the same operations, awaited or not.

Scripts are called by SHA and loaded when the server does not know them, so that a `SCRIPT FLUSH` or a restart
of the server is repaired by the next call. Every script may run twice with the same arguments, so a call whose
reply was lost is simply sent again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import redis
import redis.asyncio
from redis import exceptions
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from mindswarm_exec.errors import InvalidRequest, LedgerFull, LedgerUnavailable
from mindswarm_exec.ledger.keys import Keys
from mindswarm_exec.ledger.line import REPEATS, AsyncLine, Line
from mindswarm_exec.ledger.operations import Key, Operation, ScriptCall, Step
from mindswarm_exec.ledger.scripts import SCRIPT_NAMES, script
from mindswarm_exec.settings import Settings

#: How a server's refusal begins that passes without anything being changed here, and what it means.
REFUSALS = {
    "MISCONF": "it cannot save its data, as when its disk is full",
    "NOREPLICAS": "it has too few replicas",
    "BUSY": "a script has been running for seconds",
}

R = TypeVar("R")
S = TypeVar("S")


def _connection_options(settings: Settings) -> dict[str, Any]:
    a_try = settings.ledger_timeout_seconds / (REPEATS + 1)
    return {
        "decode_responses": True,
        "socket_timeout": a_try,
        "socket_connect_timeout": a_try,
        "health_check_interval": 0,
        "max_connections": 1 << 16,  # how much is asked at once is for the callers to bound: none of them is refused
        "protocol": 2,
    }


def connect_sync(url: str, settings: Settings) -> redis.Redis:
    """A client whose every call ends within `ledger_timeout_seconds`. Raises InvalidRequest for what is no URL."""
    retry = Retry(ExponentialBackoff(cap=0.2, base=0.02), REPEATS)
    with _checked_url():
        return redis.Redis.from_url(url, retry=retry, **_connection_options(settings))


def connect_async(url: str, settings: Settings) -> redis.asyncio.Redis:
    """The asyncio twin of `connect_sync`."""
    retry = AsyncRetry(ExponentialBackoff(cap=0.2, base=0.02), REPEATS)
    with _checked_url():
        return redis.asyncio.Redis.from_url(url, retry=retry, **_connection_options(settings))


@contextmanager
def _checked_url() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise InvalidRequest(
            f"the ledger cannot be reached at this URL: {error}. MINDSWARM_REDIS_URL takes one such as "
            "redis://127.0.0.1:6379/0."
        ) from None


class _Face:
    """What both faces share: from an operation to commands, and from replies to its result."""

    def __init__(self, settings: Settings, *, test_clock: bool = False) -> None:
        self.settings = settings
        self.keys = Keys(settings.namespace)
        self._scripts = {name: script(name, settings, test_clock) for name in SCRIPT_NAMES}

    def _commands(self, steps: Iterable[Step]) -> list[tuple[Any, ...]]:
        return [self._command(step) for step in steps]

    def _command(self, step: Step) -> tuple[Any, ...]:
        if isinstance(step, ScriptCall):
            return ("EVALSHA", self._scripts[step.name].sha, 1, self.keys.prefix, *step.args)
        return tuple(self.keys.of(*part) if isinstance(part, Key) else part for part in step)

    def _texts(self, steps: Iterable[Step]) -> set[str]:
        """The scripts that the steps call."""
        return {self._scripts[step.name].text for step in steps if isinstance(step, ScriptCall)}


class SyncLedger(_Face):
    """The ledger for threads. Safe to share between them."""

    def __init__(self, client: redis.Redis, settings: Settings, *, test_clock: bool = False) -> None:
        super().__init__(settings, test_clock=test_clock)
        self.client = client
        self._line = Line(client.connection_pool)

    def close(self) -> None:
        """Let go of all connections."""
        self._line.close()
        self.client.close()

    def run(self, operation: Operation[R]) -> R:
        """Carry out one operation.

        Raises:
            LedgerUnavailable: the server did not answer in time, or refused to serve.
            LedgerFull: it is at its memory limit and the operation takes in work; nothing was changed.
        """
        return operation.read(self._send(operation.steps))

    def run_many(self, operations: Sequence[Operation[R]]) -> list[R]:
        """Carry out operations in one round trip, each atomic by itself. Raises as `run`."""
        replies = iter(self._send([step for operation in operations for step in operation.steps]))
        return [operation.read([next(replies) for _ in operation.steps]) for operation in operations]

    def _send(self, steps: Sequence[Step]) -> list[Any]:
        commands = self._commands(steps)
        with translated_errors():
            replies = self._line.exchange(commands)
            unknown = _unknown_scripts(replies)
            if unknown:
                loads = [("SCRIPT", "LOAD", text) for text in self._texts(steps[i] for i in unknown)]
                _checked(self._line.exchange(loads))
                again = self._line.exchange([commands[i] for i in unknown])
                for i, reply in zip(unknown, again, strict=True):
                    replies[i] = reply
            return _checked(replies)


class AsyncLedger(_Face):
    """The ledger for asyncio. See `SyncLedger`."""

    def __init__(self, client: redis.asyncio.Redis, settings: Settings, *, test_clock: bool = False) -> None:
        super().__init__(settings, test_clock=test_clock)
        self.client = client
        self._line = AsyncLine(client.connection_pool)

    async def close(self) -> None:
        """Let go of all connections."""
        await self._line.close()
        await self.client.aclose()

    async def run(self, operation: Operation[R]) -> R:
        """Carry out one operation. Raises as `SyncLedger.run`."""
        return operation.read(await self._send(operation.steps))

    async def run_many(self, operations: Sequence[Operation[R]]) -> list[R]:
        """Carry out operations in one round trip, each atomic by itself. Raises as `SyncLedger.run`."""
        replies = iter(await self._send([step for operation in operations for step in operation.steps]))
        return [operation.read([next(replies) for _ in operation.steps]) for operation in operations]

    async def run_both(self, change: Operation[R], look: Operation[S | None]) -> tuple[R, S | None]:
        """Carry out a change, and look at what it made, in one round trip; None where nothing was there to see."""
        made, seen = await self.run_many([cast(Operation[Any], change), look])
        # a script that the server did not know yet was sent once more, after the look
        return made, seen if seen is not None else await self.run(look)

    async def _send(self, steps: Sequence[Step]) -> list[Any]:
        commands = self._commands(steps)
        with translated_errors():
            replies = await self._line.exchange(commands)
            unknown = _unknown_scripts(replies)
            if unknown:
                loads = [("SCRIPT", "LOAD", text) for text in self._texts(steps[i] for i in unknown)]
                _checked(await self._line.exchange(loads))
                again = await self._line.exchange([commands[i] for i in unknown])
                for i, reply in zip(unknown, again, strict=True):
                    replies[i] = reply
            return _checked(replies)


def _unknown_scripts(replies: Sequence[Any]) -> list[int]:
    return [i for i, reply in enumerate(replies) if isinstance(reply, exceptions.NoScriptError)]


def _checked(replies: list[Any]) -> list[Any]:
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn what redis-py raises into errors that callers of the engine know."""
    try:
        yield
    except (exceptions.ConnectionError, exceptions.TimeoutError, exceptions.ReadOnlyError) as error:
        raise LedgerUnavailable(
            f"the ledger does not answer ({type(error).__name__}). Check that the server at "
            "MINDSWARM_REDIS_URL runs; a submission may be repeated safely with its idempotency_key."
        ) from error
    except exceptions.OutOfMemoryError as error:
        raise LedgerFull(
            "the ledger is at its memory limit, so new work is refused; running work can still finish. "
            "Wait, shorten MINDSWARM_RETENTION_SECONDS, or give the server more memory."
        ) from error
    except exceptions.ResponseError as error:
        word = str(error).partition(" ")[0]
        if word not in REFUSALS:
            raise
        raise LedgerUnavailable(
            f"the ledger refuses to write ({word}: {REFUSALS[word]}). The log of the server at MINDSWARM_REDIS_URL "
            "says more; once it writes again, a submission may be repeated safely with its idempotency_key."
        ) from error
