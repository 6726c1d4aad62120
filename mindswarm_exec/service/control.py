"""Control of executions: pause, resume, cancel, retry, answers to questions. Written first, signalled then."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from pydantic import JsonValue

from mindswarm_exec.errors import UnknownAgent, UnknownExecution
from mindswarm_exec.identifiers import is_id, new_nonce
from mindswarm_exec.ledger import operations, reads
from mindswarm_exec.ledger.answers import Controlled, Followed
from mindswarm_exec.ledger.faces import AsyncLedger
from mindswarm_exec.ledger.operations import Operation
from mindswarm_exec.ledger.reads import Record
from mindswarm_exec.ledger.replies import (
    Absent,
    AgentUnknown,
    AnotherQuestion,
    Answered,
    AwaitsInput,
    BudgetSpent,
    Done,
    NotObeyed,
    Refused,
    Wake,
)
from mindswarm_exec.lifecycle import CANCEL, PAUSE, PENDING, RESUME, RETRY, Move, Status
from mindswarm_exec.models.options import ExecutionOptions
from mindswarm_exec.models.params import UNCHANGED, RetryFrom, Unchanged
from mindswarm_exec.models.records import Execution, Failure, Question
from mindswarm_exec.service.actors import control_action, event_data
from mindswarm_exec.service.archived import OlderRecords
from mindswarm_exec.service.names import nearest
from mindswarm_exec.service.questions import checked_answer
from mindswarm_exec.service.records import execution_record, pending_question
from mindswarm_exec.service.refusals import (
    already_answered,
    another_question,
    awaits_input,
    budget_is_spent,
    pause_not_obeyed,
    refusal,
    waits_for_no_input,
)
from mindswarm_exec.service.submission import budget_fields, option_fields, pinned_class, stored_json
from mindswarm_exec.service.waiting import waiting_for
from mindswarm_exec.settings import Settings

#: What a cancel puts into the record of an execution as its error.
CANCELLED_ON_REQUEST = Failure(kind="cancelled_by", message="cancelled on request")
CANCELLED_WITH_PARENT = Failure(kind="cancelled_by", message="its parent was cancelled")


class Publisher(Protocol):
    """Hands wake messages to Celery where the ledger could not do it itself (another broker)."""

    async def publish(self, wakes: Sequence[Wake]) -> None: ...


class ExecutionControl:
    """The verbs that change what was accepted. Each is in the ledger before it answers."""

    def __init__(
        self,
        ledger: AsyncLedger,
        settings: Settings,
        publisher: Publisher | None = None,
        older: OlderRecords | None = None,
    ) -> None:
        self._ledger = ledger
        self._settings = settings
        self._publisher = publisher
        self._older = older

    async def get(self, execution_id: str) -> Execution:
        """The execution as it is now; for a pending one with the reason why it waits."""
        return await self._answered(execution_id, explained=True)

    @control_action("pause")
    async def pause(self, execution_id: str, reason: str = "") -> Execution:
        """Pause what waits; ask a running handler to stop at its next safe point. The receipt tells which."""
        operation = operations.pause(self._checked(execution_id), new_nonce(), reason, event_data(reason=reason))
        return await self._controlled(PAUSE, execution_id, await self._ledger.run(operation))

    @control_action("resume")
    async def resume(
        self,
        execution_id: str,
        reason: str = "",
        checkpoint: JsonValue | Literal[Unchanged.UNCHANGED] = UNCHANGED,
        meters: dict[str, float] | None = None,
    ) -> Execution:
        """Let a paused execution go on, from its checkpoint or from `checkpoint` in its place.

        `meters` are new limits of its budgets, by name. With its budgets no longer spent, those go on too that were
        paused because they were: children, and theirs.

        Raises:
            MoveRefused: it is not paused, waits for an answer, or its budget is still spent.
            PauseNotObeyed: it still runs towards its pause, so that a new checkpoint would not be seen.
        """
        fields: dict[str, str | int | float] = budget_fields(meters or {})
        if checkpoint is not UNCHANGED:
            fields["checkpoint"] = stored_json(checkpoint, "the checkpoint", self._settings.max_payload_bytes)
        replaced = "checkpoint" in fields
        data = event_data(reason=reason, checkpoint_edited=replaced or None, meters=dict(meters or {}) or None)
        reply = await self._ledger.run(
            operations.resume(self._checked(execution_id), new_nonce(), data, fields, checkpoint_replaced=replaced)
        )
        match reply:
            case AwaitsInput():
                raise awaits_input(execution_id)
            case NotObeyed():
                raise pause_not_obeyed(execution_id)
            case BudgetSpent():
                raise budget_is_spent(execution_id, reply)
            case Done():
                await self._follow(execution_id, reply, resumption_of_starved)
                return await self._controlled(RESUME, execution_id, reply)
            case _:
                return await self._controlled(RESUME, execution_id, reply)

    @control_action("cancel")
    async def cancel(self, execution_id: str, reason: str = "", force: bool = False) -> Execution:
        """Cancel what does not run; ask what runs to clean up and stop. `force` fences it at once.

        Its children are cancelled with it.
        """
        reply = await self._ledger.run(cancellation(self._checked(execution_id), reason, force=force))
        if isinstance(reply, Done):
            await self._follow(execution_id, reply, cancellation_of_children)
        return await self._controlled(CANCEL, execution_id, reply)

    @control_action("retry")
    async def retry(
        self, execution_id: str, options: ExecutionOptions | None = None, start_from: RetryFrom = "checkpoint"
    ) -> Execution:
        """Bring back an execution that failed, timed out or was cancelled; `options` replace those it had.

        It goes on from its latest checkpoint, or with `start_from` "start" anew. Its history keeps every attempt.
        One that was archived is put back into the ledger first.
        """
        record = await self._record(execution_id)
        reply = await self._ledger.run(retrial(execution_id, record, options, start_from))
        while isinstance(reply, Absent) and Status(record["status"]) in RETRY.sources:
            record = await self._restored(execution_id)
            reply = await self._ledger.run(retrial(execution_id, record, options, start_from))
        if isinstance(reply, AgentUnknown):
            assert options is not None
            raise await self._unknown_agent(options)
        return await self._controlled(RETRY, execution_id, reply)

    @control_action("provide_input")
    async def provide_input(
        self, execution_id: str, answer: JsonValue, question_id: str | None = None, reason: str = ""
    ) -> Execution:
        """Answer the question that an execution is parked on; it goes on where it was, if that agent can take it.

        Raises:
            InvalidRequest: the answer does not fit the question's schema; nothing was changed.
            MoveRefused: it waits for no input, or for the answer to another question.
            AlreadyAnswered: that question has its answer.
        """
        record = await self._record(execution_id)
        question = pending_question(record)
        asked = self._question_asked(execution_id, record, question, question_id)
        if question is not None and asked == question.question_id:
            checked_answer(question, answer)
        stored = stored_json(answer, "the answer", self._settings.max_payload_bytes)
        data = event_data(question_id=asked, reason=reason)
        reply = await self._ledger.run(operations.provide_input(execution_id, new_nonce(), asked, stored, data))
        match reply:
            case Refused(status=found):
                raise waits_for_no_input(execution_id, found)
            case Answered():
                raise already_answered(execution_id, asked)
            case AnotherQuestion(question_id=other):
                raise another_question(execution_id, asked, other)
            case _:
                return await self._controlled(RESUME, execution_id, reply)

    # --- steps -------------------------------------------------------------------------------------------

    def _question_asked(
        self, execution_id: str, record: Record, question: Question | None, question_id: str | None
    ) -> str:
        if question_id is not None:
            return question_id
        if question is None:
            raise waits_for_no_input(execution_id, record["status"])
        return question.question_id

    async def _follow(self, leader: str, done: Done, others: Callable[[str], Operation[Followed]]) -> None:
        """Do with others what was done with one; should this process end on the way, a sweep goes on with it."""
        left = done.followers_left
        while left:
            left, wakes = await self._ledger.run(others(leader))
            await self._publish(wakes)

    async def _controlled(self, move: Move, execution_id: str, reply: Controlled) -> Execution:
        match reply:
            case Done(wakes=wakes):
                await self._publish(wakes)
                return await self.get(execution_id)
            case Absent():  # unknown, or archived: it has ended
                found = (await self._record(execution_id))["status"]
                raise refusal(move, execution_id, found)
            case Refused(status=found):
                raise refusal(move, execution_id, found)

    async def _answered(self, execution_id: str, *, explained: bool) -> Execution:
        return await self._told(execution_id, await self._record(execution_id), explained=explained)

    async def _told(self, execution_id: str, fields: Record, *, explained: bool) -> Execution:
        """The record; with the reason why it waits where that is asked for, or costs no look at the agents."""
        place = fields.get("place")
        if fields["status"] != PENDING or not (explained or place in ("delay", "concurrency")):
            return execution_record(execution_id, fields)
        needs_agents = place == "lane"
        look = await self._ledger.run(operations.look(execution_id, *(() if needs_agents else (0,))))
        if look is None:
            raise UnknownExecution.of(execution_id)
        return execution_record(execution_id, look.fields, waiting_for(look))

    async def _record(self, execution_id: str) -> Record:
        """The record in the ledger, or else in the archive."""
        fields = await self._ledger.run(reads.execution(self._checked(execution_id)))
        if fields is None and self._older is not None:
            fields = await self._older.get(execution_id)
        if fields is None:
            raise UnknownExecution.of(execution_id)
        return fields

    async def _restored(self, execution_id: str) -> Record:
        """The record, in the ledger again if it was archived."""
        if self._older is not None:
            await self._older.restore([execution_id])
        return await self._record(execution_id)

    def _checked(self, execution_id: str) -> str:
        """The id, if it looks like one: what is no id reaches no key of the ledger."""
        if not is_id(execution_id):
            raise UnknownExecution.of(execution_id[:64] if execution_id.isprintable() else "(unprintable)")
        return execution_id

    async def _unknown_agent(self, options: ExecutionOptions) -> UnknownAgent:
        wanted = options.agent.agent_id or ""
        return UnknownAgent.of(wanted, nearest(wanted, await self._ledger.run(reads.agent_ids())))

    async def _publish(self, wakes: Sequence[Wake]) -> None:
        if wakes and self._publisher is not None:
            await self._publisher.publish(wakes)


def cancellation(execution_id: str, reason: str, *, force: bool = False) -> Operation[Controlled]:
    """The ledger operation that cancels one execution."""
    error = CANCELLED_ON_REQUEST.model_copy(update={"message": reason}) if reason else CANCELLED_ON_REQUEST
    return operations.cancel(
        execution_id,
        new_nonce(),
        reason,
        force=force,
        error=error.model_dump_json(exclude_defaults=True),
        data=event_data(reason=reason, force=force or None),
    )


def resumption_of_starved(execution_id: str) -> Operation[Followed]:
    """The ledger operation that lets some of those go on that a raised budget had held up."""
    return operations.resume_starved(execution_id, event_data(budget_of=execution_id))


def cancellation_of_children(execution_id: str) -> Operation[Followed]:
    """The ledger operation that cancels some of the children of a cancelled execution."""
    error = CANCELLED_WITH_PARENT.model_dump_json(exclude_defaults=True)
    return operations.cancel_children(execution_id, error, event_data(parent_id=execution_id))


def retrial(
    execution_id: str, record: Record, options: ExecutionOptions | None = None, start_from: RetryFrom = "checkpoint"
) -> Operation[Controlled | AgentUnknown]:
    """The ledger operation that brings one execution back. Without options and from its checkpoint, `record` may
    be empty."""
    fields: dict[str, str | int | float] = {}
    pinned = ("", "", "")
    if options is not None:
        fields = _replaced(record, options)
        pinned = pinned_class(record["task_type"], options)
    if start_from == "start":
        fields |= _forgotten(record)
    changes = event_data(options_changed=options is not None or None, start_from=start_from)
    return operations.retry(execution_id, new_nonce(), changes, fields, pinned=pinned)


def _replaced(record: Record, options: ExecutionOptions) -> dict[str, str | int | float]:
    """The fields that replace those of the old options; an empty value removes one."""
    task_type, task_id = record["task_type"], record.get("task_id")
    old = ExecutionOptions.model_validate_json(record.get("options") or "{}")
    fields: dict[str, str | int | float] = dict.fromkeys([*option_fields(task_type, old, task_id), "demand"], "")
    fields |= option_fields(task_type, options, task_id)
    if options.start_at_ms is not None:
        fields["eligible_at_ms"] = options.start_at_ms
    return fields


def _forgotten(record: Record) -> dict[str, str | int | float]:
    """What an execution that starts anew does not keep of its earlier attempts."""
    kept = ("checkpoint", "progress_fraction", "progress_message")
    return dict.fromkeys([name for name in record if name in kept or name.startswith("answer:")], "")
