"""Those who submit and control executions, and the agents that run their attempts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from mindswarm_exec.identifiers import new_nonce
from mindswarm_exec.ledger import operations
from mindswarm_exec.ledger.replies import Claimed, Reported, Settled, Taken
from mindswarm_exec.lifecycle import CANCEL, PAUSE, RESUME, RETRY
from mindswarm_exec.models.params import RetryFrom
from tests.ledger import drawing
from tests.ledger.machine import Machine, one_of, pick, twice

SOURCES = {
    "pause": PAUSE.sources,
    "resume": RESUME.sources,
    "cancel": CANCEL.sources,
    "force": CANCEL.sources,
    "retry": RETRY.sources,
}


class Submitters(Machine):
    """Submit, and control what was submitted."""

    @precondition(lambda self: self.takes_more)
    @rule(
        how=st.sampled_from(["plainly", "plainly", "once", "for a task", "for later"]),
        task_type=drawing.task_types,
        options=drawing.options,
        count=st.integers(1, 3),
        twice=twice,
    )
    def submit(self, how: str, task_type: str, options: Any, count: int, twice: bool) -> None:
        if how == "for a task":
            fields = {"status": "open"}
            self.world.run(operations.put_task("work", "create", "task.created", "{}", "default", fields))
        if how == "for later":
            options = options.model_copy(update={"start_at": self.world.now() + timedelta(seconds=20)})
        key = "once" if how == "once" else None
        task_id = "work" if how == "for a task" else None
        for _ in range(count):
            self.world.submit(task_type, options, key, task_id, twice)

    @precondition(lambda self: self.executions)
    @rule(
        verb=st.sampled_from(["pause", "pause", "resume", "resume", "resume", "cancel", "force", "retry"]),
        which=one_of,
        fits=st.sampled_from([True, True, True, False]),
        options=drawing.rarely(drawing.options),
        twice=twice,
    )
    def control(self, verb: str, which: int, fits: bool, options: Any, twice: bool) -> None:
        """Of what it may be done to, as a rule, if there is any."""
        known = self.latest.executions
        fitting = [id for id in self.executions if known[id]["status"] in SOURCES[verb]] if fits else []
        id = pick(fitting or self.executions, which)
        match verb:
            case "pause":
                self.pause(id, twice)
            case "resume":
                self.resume(id, twice, replaced=options is not None)
            case "retry":
                self.retry(id, options, twice)
            case _:
                self.cancel(id, verb == "force", twice)

    def retry(self, id: str, options: Any, twice: bool) -> None:
        if options is not None and options.agent.agent_id not in (None, *self.world.snapshot().agents):
            options = None  # an agent that is unknown is refused
        start_from: RetryFrom = "start" if twice else "checkpoint"
        if self.send_control(RETRY, id, self.world.retry_operation(id, options, start_from), twice):
            self.model.executions[id].was_retried(options)
            kept = [name for name in self.world.snapshot().executions[id] if is_of_earlier_attempts(name)]
            assert start_from == "checkpoint" or not kept


def is_of_earlier_attempts(field: str) -> bool:
    return field in ("checkpoint", "progress_fraction", "question") or field.startswith("answer:")


class Workers(Machine):
    """Claim, report and settle attempts that they hold."""

    @precondition(lambda self: self.waiting_attempts)
    @rule(which=one_of, all_of_them=st.booleans(), twice=twice)
    def claim(self, which: int, all_of_them: bool, twice: bool) -> None:
        waiting = self.waiting_attempts
        for attempt in waiting if all_of_them else [pick(waiting, which)]:
            reply = self.world.claim(attempt, new_nonce(), twice)
            assert isinstance(reply, Claimed)
            assert reply.attempt.nonce == attempt.nonce

    @precondition(lambda self: self.running_attempts)
    @rule(which=one_of, checkpoint=st.booleans(), twice=twice)
    def report(self, which: int, checkpoint: bool, twice: bool) -> None:
        """And a second message of the attempt arrives meanwhile."""
        attempt = pick(self.running_attempts, which)
        second = operations.claim(attempt.execution_id, attempt.nonce, "other", attempt.agent_id)
        self.expect_no_effect(attempt, second, Taken())
        event = "execution.checkpoint" if checkpoint else "execution.progress"
        fields = {"checkpoint": "{}"} if checkpoint else {"progress_fraction": 0.5}
        operation = operations.report(attempt.held, new_nonce(), event, "{}", fields)
        record = self.world.snapshot().executions[attempt.execution_id]
        assert self.world.run(operation, twice) == Reported(record.get("intent_kind", ""))

    @precondition(lambda self: self.running_attempts)
    @rule(which=one_of, how=drawing.settlements, twice=twice)
    def settle(self, which: int, how: Any, twice: bool) -> None:
        attempt = pick(self.running_attempts, which)
        reply = self.world.settle(attempt, how, twice)
        assert isinstance(reply, Settled)
        if how.slot != "claim":
            assert reply.following is None

    @precondition(lambda self: self.workable_attempts)
    @rule(which=one_of, hows=st.lists(drawing.settlements, min_size=1, max_size=6), twice=twice)
    def work(self, which: int, hows: list[Any], twice: bool) -> None:
        """Agents work: claim if they must, settle, and go on with what they are handed, or with another."""
        attempt = None
        for how in hows:
            if attempt is None and self.workable_attempts:
                attempt = pick(self.workable_attempts, which)
            if attempt is None:
                break
            if attempt.token is None:
                self.world.claim(attempt, new_nonce())
            reply = self.world.settle(attempt, how, twice)
            assert isinstance(reply, Settled)
            fed = reply.following
            attempt = fed and self.model.attempts[fed.execution_id, fed.nonce]
            self.every_promise_holds()
