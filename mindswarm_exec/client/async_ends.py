"""Those who wait for results in one event loop, and the one connection that they share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from mindswarm_exec.client.async_line import Line
from mindswarm_exec.client.calling import ANSWER_SECONDS
from mindswarm_exec.client.ends import EndWatch, not_ready
from mindswarm_exec.client.wire import Address
from mindswarm_exec.errors import ApiUnavailable
from mindswarm_exec.identifiers import is_id
from mindswarm_exec.models.records import Execution


class EndRoom:
    """Any number of waits, over one WebSocket as long as there is one."""

    def __init__(
        self, address: Address, new_line: Callable[[], Line], get: Callable[[str], Awaitable[Execution]]
    ) -> None:
        self._address = address
        self._new_line = new_line
        self._get = get
        self._waiting: dict[str, set[asyncio.Future[Execution]]] = {}
        self._line: Line | None = None
        self._work: asyncio.Task[None] | None = None

    async def ended(self, execution_id: str, timeout: float | None) -> Execution:  # noqa: ASYNC109
        """The execution once it has ended.

        Raises:
            ResultNotReady: it has not ended within `timeout` seconds.
            MindSwarmError: what the API says instead, or that it is away.
        """
        if not is_id(execution_id):
            return await self._get(execution_id)  # which refuses it; a subscription would for all that it names
        wait: asyncio.Future[Execution] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(execution_id, set()).add(wait)
        self._attend()
        try:
            async with asyncio.timeout(timeout):
                return await wait
        except TimeoutError:
            return await self._last_look(execution_id, timeout)
        finally:
            self._leave(execution_id, wait)

    async def close(self) -> None:
        """Let go of the connection; whoever waits is told."""
        work, self._work = self._work, None
        if work is not None:
            work.cancel()
            await asyncio.wait([work])
        self._tell_all(self._address.unavailable("this client was closed"))

    # --- steps -------------------------------------------------------------------------------------------

    def _attend(self) -> None:
        """Have somebody attend to whoever has come or left."""
        if self._work is None:
            self._work = asyncio.create_task(self._watch(), name="ends")
        elif self._line is not None:
            self._line.cut_short()

    async def _watch(self) -> None:
        try:
            while self._waiting:
                async with self._new_line() as self._line:
                    await self._line.perform(EndWatch(self._address, self._named, self._tell).run())
        except Exception as error:  # noqa: BLE001  whatever it is, nobody is left to wait for ever
            self._tell_all(error)
        finally:
            self._line = self._work = None

    async def _last_look(self, execution_id: str, timeout: float | None) -> Execution:  # noqa: ASYNC109
        """At the end of a wait that may have been too short for any answer."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                found = await self._get(execution_id)
        except (TimeoutError, ApiUnavailable):
            raise not_ready(execution_id, timeout) from None
        if not found.status.is_terminal:
            raise not_ready(execution_id, timeout)
        return found

    def _named(self) -> Iterable[str]:
        return self._waiting

    def _tell(self, execution_id: str, ending: Execution | Exception) -> None:
        for wait in self._waiting.pop(execution_id, ()):
            if wait.done():
                continue
            if isinstance(ending, Exception):
                wait.set_exception(ending)
            else:
                wait.set_result(ending)

    def _tell_all(self, error: Exception) -> None:
        for execution_id in list(self._waiting):
            self._tell(execution_id, error)

    def _leave(self, execution_id: str, wait: asyncio.Future[Execution]) -> None:
        waits = self._waiting.get(execution_id, set())
        waits.discard(wait)
        if execution_id in self._waiting and not waits:
            del self._waiting[execution_id]
            self._attend()
