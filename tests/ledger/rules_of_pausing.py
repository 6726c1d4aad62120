"""Attempts that are frozen in place, thawed and stranded; questions and their answers."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from mindswarm_exec.identifiers import new_nonce
from mindswarm_exec.ledger import operations
from mindswarm_exec.ledger.replies import AnotherQuestion, Answered, Done, Refused, Settled
from mindswarm_exec.lifecycle import PAUSE, PAUSED
from tests.ledger import drawing
from tests.ledger.machine import Machine, one_of, pick, twice
from tests.ledger.snapshot import Record

IN_PLACE = '{"in_place":true}'


class Pausers(Machine):
    """Agents that stop processes in place, or park on a question; and those who let them go on."""

    @precondition(lambda self: self.live_attempts)
    @rule(which=one_of, is_asked=st.sampled_from([True, True, True, False]), twice=twice)
    def freeze(self, which: int, is_asked: bool, twice: bool) -> None:
        """Only a pause that stands allows it; a frozen one is so already."""
        attempt = self.taken_up(pick(self.live_attempts, which))
        if is_asked and not attempt.frozen:
            self.pause(attempt.execution_id)
        before = self.world.snapshot().executions[attempt.execution_id]
        reply = self.world.run(operations.freeze(attempt.held, IN_PLACE), twice)
        after = self.world.snapshot().executions[attempt.execution_id]
        if "frozen" in before or before.get("intent_kind") != "pause":
            assert (reply, after) == (Done("") if "frozen" in before else Refused(before["status"]), before)
        else:
            assert reply == Done("")
            assert "frozen" in after

    @precondition(lambda self: self.frozen_attempts)
    @rule(which=one_of, replaced=st.booleans(), limit=drawing.rarely(drawing.raised_limits), twice=twice)
    def thaw(self, which: int, replaced: bool, limit: float | None, twice: bool) -> None:
        self.resume(pick(self.frozen_attempts, which).execution_id, twice, limit, replaced)

    @precondition(lambda self: self.frozen_attempts)
    @rule(which=one_of, force=st.sampled_from([False, False, True]), twice=twice)
    def cancel_what_is_frozen(self, which: int, force: bool, twice: bool) -> None:
        self.cancel(pick(self.frozen_attempts, which).execution_id, force, twice)

    @precondition(lambda self: self.frozen_attempts)
    @rule(which=one_of, how=drawing.frozen_settlements, twice=twice)
    def settle_what_is_frozen(self, which: int, how: Any, twice: bool) -> None:
        """Its agent drains, its process was told to end, or it ended unasked: then its agent has to strand it."""
        attempt = pick(self.frozen_attempts, which)
        before = self.world.snapshot()
        reply = self.world.settle(attempt, how, twice)
        if PAUSED in how.move.sources:
            assert isinstance(reply, Settled)
        else:
            assert reply == Refused(PAUSED)
            assert self.world.snapshot() == before

    @precondition(lambda self: self.frozen_attempts)
    @rule(which=one_of, twice=twice)
    def report_late(self, which: int, twice: bool) -> None:
        """News that were on the way when the process stopped count; they are no sign of life that starts a clock."""
        attempt = pick(self.frozen_attempts, which)
        operation = operations.report(
            attempt.held, new_nonce(), "execution.checkpoint", "{}", {"checkpoint": '{"next":1}'}
        )
        self.world.run(operation, twice)
        assert self.world.snapshot().executions[attempt.execution_id]["checkpoint"] == '{"next":1}'

    # --- questions ---------------------------------------------------------------------------------------

    @precondition(lambda self: self.workable_attempts)
    @rule(which=one_of, question_id=drawing.questions, slot=drawing.slots)
    def ask(self, which: int, question_id: str, slot: str) -> None:
        """It parks on a question; a cancel that was asked for leaves no question open."""
        attempt = self.taken_up(pick(self.workable_attempts, which))
        is_cancelled = self.world.snapshot().executions[attempt.execution_id].get("intent_kind") == "cancel"
        fields = {"question": "{}", "question_id": question_id}
        reply = self.world.settle(attempt, operations.Settlement(PAUSE, slot=slot), fields=fields)
        assert isinstance(reply, Settled)
        after = self.world.snapshot().executions[attempt.execution_id]
        assert (after["status"], "question" in after) == (("cancelled", False) if is_cancelled else ("paused", True))

    @precondition(lambda self: self.with_questions)
    @rule(which=one_of, question_id=drawing.questions, is_asked=st.sampled_from([True, True, False]), twice=twice)
    def answer(self, which: int, question_id: str, is_asked: bool, twice: bool) -> None:
        """The right question, a wrong one, one that was answered, or none at all."""
        id = pick(self.with_questions if is_asked else self.executions, which)
        before = self.world.snapshot().executions[id]
        operation = operations.provide_input(id, new_nonce(), question_id, "true", "{}")
        reply = self.world.run(operation, twice)
        after = self.world.snapshot().executions[id]
        if before.get("question_id") == question_id:
            assert isinstance(reply, Done)
            assert reply.status == after["status"]
            assert after[f"answer:{question_id}"] == "true"
            return
        assert after == before
        if "question" in before and f"answer:{question_id}" not in before:
            assert reply == AnotherQuestion(before["question_id"])
        else:
            assert reply == (Answered() if f"answer:{question_id}" in before else Refused(before["status"]))

    @property
    def with_questions(self) -> list[str]:
        """What has asked: it waits for an answer, or did."""
        records = self.latest.executions
        return [id for id, record in records.items() if "question_id" in record or has_answer(record)]


def has_answer(record: Record) -> bool:
    return any(name.startswith("answer:") for name in record)
