"""An attempt whose ledger is a script: what the handler reports is kept, what it asks is answered as written."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import JsonValue, ValidationError
from pydantic_core import to_jsonable_python

from mindswarm_exec.children import ChildOutcome
from mindswarm_exec.context import SafePointReached
from mindswarm_exec.errors import InvalidRequest, UnknownExecution
from mindswarm_exec.identifiers import new_id
from mindswarm_exec.ledger.faces import SyncLedger
from mindswarm_exec.ledger.operations import Fields, Operation
from mindswarm_exec.ledger.replies import Absent, Attempt, Exhausted, Fenced, Metered, Reported
from mindswarm_exec.models.options import StartRequest
from mindswarm_exec.models.records import Question
from mindswarm_exec.models.validation import invalid_request
from mindswarm_exec.service.questions import checked_answer
from workers.attempt import RunningAttempt, Wish, new_question, storable


@dataclass(frozen=True)
class Script:
    """What happens to the handler: as the arguments of `run` say."""

    pause_at: int | None = None
    cancel_at: int | None = None
    answers: Mapping[str, Any] = field(default_factory=dict)
    children: Mapping[str, Any] = field(default_factory=dict)


class RehearsedAttempt(RunningAttempt):
    """The engine's own side of an attempt; only what would go to the ledger stays here."""

    def __init__(self, held: Attempt, script: Script, max_payload_bytes: int) -> None:
        super().__init__(held, _NoLedger(), max_payload_bytes)
        self.told: list[tuple[float, str]] = []
        self.printed: list[tuple[str, str]] = []
        self.checkpoints: list[dict[str, JsonValue]] = []
        self.spent: defaultdict[str, float] = defaultdict(float)
        self.questions: list[Question] = []
        self.started: list[StartRequest] = []
        self._script = script
        self._by_key: dict[str, str] = {}
        self._outcomes: dict[str, ChildOutcome] = {}

    # --- news --------------------------------------------------------------------------------------------

    def progress(self, fraction: float, message: str) -> None:
        """Keep all of it: nothing is thinned here."""
        self.told.append((min(1.0, max(0.0, float(fraction))), storable(message)))

    def _report(
        self, event: str, data: dict[str, JsonValue], fields: Fields, *, patiently: bool = False
    ) -> Reported | Absent | Fenced | None:
        if event == "execution.output":
            self.printed.append((str(data["stream"]), str(data["text"])))
        else:
            # first, so that a process which is to pause is known to have safe points
            self.checkpoint_id = str(data["checkpoint_id"])
            self.checkpoints.append(json.loads(str(fields["checkpoint"])))
            self._interfere(len(self.checkpoints))
        return None

    def _interfere(self, number: int) -> None:
        if number == self._script.pause_at:
            self.wish_for(Wish.PAUSE)
        if number == self._script.cancel_at:
            self.wish_for(Wish.CANCEL)

    def confirm_freeze(self) -> bool:
        """Nothing is frozen here: a handler without safe points goes on."""
        self.withdraw_pause()
        return False

    # --- budgets and questions ---------------------------------------------------------------------------

    def _spend(self, name: str, amount: float) -> Metered | Exhausted | Absent | Fenced | None:
        limit = self.options.resource_limits.meters.get(name)
        was_spent = limit is not None and self.spent[name] >= limit
        self.spent[name] += amount
        if limit is None or self.spent[name] < limit:
            return None
        self.wish_for(Wish.PAUSE)
        return Exhausted(self.spent[name], limit) if was_spent else None

    def ask(self, prompt: str, schema: dict[str, JsonValue] | None, key: str) -> JsonValue:
        question = new_question(key, prompt, schema)
        self.questions.append(question)
        if key not in self._script.answers:
            self.parked = {"question": question.model_dump_json(), "question_id": key}
            raise SafePointReached
        answer: JsonValue = to_jsonable_python(self._script.answers[key])
        checked_answer(question, answer)
        return answer

    # --- children ----------------------------------------------------------------------------------------

    def start_child(self, task_type: str, payload: JsonValue, options: dict[str, JsonValue], key: str) -> str:
        if key in self._by_key:
            return self._by_key[key]
        try:
            asked = StartRequest.model_validate({"task_type": task_type, "payload": payload, "options": options})
        except ValidationError as error:
            raise invalid_request(error, "the child", StartRequest) from None
        self.started.append(asked)
        execution_id = new_id()
        self._outcomes[execution_id] = self._outcome(task_type, payload)
        if key:
            self._by_key[key] = execution_id
        return execution_id

    def _outcome(self, task_type: str, payload: JsonValue) -> ChildOutcome:
        if task_type not in self._script.children:
            raise InvalidRequest(
                f"the handler started a child '{task_type}', of which the test says nothing. Pass "
                f"children={{'{task_type}': its result, or an exception}}."
            )
        end = self._script.children[task_type]
        if callable(end):
            end = end(payload)
        if isinstance(end, Exception):
            error: dict[str, JsonValue] = {"kind": "handler_error", "type": type(end).__name__, "message": str(end)}
            return {"status": "failed", "result": None, "error": error}
        return {"status": "completed", "result": to_jsonable_python(end), "error": None}

    def child_outcome(self, execution_id: str) -> ChildOutcome:
        self.raise_if_stopped()
        if execution_id not in self._outcomes:
            raise UnknownExecution.of(execution_id)
        return self._outcomes[execution_id]


class _NoLedger(SyncLedger):
    """Stands where an attempt has its ledger, and is never asked."""

    def __init__(self) -> None:
        """There is nothing to connect to."""

    def run(self, operation: Operation[Any]) -> Any:
        raise AssertionError("a rehearsal has no ledger: what would be asked of it is answered before")
