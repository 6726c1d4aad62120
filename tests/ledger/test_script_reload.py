"""Scripts that the server has forgotten, by a flush or a restart, are loaded again by the call that misses them."""

from __future__ import annotations

import asyncio

import pytest

from mindswarm_exec.ledger import operations
from mindswarm_exec.ledger.faces import AsyncLedger, connect_async
from mindswarm_exec.ledger.replies import Absent, Expired, Fenced
from mindswarm_exec.ledger.scripts import script
from tests.ledger.world import World

ASK = operations.renew("nobody", "no incarnation")
CLAIM = operations.claim("nothing", "nonce", "token", "nobody")


def test_a_single_call_after_a_flush_answers(world: World) -> None:
    assert world.ledger.run(ASK) == Expired()
    world.ledger.client.script_flush()
    assert world.ledger.run(ASK) == Expired()


def test_calls_sent_together_after_a_flush_each_answer_in_order(world: World) -> None:
    world.ledger.client.script_flush()
    assert world.ledger.run_many([ASK, CLAIM, ASK]) == [Expired(), Absent(), Expired()]


def test_calls_sent_together_are_repaired_where_only_some_are_unknown(world: World) -> None:
    world.ledger.client.script_flush()
    world.ledger.run(CLAIM)
    assert world.ledger.run_many([CLAIM, ASK, CLAIM]) == [Absent(), Expired(), Absent()]


async def _after_a_flush(world: World, url: str, together: bool) -> None:
    ledger = AsyncLedger(connect_async(url, world.settings), world.settings, test_clock=True)
    world.ledger.client.script_flush()
    if together:
        assert await ledger.run_many([CLAIM, ASK]) == [Absent(), Expired()]
    else:
        assert await ledger.run(ASK) == Expired()
    await ledger.close()


@pytest.mark.parametrize("together", [False, True])
def test_the_async_face_repairs_itself_too(world: World, valkey_url: str, together: bool) -> None:
    asyncio.run(_after_a_flush(world, valkey_url, together))


def test_settings_that_differ_give_scripts_that_differ(world: World) -> None:
    slower = world.settings.model_copy(update={"lease_seconds": 60.0})
    assert script("renew", slower).sha != script("renew", world.settings).sha


def test_a_fenced_process_stays_fenced_after_a_flush(world: World) -> None:
    old = world.open_agent().incarnation
    world.open_agent()
    world.ledger.client.script_flush()
    assert world.run(operations.renew("ant", old)) == Fenced()
