"""The Celery message that wakes an agent, rendered once so that the ledger's scripts can send it themselves.

Where broker and ledger are one Redis server, the script that matches an execution pushes the message onto the
agent's queue in the same step: there is no moment at which the one is done and the other is not.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from celery import Celery

from mindswarm_exec.celery_app import RUN_TASK
from mindswarm_exec.identifiers import is_id, is_nonce

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WakeMessage:
    """A queue (a list of kombu's Redis transport) and the message with its blanks, `@EXECUTION@` and so on."""

    queue: str
    template: str


def render(app: Celery, queue: str) -> WakeMessage:
    """The message as this version of Celery writes it, in the envelope of kombu's Redis transport.

    Source: kombu/transport/virtual/base.py, `Channel.prepare_message`; a body without `body_encoding` is text.
    """
    task = app.amqp.as_task_v2(
        "@ATTEMPT@", RUN_TASK, args=("@EXECUTION@", "@NONCE@"), shadow="@TASKTYPE@", ignore_result=True
    )
    envelope = {
        "body": json.dumps(task.body),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": task.headers,
        "properties": {
            **{name: value for name, value in task.properties.items() if name != "reply_to"},
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": queue},
            "priority": "@PRIORITY@",
            "delivery_tag": "@TAG@",
        },
    }
    return WakeMessage(queue, json.dumps(envelope).replace('"@PRIORITY@"', "@PRIORITY@"))


def wakes(run: Callable[[str, str], None]) -> Callable[..., None]:
    """The Celery task that such a message calls: `run`, if the arguments are an execution's id and a nonce."""

    def wake(*args: Any, **kwargs: Any) -> None:
        match args:
            case (str(execution_id), str(nonce)) if is_id(execution_id) and is_nonce(nonce) and not kwargs:
                run(execution_id, nonce)
            case _:
                log.error("a message was dropped: it names no attempt", extra={"action": "wake"})

    return wake
