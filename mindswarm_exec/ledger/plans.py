"""Plans: work on the ledger of several round trips, each of which depends on what the one before has found.

A plan yields the operations of one round trip, is sent their answers, and returns its result. It is written once, and
either face carries it out.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, TypeVar

from mindswarm_exec.ledger.faces import AsyncLedger, SyncLedger
from mindswarm_exec.ledger.operations import Operation

R = TypeVar("R")
Plan = Generator[Sequence[Operation[Any]], list[Any], R]


def carry_out(ledger: SyncLedger, plan: Plan[R]) -> R:
    """Carry out a plan. Raises as `SyncLedger.run`."""
    try:
        asked = next(plan)
        while True:
            asked = plan.send(ledger.run_many(asked) if asked else [])
    except StopIteration as done:
        result: R = done.value
        return result


async def carry_out_awaited(ledger: AsyncLedger, plan: Plan[R]) -> R:
    """Carry out a plan. Raises as `SyncLedger.run`."""
    try:
        asked = next(plan)
        while True:
            asked = plan.send(await ledger.run_many(asked) if asked else [])
    except StopIteration as done:
        result: R = done.value
        return result
