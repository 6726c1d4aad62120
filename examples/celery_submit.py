"""Submit from plain Celery: a program that has Celery and nothing of ours sends work to the front door.

    export MINDSWARM_REDIS_URL=redis://127.0.0.1:6379/0     # the ledger, and the broker too
    mindswarm-exec up --agent examples.pipeline:reader
    python examples/celery_submit.py $MINDSWARM_REDIS_URL "to be" "or not"

A dispatcher takes the message from the queue `mindswarm.executions` and answers it with the execution, or with
`{"error": ...}`, by Celery's result backend. The id of the message is the idempotency key, unless one is given: so a
message that is delivered twice is one execution.
"""

from __future__ import annotations

import sys
from typing import Any

from celery import Celery


def submit(url: str, pages: list[str], queue: str = "mindswarm.executions") -> dict[str, Any]:
    """Send the work, and wait for the word that it was accepted; the execution as a dict."""
    app = Celery(broker=url, backend=url)
    sent = app.send_task(
        "mindswarm.execution.start",
        kwargs={"task_type": "pages.read", "payload": {"pages": pages}, "options": {"priority": "high"}},
        queue=queue,
    )
    answer: dict[str, Any] = sent.get(timeout=20)
    if "execution_id" not in answer:
        raise SystemExit(answer["error"]["message"])
    return answer


if __name__ == "__main__":
    print(submit(sys.argv[1], sys.argv[2:])["execution_id"])
