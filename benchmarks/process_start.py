"""How long a process handler takes to start: from the call on the slot's thread to the handler's first line.

python -m benchmarks.process_start
"""

from __future__ import annotations

import json
import statistics
import time

from mindswarm_exec import Agent, SyncExecutionContext
from mindswarm_exec.identifiers import new_id, new_nonce
from mindswarm_exec.ledger.replies import Attempt
from mindswarm_exec.settings import Settings
from workers.attempt import RunningAttempt
from workers.isolation.process import ProcessIsolation

STARTS = 100

agent = Agent("starts")


@agent.task("instant", isolation="process")
def instant(ctx: SyncExecutionContext) -> float:
    """When its first line ran, on the clock that all processes of the machine share."""
    return time.monotonic()


def _attempt() -> RunningAttempt:
    held = Attempt(
        execution_id=new_id(),
        nonce=new_nonce(),
        number=1,
        task_type="instant",
        project_id="default",
        task_id=None,
        payload="null",
        options="{}",
        checkpoint=None,
        failed_attempts=0,
        lost_attempts=0,
        intent="",
        agent_id="starts",
    )
    return RunningAttempt(held, None, 1 << 20)  # type: ignore[arg-type]  # it reports nothing


def start_milliseconds(starts: int = STARTS) -> tuple[float, float]:
    """Median and 99th percentile of `starts` starts, one after another, with the zygote standing."""
    isolation = ProcessIsolation("benchmarks.process_start:agent", Settings())
    try:
        found = [_one(isolation) for _ in range(starts + 1)][1:]  # the first waits for the zygote's imports
    finally:
        isolation.stop()
    return statistics.median(found), statistics.quantiles(found, n=100)[98]


def _one(isolation: ProcessIsolation) -> float:
    began = time.monotonic()
    reached: float = json.loads(isolation.run(agent.handlers["instant"], _attempt()))
    return (reached - began) * 1000


if __name__ == "__main__":
    median, p99 = start_milliseconds()
    print(f"start of a process handler: median {median:.1f} ms, p99 {p99:.1f} ms, over {STARTS} starts")
