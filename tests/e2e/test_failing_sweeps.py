"""Who sweeps goes on after a sweep that failed, as where a key of the ledger has been spoiled."""

from __future__ import annotations

from pathlib import Path

from mindswarm_exec.lifecycle import TIMED_OUT
from tests.e2e.swarm import Swarm
from tests.eventually import eventually


def test_a_dispatcher_without_beat_sweeps_on_after_a_sweep_that_failed(tmp_path: Path) -> None:
    with Swarm(tmp_path) as swarm:
        dispatcher = swarm.dispatcher()
        swarm.await_dispatcher()
        swarm.redis.set(swarm.key("deadlines"), "no sorted set")

        def has_failed() -> None:
            assert "WRONGTYPE" in dispatcher.log

        eventually(has_failed, 10_000)
        swarm.redis.delete(swarm.key("deadlines"))
        execution_id = swarm.start("nobody.does.this", queue_timeout_seconds=0.2)
        assert swarm.await_end(execution_id).status is TIMED_OUT
