"""The ledger was away: agents and handlers that could not be heard of meanwhile have time to be."""

from __future__ import annotations

import pytest

from mindswarm_exec.identifiers import new_nonce
from mindswarm_exec.ledger import operations
from mindswarm_exec.ledger.replies import Expired, Renewed
from mindswarm_exec.lifecycle import PENDING, RUNNING, TIMED_OUT
from mindswarm_exec.models.options import ExecutionOptions
from mindswarm_exec.service import sweeps
from tests.ledger.world import World

#: Longer than a lease.
OUTAGE = 16


@pytest.fixture
def execution_id(world: World) -> str:
    """It runs on "ant", and there was a sweep."""
    world.open_agent()
    execution_id = str(world.submit("t", ExecutionOptions()))
    world.running(execution_id)
    sweeps.sweep(world.ledger)
    return execution_id


def renew(world: World) -> Renewed | Expired:
    reply = world.run(operations.renew("ant", world.model.agents["ant"].incarnation))
    assert isinstance(reply, Renewed | Expired)
    return reply


def status(world: World, execution_id: str) -> str:
    return world.snapshot().status_of(execution_id)


def test_what_runs_goes_on_when_the_ledger_was_away_for_longer_than_a_lease(world: World, execution_id: str) -> None:
    world.advance(OUTAGE)
    swept = sweeps.sweep(world.ledger)
    assert (swept.agents_spared, swept.agents_lost) == (("ant",), ())
    world.advance(5)
    assert isinstance(renew(world), Renewed)
    world.advance(5)
    assert sweeps.sweep(world.ledger).agents_lost == ()
    assert status(world, execution_id) == RUNNING


def test_an_agent_that_is_not_heard_of_then_is_lost_however_seldom_sweeps_come(
    world: World, execution_id: str
) -> None:
    world.advance(OUTAGE)
    assert sweeps.sweep(world.ledger).agents_spared == ("ant",)
    world.advance(OUTAGE)
    assert sweeps.sweep(world.ledger).agents_lost == ("ant",)
    assert status(world, execution_id) == PENDING
    assert renew(world) == Expired()


def test_an_agent_that_was_heard_of_is_spared_by_the_next_outage_too(world: World, execution_id: str) -> None:
    for _ in range(3):
        world.advance(OUTAGE)
        assert sweeps.sweep(world.ledger).agents_spared == ("ant",)
        world.advance(5)
        assert isinstance(renew(world), Renewed)
    assert status(world, execution_id) == RUNNING


def test_an_agent_that_falls_silent_while_sweeps_come_is_lost_in_time(world: World, execution_id: str) -> None:
    for _ in range(3):
        world.advance(5)
        swept = sweeps.sweep(world.ledger)
        assert swept.agents_spared == ()
    assert swept.agents_lost == ("ant",)
    assert status(world, execution_id) == PENDING


def test_a_handler_has_its_stall_timeout_anew_and_no_second_time(world: World) -> None:
    world.open_agent("ant", 2)
    options = ExecutionOptions.model_validate({"stall_timeout_seconds": 10, "retry_policy": {"max_attempts": 1}})
    speaks, says_nothing = (world.running(str(world.submit("t", options))) for _ in range(2))
    sweeps.sweep(world.ledger)
    world.advance(OUTAGE)
    assert sweeps.sweep(world.ledger).moved == 0
    world.advance(5)
    renew(world)
    world.run(operations.report(speaks.held, new_nonce(), "execution.progress", "{}", {}))
    world.advance(8)
    assert sweeps.sweep(world.ledger).moved == 1
    assert status(world, speaks.execution_id) == RUNNING
    assert status(world, says_nothing.execution_id) == TIMED_OUT


def test_an_agent_that_is_offline_stays_so(world: World, execution_id: str) -> None:
    world.run(operations.set_agent_state("ant", "", "offline", accepts_work=False))
    world.advance(OUTAGE)
    assert sweeps.sweep(world.ledger).agents_spared == ()
    assert world.state("ant") == "offline"
