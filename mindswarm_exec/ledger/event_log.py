"""The event stream: reading it by cursor, and hearing of each new event once and in order.

The scripts append each event to the stream and publish it on the channel of the same name. What is published
is only the fast way: whatever it loses (a broken connection, a restart) is filled in from the stream.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError

from mindswarm_exec.errors import LedgerUnavailable
from mindswarm_exec.ledger.faces import translated_errors
from mindswarm_exec.ledger.keys import Keys
from mindswarm_exec.ledger.quiet import FACTS, KEPT, Quiet, quiet_of
from mindswarm_exec.models.events import describe, position, severity_of
from mindswarm_exec.models.records import Event, EventContext

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = logging.getLogger(__name__)

START = "0-0"
#: The bounds of ids of a stream.
FIRST, LAST = (0, 0), (2**64 - 1, 2**64 - 1)
#: Events read at once when filling in what was missed.
PAGE = 500
#: A silent listener looks into the stream this often; what it finds there, publishing has lost.
IDLE_CHECK_SECONDS = 1.0
#: Waits between attempts to reach a server that is away.
_RECONNECT_SECONDS = (0.05, 0.2, 0.5, 1.0)


@dataclass(frozen=True)
class StoredEvent:
    """One entry of the stream. Empty ids mean none; `seq` is 0 unless an execution's."""

    event_id: str
    seq: int
    event_type: str
    project_id: str
    task_id: str
    execution_id: str
    agent_id: str
    source: str
    #: a JSON object, as text
    data: str

    @cached_property
    def position(self) -> tuple[int, int]:
        return position(self.event_id)

    @cached_property
    def event(self) -> Event:
        """The event as it is told: with its instant, severity and sentence."""
        data = json.loads(self.data or "{}")
        context = {
            "project_id": self.project_id,
            "task_id": self.task_id,
            "execution_id": self.execution_id,
            "agent_id": self.agent_id,
        }
        return Event(
            event_id=self.event_id,
            seq=self.seq,
            event_type=self.event_type,
            timestamp=datetime.fromtimestamp(self.position[0] / 1000, UTC),
            source=self.source,
            context=EventContext(**{name: value or None for name, value in context.items()}),
            data=data,
            metadata={"severity": severity_of(self.event_type)},
            description=describe(self.event_type, context, data),
        )

    @cached_property
    def text(self) -> str:
        """The event as JSON: rendered once, however many readers it goes to."""
        return self.event.model_dump_json()


@dataclass(frozen=True)
class Attached:
    """From here on a listener hears every event after `event_id`.

    `is_new_stream`: the stream ends before the last event heard: it is another one, or lost its tail.
    """

    event_id: str
    is_new_stream: bool = False


@dataclass(frozen=True)
class Extent:
    """The ends of the stream; both START while it is empty. `is_trimmed`: it has lost events at its start."""

    oldest_id: str
    newest_id: str
    is_trimmed: bool


