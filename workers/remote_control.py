"""What Celery's remote control, and with it each button of Flower, may do to a worker of the engine.

Looking and events are as ever, `revoke` and `terminate` are cancels (workers.revocation), `shutdown` is a drain. What
would work past the ledger is refused: some of it would lose work, such as an agent made to take from the front door's
queue, or to leave its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from celery.worker.control import Panel

log = logging.getLogger(__name__)

SLOTS = "the slots of an agent are its max_concurrent: start it anew with another, or start more agents"
RESTART = "shut it down, which is a drain; whatever runs your processes starts it anew"
QUEUES = "a worker has the queues that the ledger sends to: to keep work from an agent, put it to sleep or drain it"
LIMITS = "Celery's limits have no hold on executions: submit them with timeout_seconds, or with a concurrency_limit"
#: By command: why it is refused and what to do in its place.
REFUSED = {
    "pool_grow": SLOTS,
    "pool_shrink": SLOTS,
    "pool_restart": RESTART,
    "autoscale": SLOTS,
    "add_consumer": QUEUES,
    "cancel_consumer": QUEUES,
    "rate_limit": LIMITS,
    "time_limit": LIMITS,
}


def refuse_what_harms() -> None:
    """Take the place of Celery's own commands, for every app of this process."""
    for command, reason in REFUSED.items():
        Panel.register(name=command, type="control", help=f"Refused: {reason}.")(_refusal(command, reason))


def _refusal(command: str, reason: str) -> Callable[..., dict[str, str]]:
    def refuse(state: object, **_: Any) -> dict[str, str]:
        log.warning("a command of Celery's remote control was refused", extra={"action": command})
        return {"error": reason}

    return refuse
