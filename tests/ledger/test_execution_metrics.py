"""The metrics of one execution, from the record that the scripts have written."""

from __future__ import annotations

import json

from mindswarm_exec.ledger import operations, reads
from mindswarm_exec.ledger.operations import Settlement
from mindswarm_exec.lifecycle import COMPLETE, FAIL, POSTPONE
from mindswarm_exec.models.options import ExecutionOptions
from mindswarm_exec.models.records import ExecutionMetrics
from mindswarm_exec.service.metrics import of_execution
from tests.ledger.world import World


def submitted(world: World, **options: object) -> str:
    execution_id = world.submit("t", ExecutionOptions.model_validate(options))
    assert execution_id is not None
    return execution_id


def measured(world: World, execution_id: str, later_ms: int = 0) -> ExecutionMetrics:
    now_ms = world.ledger.run(reads.server_time_ms()) + later_ms
    return of_execution(execution_id, world.snapshot().executions[execution_id], now_ms)


def test_what_its_attempts_used_is_added_up_and_its_peak_kept(world: World) -> None:
    world.open_agent()
    execution_id = submitted(world)
    for move, used in ((POSTPONE, {"cpu_ms": 300, "peak_rss_mb": 80.5, "output_bytes": 7}), (FAIL, {"cpu_ms": 200})):
        attempt = world.running(execution_id)
        world.settle(attempt, Settlement(move, json.dumps({"attempt": 1, "used": used})))
    found = measured(world, execution_id)
    assert (found.cpu_ms, found.peak_rss_mb, found.output_bytes, found.attempts) == (500, 80.5, 7, 2)
    assert found.total_ms >= found.waiting_ms + (found.running_ms or 0)


def test_nothing_is_said_of_what_is_not_known(world: World) -> None:
    found = measured(world, submitted(world))
    assert (found.cpu_ms, found.peak_rss_mb, found.running_ms) == (None, None, None)


def test_waiting_is_told_by_cause(world: World) -> None:
    delayed = submitted(world)
    found = measured(world, delayed, later_ms=5000)
    assert found.waited_ms == {"agent": found.waiting_ms}
    assert found.waiting_ms >= 5000


def test_a_pause_is_no_waiting(world: World) -> None:
    execution_id = submitted(world)
    world.run(operations.pause(execution_id, "request", "", "{}"))
    found = measured(world, execution_id, later_ms=5000)
    assert found.waited_ms["paused"] >= 5000
    assert found.waiting_ms < 5000


def test_meters_are_told(world: World) -> None:
    world.open_agent()
    attempt = world.running(submitted(world))
    world.run(operations.meter(attempt.held, "a" * 32, "tokens", 12))
    world.settle(attempt, Settlement(COMPLETE))
    assert measured(world, attempt.execution_id).meters["tokens"].spent == 12
