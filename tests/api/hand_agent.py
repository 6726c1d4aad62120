"""An agent moved by hand, on the real ledger: it does what a test says, when the test says it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from mindswarm_exec.identifiers import new_nonce
from mindswarm_exec.ledger import operations
from mindswarm_exec.ledger.faces import SyncLedger, connect_sync
from mindswarm_exec.ledger.operations import Settlement
from mindswarm_exec.ledger.replies import Attempt, Claimed, Done, Settled
from mindswarm_exec.lifecycle import COMPLETE, FAIL, PAUSE, Move
from mindswarm_exec.models.records import Question
from mindswarm_exec.settings import Settings
from tests.eventually import eventually


class HandAgent:
    """Registers for one task type at once."""

    def __init__(self, settings: Settings, agent_id: str = "coder", task_type: str = "code.survey") -> None:
        assert settings.redis_url is not None
        self.agent_id = agent_id
        self._ledger = SyncLedger(connect_sync(settings.redis_url, settings), settings)
        self._incarnation = new_nonce()
        profile = {"task_types": [task_type], "capabilities": [], "labels": {}}
        fields: dict[str, str | int | float] = {"max_concurrent": 50, "handlers": json.dumps({task_type: {}})}
        self._ledger.run(operations.register(agent_id, self._incarnation, json.dumps(profile), fields))
        self.open()

    def open(self) -> None:
        """Take work, at first and when it was woken."""
        name, event = self._incarnation, "agent.woken"
        self._ledger.run(operations.set_agent_state(self.agent_id, name, "awake", accepts_work=True, event=event))

    def begin(self, execution_id: str) -> Attempt:
        """Claim the execution, as soon as it is queued for this agent."""

        def nonce() -> str:
            found = self._ledger.client.hmget(self._ledger.keys.of("execution", execution_id), "status", "nonce")
            assert found[0] == "queued", found
            return str(found[1])

        reply = self._ledger.run(operations.claim(execution_id, eventually(nonce), new_nonce(), self.agent_id))
        assert isinstance(reply, Claimed), reply
        return reply.attempt

    def progress(self, attempt: Attempt, fraction: float, message: str = "") -> None:
        data = json.dumps({"fraction": fraction, "message": message})
        self._ledger.run(operations.report(attempt, new_nonce(), "execution.progress", data, {}))

    def complete(self, attempt: Attempt, result: Any) -> None:
        self._settle(attempt, COMPLETE, {"result": json.dumps(result)})

    def completes(self, attempt: Attempt) -> bool:
        """Whether the ledger takes a result of the attempt; if not, its slot is free all the same."""
        how = Settlement(COMPLETE)
        reply = self._ledger.run(
            operations.settle(attempt, self.agent_id, f"agent:{self.agent_id}", how, {"result": "1"})
        )
        return isinstance(reply, Settled)

    def ask(self, attempt: Attempt, question_id: str, prompt: str, schema: dict[str, Any] | None = None) -> None:
        """Park the execution on a question, as a handler's `ctx.ask` does."""
        asked_at = datetime.now(UTC)
        question = Question(question_id=question_id, prompt=prompt, answer_schema=schema, asked_at=asked_at)
        self._settle(attempt, PAUSE, {"question": question.model_dump_json(), "question_id": question_id})

    def spend(self, attempt: Attempt, meter: str, amount: float) -> None:
        self._ledger.run(operations.meter(attempt, new_nonce(), meter, amount))

    def pause(self, attempt: Attempt) -> None:
        """Obey a pause."""
        self._settle(attempt, PAUSE, {})

    def freeze(self, attempt: Attempt) -> None:
        """Obey a pause with the process stopped in place."""
        assert isinstance(self._ledger.run(operations.freeze(attempt, "{}")), Done)

    def fail(self, attempt: Attempt, message: str) -> None:
        error = {"kind": "handler_error", "type": "ValueError", "message": message}
        self._settle(attempt, FAIL, {"error": json.dumps(error)}, json.dumps({"error": error}))

    def run(self, execution_id: str, result: Any) -> None:
        """The whole life of an attempt that goes well."""
        attempt = self.begin(execution_id)
        self.progress(attempt, 0.5, "half")
        self.complete(attempt, result)

    def close(self) -> None:
        self._ledger.close()

    def _settle(self, attempt: Attempt, move: Move, fields: dict[str, str | int | float], data: str = "{}") -> None:
        how = Settlement(move, data=data)
        reply = self._ledger.run(operations.settle(attempt, self.agent_id, f"agent:{self.agent_id}", how, fields))
        assert isinstance(reply, Settled), reply
