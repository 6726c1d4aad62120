"""Two beats and three dispatchers: every timeout, retry and delayed start fires once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from mindswarm_exec.lifecycle import COMPLETED, TIMED_OUT
from tests.e2e.swarm import WIDE, Swarm, count_of

EACH = 12


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swarm]:
    with Swarm(tmp_path_factory.mktemp("doubled"), MINDSWARM_SWEEP_SECONDS="0.05") as swarm:
        swarm.beat("beat-1")
        swarm.beat("beat-2")
        for number in range(3):
            swarm.dispatcher(f"dispatcher-{number}")
        swarm.agent("wide", WIDE)
        swarm.await_agents("wide")
        swarm.await_dispatcher()
        yield swarm


def test_every_timeout_retry_and_delayed_start_fires_once(swarm: Swarm) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    policy = {"max_attempts": 3, "backoff": "fixed", "initial_delay_seconds": 0.2}
    delayed = [swarm.start("echo", n, start_at=soon) for n in range(EACH)]
    retried = [swarm.start("fail", {"until": 3}, retry_policy=policy) for _ in range(EACH)]
    unserved = [swarm.start("nobody.does.this", queue_timeout_seconds=0.3) for _ in range(EACH)]
    deaf = [swarm.start("wait.deaf", {"file": "over"}, timeout_seconds=0.3) for _ in range(EACH)]
    for ids, status, wanted in (
        (delayed, COMPLETED, {"created": 1, "queued": 1, "started": 1, "completed": 1}),
        (retried, COMPLETED, {"started": 3, "retry_scheduled": 2, "completed": 1}),
        (unserved, TIMED_OUT, {"created": 1, "queued": 0, "timed_out": 1}),
        (deaf, TIMED_OUT, {"started": 1, "timed_out": 1, "released": 0}),
    ):
        for execution_id in ids:
            assert swarm.await_end(execution_id).status is status
            assert count_of(swarm.event_types(execution_id), *wanted) == wanted
    swarm.touch("over")
    swarm.await_load("wide", 0)
    for execution_id in deaf:
        assert swarm.event_types(execution_id)[-1] == "timed_out"