class EventLog:
    """Reads the stream of one namespace. Writing is the scripts' alone."""

    def __init__(self, client: Redis, namespace: str, *, idle_check_seconds: float = IDLE_CHECK_SECONDS) -> None:
        self._client = client
        self._keys = Keys(namespace)
        self._stream = self._keys.of("events")
        self._idle_check_seconds = idle_check_seconds

    async def read(self, after: str, limit: int) -> list[StoredEvent]:
        """The events that follow `after`, oldest first, at most `limit`."""
        if position(after) >= LAST:  # the server refuses to be asked for what cannot be, here and below
            return []
        with translated_errors():
            return _entries(await self._client.xrange(self._stream, f"({after}", "+", count=limit))

    async def read_newest(self, limit: int, before: str | None = None) -> list[StoredEvent]:
        """The newest events (of those before `before`), newest first, at most `limit`."""
        if before is not None and position(before) <= FIRST:
            return []
        with translated_errors():
            newest = f"({before}" if before else "+"
            return _entries(await self._client.xrevrange(self._stream, newest, "-", count=limit))

    async def newest_id(self) -> str:
        """The id of the newest event, or START."""
        newest = await self.read_newest(1)
        return newest[0].event_id if newest else START

    async def extent(self) -> Extent:
        """The two ends of the stream."""
        with translated_errors():
            if not await self._client.exists(self._stream):
                return Extent(START, START, is_trimmed=False)
            facts: dict[str, Any] = await self._client.xinfo_stream(self._stream)
        oldest, newest = facts.get("first-entry"), facts.get("last-entry")
        return Extent(
            _text(oldest[0]) if oldest else START,
            _text(newest[0]) if newest else START,
            is_trimmed=int(facts.get("entries-added", 0)) > int(facts["length"]),
        )

    async def quiet_of(self, execution_ids: Sequence[str]) -> Quiet:
        """Where in the stream as it is now there is no event of these executions, as far as their records tell."""
        keys = [self._keys.of("execution", each) for each in execution_ids]
        with translated_errors():
            async with self._client.pipeline(transaction=False) as reading:
                # read before the records: up to here they know of everything
                reading.xrevrange(self._stream, "+", "-", count=1)
                for key in keys:
                    reading.hkeys(key)
                newest, *names = await reading.execute()
            async with self._client.pipeline(transaction=False) as reading:
                for key, fields in zip(keys, names, strict=True):
                    reading.hmget(key, _kept(fields))
                values = await reading.execute()
        records = [
            {name: _text(value) for name, value in zip(_kept(fields), found, strict=True) if value is not None}
            for fields, found in zip(names, values, strict=True)
        ]
        return quiet_of(records, position(_text(newest[0][0])) if newest else (0, 0))

    async def listen(self) -> AsyncGenerator[StoredEvent | Attached, None]:
        """Hear every event from now on, each once, in order, whatever happens to the connection; without end.

        The first item is `Attached`; another follows only where the stream turned out to be a new one.
        """
        heard: str | None = None
        failures = 0
        while True:
            try:
                async with contextlib.aclosing(self._listen_on_one_connection(heard)) as items:
                    async for item in items:
                        heard, failures = item.event_id, 0
                        yield item
            except (RedisError, OSError, LedgerUnavailable) as error:
                if failures == 0:
                    log.warning(
                        "lost the event stream", extra={"action": "events_lost", "cause": type(error).__name__}
                    )
                await asyncio.sleep(_RECONNECT_SECONDS[min(failures, len(_RECONNECT_SECONDS) - 1)])
                failures += 1

    async def _listen_on_one_connection(self, heard: str | None) -> AsyncGenerator[StoredEvent | Attached, None]:
        """Hear what follows `heard`. Ends where publishing proves to lose events: a new connection may not."""
        async with self._client.pubsub() as channel:
            await channel.subscribe(self._stream)
            while True:
                message = await channel.get_message(timeout=self._idle_check_seconds)
                if message is not None and message["type"] == "message":
                    event = _published(message["data"])
                    # what the stream has already given comes a second time here
                    if heard is None or event.position > position(heard):
                        heard = event.event_id
                        yield event
                    continue
                # subscribed (redis-py reconnects by itself, and then says this again), or silent for a while
                found = 0
                async for item in self._missed(heard):
                    heard, found = item.event_id, found + 1
                    yield item
                if message is None and found:
                    return

    async def _missed(self, heard: str | None) -> AsyncGenerator[StoredEvent | Attached, None]:
        """What the stream holds after `heard`; nowhere to start from: its end."""
        if heard is None:
            yield Attached(await self.newest_id())
            return
        page = await self.read(heard, PAGE)
        if not page and position(newest := await self.newest_id()) < position(heard):
            yield Attached(newest, is_new_stream=True)
        while page:
            for event in page:
                yield event
            page = await self.read(page[-1].event_id, PAGE)


def _kept(fields: list[Any]) -> list[str]:
    """The fields of a record that tell of its events."""
    return [*FACTS, *(name for name in map(_text, fields) if name.startswith(KEPT))]


def _entries(reply: Any) -> list[StoredEvent]:
    return [_entry(entry_id, fields) for entry_id, fields in reply]


def _entry(entry_id: Any, fields: dict[Any, Any]) -> StoredEvent:
    said = {_text(name): _text(value) for name, value in fields.items()}
    return StoredEvent(
        event_id=_text(entry_id),
        seq=int(said["seq"]),
        event_type=said["type"],
        project_id=said["project_id"],
        task_id=said["task_id"],
        execution_id=said["execution_id"],
        agent_id=said["agent_id"],
        source=said["source"],
        data=said["data"],
    )


def _published(text: Any) -> StoredEvent:
    event_id, seq, *rest = json.loads(text)
    return StoredEvent(event_id, int(seq), *rest)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
