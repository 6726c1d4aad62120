"""Those who submit and control executions, and the agents that run their attempts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from mindswarm_exec.identifiers import attempt_id, new_nonce
from mindswarm_exec.ledger import operations
from mindswarm_exec.ledger.replies import Claimed, Reported, Settled, Taken
from mindswarm_exec.lifecycle import CANCEL, PAUSE, RESUME, RETRY, RUNNING
from tests.ledger import drawing
from tests.ledger.machine import Machine, one_of, pick, twice


class Submitters(Machine):
    """Submit, and control what was submitted."""

    @rule(task_type=drawing.task_types, options=drawing.options, count=st.integers(1, 3), twice=twice)
    def submit(self, task_type: str, options: Any, count: int, twice: bool) -> None:
        for _ in range(count):
            self.world.submit(task_type, options, twice=twice)

    @rule(options=drawing.options, key=st.sampled_from(["once", "only"]), twice=twice)
    def submit_with_an_idempotency_key(self, options: Any, key: str, twice: bool) -> None:
        self.world.submit("t", options, key, twice=twice)

    @rule(options=drawing.options, twice=twice)
    def submit_for_a_task(self, options: Any, twice: bool) -> None:
        create = operations.put_task("work", "create", "task.created", "{}", "default", {"status": "open"})
        self.world.run(create)
        self.world.submit("t", options, task_id="work", twice=twice)

    @rule(options=drawing.options, seconds=st.sampled_from(drawing.SECONDS))
    def submit_for_later(self, options: Any, seconds: int) -> None:
        start_at = self.world.now() + timedelta(seconds=seconds)
        self.world.submit("t", options.model_copy(update={"start_at": start_at}))

    @precondition(lambda self: self.executions)
    @rule(which=one_of, twice=twice)
    def pause(self, which: int, twice: bool) -> None:
        id = pick(self.executions, which)
        self.control(PAUSE, id, operations.pause(id, new_nonce(), "", "{}"), twice)

    @precondition(lambda self: self.executions)
    @rule(which=one_of, twice=twice)
    def resume(self, which: int, twice: bool) -> None:
        id = pick(self.executions, which)
        before = self.world.snapshot().executions[id]
        withdraws = before["status"] == RUNNING and before.get("intent_kind") == "pause"
        operation = operations.resume(id, new_nonce(), "{}", {})
        self.control(PAUSE if withdraws else RESUME, id, operation, twice)

    @precondition(lambda self: self.executions)
    @rule(which=one_of, force=st.booleans(), twice=twice)
    def cancel(self, which: int, force: bool, twice: bool) -> None:
        id = pick(self.executions, which)
        record = self.world.snapshot().executions[id]
        operation = operations.cancel(id, new_nonce(), "", force=force, error="{}", data="{}")
        self.control(CANCEL, id, operation, twice)
        if force and record["status"] == RUNNING:
            self.model.zombies.add((record["agent_id"], attempt_id(id, int(record["attempt"])), record["nonce"]))

    @precondition(lambda self: self.executions)
    @rule(which=one_of, options=drawing.rarely(drawing.options), twice=twice)
    def retry(self, which: int, options: Any, twice: bool) -> None:
        id = pick(self.executions, which)
        if options is not None and options.agent.agent_id not in (None, *self.world.snapshot().agents):
            options = None  # an agent that is unknown is refused
        if self.control(RETRY, id, self.world.retry_operation(id, options), twice):
            self.model.executions[id].was_retried(options)


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
        operation = operations.report(attempt.held, new_nonce(), event, "{}", {"progress_fraction": 0.5})
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

    @precondition(lambda self: self.live_attempts)
    @rule(which=one_of, hows=st.lists(drawing.settlements, min_size=1, max_size=4), twice=twice)
    def work(self, which: int, hows: list[Any], twice: bool) -> None:
        """An agent works: it claims if it must, settles, and goes on with what it was handed."""
        attempt = pick(self.live_attempts, which)
        if attempt.token is None:
            self.world.claim(attempt, new_nonce())
        for how in hows:
            reply = self.world.settle(attempt, how, twice)
            assert isinstance(reply, Settled)
            if reply.following is None:
                break
            attempt = self.model.attempts[reply.following.execution_id, reply.following.nonce]
            self.every_promise_holds()
