"""The same no-op work, as an agent of ours and as a plain Celery app.

A payload carries the instant of its submission (Unix nanoseconds); the result is the time until the handler
began, in nanoseconds. Both sides run on one machine, so one clock serves.
"""

from __future__ import annotations

import os
import time
from typing import Any

from celery import Celery

from mindswarm_exec import Agent, SyncExecutionContext

SLOTS = 3

agent = Agent("bench", max_concurrent=SLOTS)


@agent.task("bench.noop")
def noop(ctx: SyncExecutionContext, payload: dict[str, Any]) -> int:
    return time.time_ns() - int(payload["at"])


def plain_celery(url: str) -> Celery:
    """Celery as its manual sets it up on Redis: JSON, results kept, the threads pool with as many slots."""
    app = Celery("plain", broker=url, backend=url, set_as_current=False)
    app.conf.update(
        worker_pool="threads",
        worker_concurrency=SLOTS,
        worker_send_task_events=os.environ.get("BENCH_EVENTS") == "1",
        task_send_sent_event=os.environ.get("BENCH_EVENTS") == "1",
        broker_connection_retry_on_startup=True,
        worker_hijack_root_logger=False,
    )

    @app.task(name="bench.noop", shared=False)
    def plain_noop(payload: dict[str, Any]) -> int:
        return time.time_ns() - int(payload["at"])

    return app


def __getattr__(name: str) -> Any:
    if name == "app":  # for `celery -A benchmarks.workloads worker`
        return globals().setdefault("app", plain_celery(os.environ["BENCH_REDIS_URL"]))
    raise AttributeError(name)
