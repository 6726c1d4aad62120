"""What is over leaves nothing behind: the ledger does not grow with all that it has ever held."""

from __future__ import annotations

from mindswarm_exec.ledger import operations
from mindswarm_exec.ledger.operations import Settlement
from mindswarm_exec.lifecycle import COMPLETE
from tests.ledger.driving import control, record, submitted
from tests.ledger.world import RETENTION_MS, World


def forget(world: World) -> int:
    world.advance(RETENTION_MS / 1000 + 1)
    removed: int = world.run(operations.forget(RETENTION_MS, 100, 1000))
    return removed


def test_where_nothing_waits_any_more_nothing_is_counted(world: World) -> None:
    waiting = [submitted(world, priority=number) for number in range(3)]
    holder, held = (submitted(world, concurrency_key="k") for _ in range(2))
    snapshot = world.snapshot()
    assert len(snapshot.only("depth")) == 4
    assert snapshot.only("elsewhere") == {"default concurrency": "1"}
    for execution_id in (held, holder, *waiting):
        control(world, "cancel", execution_id)
    families = world.snapshot().families
    assert families["depth"] == families["elsewhere"] == {}


def test_a_parent_that_lives_on_keeps_no_child_that_is_forgotten(world: World) -> None:
    world.open_agent(max_concurrent=3)
    parent = world.running(submitted(world))
    over, living = (world.running(submitted(world, parent.execution_id)) for _ in range(2))
    world.settle(over, Settlement(COMPLETE), fields={"result": "1"})
    assert forget(world) == 1
    assert world.snapshot().families["children"] == {parent.execution_id: {living.execution_id}}


def test_a_child_that_is_brought_back_belongs_to_its_parent_again(world: World) -> None:
    world.open_agent(max_concurrent=3)
    parent = world.running(submitted(world))
    child = submitted(world, parent.execution_id)
    control(world, "force", child)
    archived = record(world, child)
    assert forget(world) == 1
    assert world.snapshot().families["children"] == {}
    world.run(operations.restore(child, int(archived["finished_at_ms"]), archived))
    assert world.snapshot().families["children"] == {parent.execution_id: {child}}
