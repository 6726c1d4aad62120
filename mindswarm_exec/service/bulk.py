"""One control verb over all executions that a filter admits. Each execution is decided by the ledger by itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Literal, TypeVar

from mindswarm_exec.errors import InvalidRequest
from mindswarm_exec.ledger import reads
from mindswarm_exec.ledger.faces import AsyncLedger
from mindswarm_exec.ledger.operations import Operation
from mindswarm_exec.ledger.replies import Done, Wake
from mindswarm_exec.lifecycle import Move
from mindswarm_exec.models.options import ExecutionOptions
from mindswarm_exec.models.params import RetryFrom
from mindswarm_exec.models.records import BulkOutcome
from mindswarm_exec.service import listing
from mindswarm_exec.service.archived import OlderRecords
from mindswarm_exec.service.control import cancellation, cancellation_of_children, retrial
from mindswarm_exec.service.filters import Criteria, Filter

T = TypeVar("T")
R = TypeVar("R")

#: Executions in one round trip: some tens of milliseconds of the server's time.
CHUNK = 200
#: Parents in one round trip, each of which has up to 100 children cancelled by it.
PARENTS = 10
#: Ids that an outcome names.
MOST_NAMED = 100


def chosen(move: Move, criteria: Criteria) -> Filter:
    """The filter of a bulk verb.

    Raises:
        InvalidRequest: nothing limits it, or a status is named that `move` does not start from.
    """
    if all(value in (None, ()) for value in criteria.values()):
        raise InvalidRequest(
            f"cannot {move.name} all executions unasked: name a filter ({', '.join(Criteria.__annotations__)}), or "
            "status to mean all of them.",
            allowed=list(Criteria.__annotations__),
        )
    wanted = Filter.of(criteria, move.sources)
    if others := [status for status in wanted.statuses if status not in move.sources]:
        raise InvalidRequest(
            f"status: cannot {move.name} what is {others[0]}. Ask for {', '.join(move.sources)}, or for none, "
            "which means any of these.",
            field="status",
            allowed=list(move.sources),
        )
    return wanted


class Bulk:
    """The verbs. `publish` hands on the messages for agents that the ledger could not send itself.

    A call that ends early (LedgerUnavailable) has done a part of its work; the same call again does the rest.
    """

    def __init__(
        self,
        ledger: AsyncLedger,
        publish: Callable[[Sequence[Wake]], Awaitable[None]],
        older: OlderRecords | None = None,
    ) -> None:
        self._ledger = ledger
        self._publish = publish
        self._older = older

    async def cancel(self, wanted: Filter, reason: str, *, force: bool, dry_run: bool) -> BulkOutcome:
        """Cancel all that `wanted` admits, and their children."""
        found = await listing.every(self._ledger, wanted)
        done: list[Done] = []
        parents: list[str] = []
        for ids in _chunks([] if dry_run else found, CHUNK):
            replies = await self._run([cancellation(each, reason, force=force) for each in ids])
            parents += [each for each, reply in zip(ids, replies, strict=True) if _has_children_left(reply)]
            done += [reply for reply in replies if isinstance(reply, Done)]
        # last, because a child that the filter admits too is to count as obeyed, not as gone meanwhile
        await self._cancel_children(parents)
        return _outcome("cancel", found, len(done), dry_run)

    async def retry(
        self, wanted: Filter, options: ExecutionOptions | None, start_from: RetryFrom, *, dry_run: bool
    ) -> BulkOutcome:
        """Bring back all that `wanted` admits, also of what is `older`."""
        here = await listing.every(self._ledger, wanted)
        # asked for after the ledger: what is archived meanwhile is found twice and brought back once
        older = [] if self._older is None else await self._older.every(wanted)
        is_older, found = set(older), list(dict.fromkeys([*older, *here]))
        done = 0
        for ids in _chunks([] if dry_run else found, CHUNK):
            if self._older is not None and not is_older.isdisjoint(ids):
                await self._older.restore(ids)
            replies = await self._run(await self._retrials(ids, options, start_from))
            done += sum(isinstance(reply, Done) for reply in replies)
        return _outcome("retry", found, done, dry_run)

    async def _retrials(
        self, ids: Sequence[str], options: ExecutionOptions | None, start_from: RetryFrom
    ) -> list[Operation[object]]:
        if options is None and start_from == "checkpoint":  # nothing depends on the record
            return [retrial(each, {}) for each in ids]
        records = await self._ledger.run_many([reads.execution(each) for each in ids])
        return [
            retrial(each, record, options, start_from)
            for each, record in zip(ids, records, strict=True)
            if record is not None
        ]

    async def _run(self, operations: Sequence[Operation[R]]) -> list[R]:
        replies = await self._ledger.run_many(operations)
        await self._publish([wake for reply in replies if isinstance(reply, Done) for wake in reply.wakes])
        return replies

    async def _cancel_children(self, parents: Sequence[str]) -> None:
        """Cancel the children now; should this process end on the way, a sweep goes on with it."""
        for ids in _chunks(parents, PARENTS):
            waiting = list(ids)
            while waiting:
                answers = await self._ledger.run_many([cancellation_of_children(each) for each in waiting])
                await self._publish([wake for _, wakes in answers for wake in wakes])
                waiting = [each for each, (left, _) in zip(waiting, answers, strict=True) if left]


def _has_children_left(reply: object) -> bool:
    return isinstance(reply, Done) and reply.followers_left > 0


def _outcome(verb: Literal["cancel", "retry"], found: Sequence[str], done: int, dry_run: bool) -> BulkOutcome:
    return BulkOutcome(
        verb=verb,
        matched=len(found),
        done=done,
        refused=0 if dry_run else len(found) - done,
        dry_run=dry_run,
        execution_ids=tuple(found[:MOST_NAMED]),
    )


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[i : i + size] for i in range(0, len(items), size))
