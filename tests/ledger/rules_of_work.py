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
        verb=st.sampled_from(["pause", "resume", "resume", "cancel", "force", "retry", "retry"]),
        which=one_of,
        options=drawing.rarely(drawing.options),
        twice=twice,
    )
    def control(self, verb: str, which: int, options: Any, twice: bool) -> None:
        id = pick(self.executions, which)
        match verb:
            case "pause":
                self.send_control(PAUSE, id, operations.pause(id, new_nonce(), "", "{}"), twice)
            case "resume":
                self.resume(id, twice)
            case "retry":
                self.retry(id, options, twice)
            case _:
                self.cancel(id, verb == "force", twice)

    def resume(self, id: str, twice: bool) -> None:
        before = self.world.snapshot().executions[id]
        withdraws = before["status"] == RUNNING and before.get("intent_kind") == "pause"
        self.send_control(PAUSE if withdraws else RESUME, id, operations.resume(id, new_nonce(), "{}", {}), twice)

    def cancel(self, id: str, force: bool, twice: bool) -> None:
        record = self.world.snapshot().executions[id]
        operation = operations.cancel(id, new_nonce(), "", force=force, error="{}", data="{}")
        self.send_control(CANCEL, id, operation, twice)
        if force and record["status"] == RUNNING:
            attempt = attempt_id(id, int(record["attempt"]))
            self.model.zombies.add((record["agent_id"], attempt, record["nonce"]))

    def retry(self, id: str, options: Any, twice: bool) -> None:
        if options is not None and options.agent.agent_id not in (None, *self.world.snapshot().agents):
            options = None  # an agent that is unknown is refused
        if self.send_control(RETRY, id, self.world.retry_operation(id, options), twice):
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
    @rule(which=one_of, hows=st.lists(drawing.settlements, min_size=1, max_size=6), twice=twice)
    def work(self, which: int, hows: list[Any], twice: bool) -> None:
        """Agents work: claim if they must, settle, and go on with what they are handed, or with another."""
        attempt = None
        for how in hows:
            if attempt is None and self.live_attempts:
                attempt = pick(self.live_attempts, which)
            if attempt is None:
                break
            if attempt.token is None:
                self.world.claim(attempt, new_nonce())
            reply = self.world.settle(attempt, how, twice)
            assert isinstance(reply, Settled)
            fed = reply.following
            attempt = fed and self.model.attempts[fed.execution_id, fed.nonce]
            self.every_promise_holds()
