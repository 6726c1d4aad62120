"""What Celery's `revoke` and `terminate` mean here: the cancel of an execution.

Flower, `celery control revoke` and `app.control.revoke` name an attempt, as that is what they see as a celery task.
Every agent hears the word, and the one that the ledger has the attempt with passes it on as a cancel.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from celery.worker.control import Panel

from mindswarm_exec.errors import LedgerUnavailable
from mindswarm_exec.identifiers import execution_of, is_id
from mindswarm_exec.ledger import reads
from mindswarm_exec.ledger.faces import SyncLedger
from mindswarm_exec.ledger.replies import Done, Wake
from mindswarm_exec.service.actors import Actor, acting_as
from mindswarm_exec.service.control import cancellation, cancellation_of_children

log = logging.getLogger(__name__)

REASON = "revoked over Celery's remote control"

Publish = Callable[[Sequence[Wake]], None]


class Revocation:
    """Cancels in the ledger what is revoked of the attempts that it has with one agent."""

    def __init__(self, agent_id: str, ledger: SyncLedger, publish: Publish) -> None:
        self._agent_id = agent_id
        self._ledger = ledger
        self._publish = publish

    def install(self) -> None:
        """Take the place of Celery's own in this process, which would only mark messages to be dropped."""
        ids = "[id1 [id2 [... [idN]]]]"
        Panel.register(name="revoke", type="control", variadic="task_id", signature=ids)(self.revoke)
        Panel.register(
            name="terminate",
            type="control",
            args=[("signal", str)],
            variadic="task_id",
            signature=f"<signal> {ids}",
        )(self.terminate)

    def revoke(self, state: object, task_id: str | list[str], terminate: bool = False, **_: Any) -> dict[str, str]:
        """Cancel the executions of these attempts, with `terminate` by force; what is not this agent's is left."""
        named = [task_id] if isinstance(task_id, str) else task_id
        try:
            with acting_as(Actor(via="celery")):
                asked = [attempt for attempt in named if self._cancel(attempt, force=bool(terminate))]
        except LedgerUnavailable as error:
            log.warning("a revoke could not be passed on", extra={"action": "revoke", "error": str(error)})
            return {"error": "the ledger is away: nothing was cancelled; revoke it again"}
        return {"ok": f"cancelled: {', '.join(asked)}" if asked else "none of them is here"}

    def terminate(self, state: object, task_id: str | list[str], **_: Any) -> dict[str, str]:
        """Cancel by force. No signal is sent: the limits of the handler's isolation say how it is stopped."""
        return self.revoke(state, task_id, terminate=True)

    def _cancel(self, attempt: str, *, force: bool) -> bool:
        """Cancel the execution of one attempt, if that is its latest and with this agent."""
        execution_id = execution_of(attempt)
        if not is_id(execution_id):
            return False
        found = self._ledger.run(reads.fields(execution_id, ("agent_id", "attempt")))
        if found.get("agent_id") != self._agent_id or attempt != f"{execution_id}.{found.get('attempt')}":
            return False
        reply = self._ledger.run(cancellation(execution_id, REASON, force=force))
        if not isinstance(reply, Done):
            return False
        self._publish(reply.wakes)
        self._cancel_children(execution_id, reply.followers_left)
        facts = {"action": "revoke", "execution_id": execution_id, "agent_id": self._agent_id, "force": force}
        log.info("a revoke became a cancel", extra=facts)
        return True

    def _cancel_children(self, execution_id: str, left: int) -> None:
        while left:
            left, wakes = self._ledger.run(cancellation_of_children(execution_id))
            self._publish(wakes)
