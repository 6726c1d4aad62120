"""A pause that is withdrawn in the moment that its handler stops for it holds nothing up."""

from __future__ import annotations

from mindswarm_exec.ledger import operations
from mindswarm_exec.ledger.operations import Settlement
from mindswarm_exec.ledger.replies import Settled
from mindswarm_exec.lifecycle import PAUSE, PAUSED, QUEUED
from tests.ledger.driving import control, status, submitted
from tests.ledger.world import World


def test_what_stopped_for_a_withdrawn_pause_goes_on_where_it_was(world: World) -> None:
    world.open_agent("ant")
    attempt = world.running(submitted(world))
    control(world, "pause", attempt.execution_id)
    control(world, "resume", attempt.execution_id)
    settle = operations.settle(attempt.held, "ant", "agent:ant", Settlement(PAUSE), {})
    first = world.run(settle)
    assert isinstance(first, Settled)
    assert status(world, attempt.execution_id) is QUEUED
    again = world.run(settle)
    assert isinstance(again, Settled)
    assert status(world, attempt.execution_id) is QUEUED


def test_a_question_parks_without_any_pause(world: World) -> None:
    world.open_agent("ant")
    attempt = world.running(submitted(world))
    asked = {"question": '{"question_id": "q"}', "question_id": "q"}
    world.run(operations.settle(attempt.held, "ant", "agent:ant", Settlement(PAUSE), asked))
    assert status(world, attempt.execution_id) is PAUSED
