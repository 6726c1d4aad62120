"""Every row of the table of control, as the documentation shows it, run on real agents."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest

from docs.control_table import ROWS, Row
from mindswarm_exec.errors import MoveRefused
from mindswarm_exec.models.records import Execution
from tests.e2e.controlled_swarm import ControlledSwarm
from tests.eventually import eventually, must_be

#: For a busy machine, beside the time that the row grants.
ALLOWANCE_SECONDS = 6.0


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.verb}.{row.kind}".replace(" --", "."))
def test_the_table_of_control_says_what_happens(swarm: ControlledSwarm, row: Row, file: str) -> None:
    execution_id = begun(swarm, row, file)
    try:
        prepared(swarm, row, execution_id)
        asked_at = time.monotonic()
        carried_out(swarm, row, execution_id)
        granted = float(getattr(swarm.settings, row.within, 0.0)) + ALLOWANCE_SECONDS
        found = eventually(lambda: as_told(swarm, row, execution_id), round(granted * 1000))
        assert time.monotonic() - asked_at < granted + 1
        assert (found.attempt, found.is_frozen, found.failed_attempts) == (row.attempt, row.is_frozen, 0)
        assert swarm.agent_record("one").load == _slots_taken(row)
    finally:
        swarm.touch(file)
        with suppress(MoveRefused):  # it has ended by then
            swarm.cancel(execution_id)
        swarm.await_end(execution_id)
        swarm.run(swarm.agents.wake("one"))
        swarm.await_agents("one")
        swarm.await_load("one", 0)
        swarm.await_load("two", 0)


def begun(swarm: ControlledSwarm, row: Row, file: str) -> str:
    """Work of the row's kind, on agent `one` where it has one."""
    match row.kind:
        case "waiting":
            return swarm.start("nobody.does.this")
        case "command":
            return swarm.running("wait.command", file, on="one")
        case kind:
            return swarm.counting(f"steps.{kind}", file, on="one")


def prepared(swarm: ControlledSwarm, row: Row, execution_id: str) -> None:
    """What comes before the verb."""
    if row.verb == "resume":
        swarm.pause(execution_id)
        eventually(lambda: must_be(swarm.get(execution_id).status, "paused"))
    elif row.verb == "retry":
        swarm.cancel(execution_id)
        swarm.await_end(execution_id)


def carried_out(swarm: ControlledSwarm, row: Row, execution_id: str) -> None:
    match row.verb:
        case "drain":
            swarm.run(swarm.agents.drain("one"))
        case "cancel --force":
            assert swarm.cancel(execution_id, force=True).status == "cancelled"
        case verb:
            getattr(swarm, verb)(execution_id)


def as_told(swarm: ControlledSwarm, row: Row, execution_id: str) -> Execution:
    """The execution, if it is as the row says."""
    found = swarm.get(execution_id)
    assert found.status == row.status
    assert _receipt(found) == row.receipt
    if row.status == "running":
        assert found.attempt == row.attempt
        assert found.agent_id == ("two" if row.verb == "drain" and row.attempt > 1 else "one")
    return found


def _receipt(found: Execution) -> tuple[str, ...]:
    if found.intent is None:
        return ()
    told = {
        found.intent.kind: True,
        "acknowledged": found.intent.acknowledged_at is not None,
        "slot released": found.intent.slot_released_at is not None,
    }
    return tuple(word for word, is_said in told.items() if is_said)


def _slots_taken(row: Row) -> int:
    """Slots of agent `one` that are held when it is as the row says."""
    is_here = row.status == "running" and not (row.verb == "drain" and row.attempt > 1)
    return int(is_here or row.is_frozen)
