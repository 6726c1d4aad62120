"""The ledger under test, driven by verbs that keep the model true. The clock moves when it is told to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from mindswarm_exec.identifiers import attempt_id, new_nonce
from mindswarm_exec.ledger import operations
from mindswarm_exec.ledger.faces import SyncLedger, connect_sync
from mindswarm_exec.ledger.operations import Fields, Operation, Settlement
from mindswarm_exec.ledger.replies import (
    Accepted,
    AgentUnknown,
    Claimed,
    Existing,
    LostAttempt,
    Offline,
    ParentOver,
    ParentUnknown,
    Settled,
    Wake,
)
from mindswarm_exec.lifecycle import Status
from mindswarm_exec.models.options import DemandClass, ExecutionOptions
from mindswarm_exec.models.params import RetryFrom
from mindswarm_exec.service import sweeps
from mindswarm_exec.service.control import retrial
from mindswarm_exec.service.submission import start_operation
from mindswarm_exec.settings import Settings
from tests.ledger.model import Model, ModelAgent, ModelAttempt, ModelExecution, Seen
from tests.ledger.snapshot import Record, Snapshot

RETENTION_MS = 600_000


class World:
    """One namespace, empty at first and again after `close`."""

    def __init__(self, url: str, settings: Settings) -> None:
        self.settings = settings
        self.ledger = SyncLedger(connect_sync(url, settings), settings, test_clock=True)
        self.model = Model()
        self._cursor = "-"
        self._ids = 0
        self._clear()

    def close(self) -> None:
        self._clear()
        self.ledger.close()

    def _clear(self) -> None:
        if names := self.ledger.client.keys(self.ledger.keys.prefix + "*"):
            self.ledger.client.unlink(*names)

    # --- running -----------------------------------------------------------------------------------------

    def run(self, operation: Operation[Any], twice: bool = False) -> Any:
        """Carry out an operation; `twice` as a client does whose first answer was lost: the same again."""
        reply = self.ledger.run(operation)
        self._learn(reply)
        if twice:
            events = self.ledger.client.xlen(self.ledger.keys.of("events"))
            again = self.ledger.run(operation)
            self._learn(again)
            assert without_messages(again) == without_messages(reply), (reply, again)
            assert self.ledger.client.xlen(self.ledger.keys.of("events")) == events
        return reply

    def _learn(self, reply: Any) -> None:
        """Note every attempt that an answer names."""
        self._note_messages(reply[1] if isinstance(reply, tuple) else getattr(reply, "wakes", ()))
        fed = getattr(reply, "following", None)
        if fed is not None:
            self._note(ModelAttempt(fed.execution_id, fed.number, fed.nonce, fed.agent_id, token="fed"))

    def _note_messages(self, wakes: Sequence[Wake]) -> None:
        for wake in wakes:
            number = int(wake.attempt_id.partition(".")[2])
            self._note(ModelAttempt(wake.execution_id, number, wake.nonce, wake.agent_id))

    def _note(self, attempt: ModelAttempt) -> None:
        self.model.attempts.setdefault((attempt.execution_id, attempt.nonce), attempt)

    def snapshot(self) -> Snapshot:
        return Snapshot.of(self.ledger)

    def read_events(self) -> None:
        """Note the events that were appended since the last call."""
        for event_id, fields in self.ledger.client.xrange(self.ledger.keys.of("events"), self._cursor):
            self._cursor = f"({event_id}"
            self.model.event_ids.append(tuple(map(int, event_id.split("-"))))
            if fields["type"].startswith("agent."):
                self.model.agent_events.setdefault(fields["agent_id"], []).append(fields["type"])
            if fields["seq"] != "0":
                seen = Seen(event_id, int(fields["seq"]), fields["type"], fields["data"])
                self.model.executions[fields["execution_id"]].events.append(seen)

    # --- time --------------------------------------------------------------------------------------------

    def advance(self, seconds: float) -> None:
        self.ledger.client.incrby(self.ledger.keys.of("clock_offset"), round(seconds * 1000))

    def now(self) -> datetime:
        """The scripts' clock."""
        seconds, microseconds = self.ledger.client.time()
        offset = int(self.ledger.client.get(self.ledger.keys.of("clock_offset")) or 0)
        return datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=microseconds, milliseconds=offset)

    # --- executions --------------------------------------------------------------------------------------

    def submit(
        self,
        task_type: str,
        options: ExecutionOptions,
        idempotency_key: str | None = None,
        task_id: str | None = None,
        twice: bool = False,
        parent_id: str | None = None,
    ) -> str | None:
        """Submit; the id that the answer names, or None if an agent or the parent forbids it."""
        self._ids += 1
        execution_id = f"00000000-0000-7000-8000-{self._ids:012x}"
        operation = start_operation(
            execution_id,
            task_type,
            "{}",
            options,
            project_id="default",
            task_id=task_id,
            parent_id=parent_id,
            idempotency_key=idempotency_key,
        )
        self._note_demands(task_type, options)
        known = self.model.idempotency.get(idempotency_key or "")
        reply = self.run(operation)
        if twice:
            is_there = isinstance(reply, Accepted | Existing)
            assert self.run(operation) == (Existing(known or execution_id) if is_there else reply)
        match reply:
            case Accepted():
                assert known is None
                known_as = ModelExecution(options, was_forced=options.force_start, parent_id=parent_id)
                self.model.executions[execution_id] = known_as
                assert parent_id is None or may_have_children(self.snapshot().executions.get(parent_id))
                if idempotency_key:
                    self.model.idempotency[idempotency_key] = execution_id
                return execution_id
            case Existing(earlier):
                assert earlier == known
                return earlier
            case AgentUnknown():
                assert options.agent.agent_id not in self.snapshot().agents
            case ParentUnknown():
                assert parent_id not in self.snapshot().executions
            case ParentOver(status):
                parent = self.snapshot().executions[str(parent_id)]
                assert not may_have_children(parent)
                assert status == parent["status"]
        return None

    def _note_demands(self, task_type: str, options: ExecutionOptions) -> None:
        for pinned in (True, False):
            demand = DemandClass.of(task_type, options.agent, pinned=pinned)
            self.model.demands[demand.class_id] = demand

    def retry_operation(
        self, execution_id: str, options: ExecutionOptions | None, start_from: RetryFrom = "checkpoint"
    ) -> Operation[Any]:
        """The retry of an execution, with other options or those it had."""
        record = self.snapshot().executions[execution_id]
        if options is not None:
            self._note_demands(record["task_type"], options)
        return retrial(execution_id, record, options, start_from)

    # --- attempts ----------------------------------------------------------------------------------------

    def claim(self, attempt: ModelAttempt, token: str, twice: bool = False) -> Any:
        operation = operations.claim(attempt.execution_id, attempt.nonce, token, attempt.agent_id)
        reply = self.run(operation, twice)
        if isinstance(reply, Claimed):
            attempt.token = token
        return reply

    def settle(
        self, attempt: ModelAttempt, how: Settlement, twice: bool = False, fields: Fields | None = None
    ) -> Any:
        """Settle as the agent that holds the attempt."""
        live = self.snapshot().is_live(attempt.execution_id, attempt.nonce)
        source = f"agent:{attempt.agent_id}"
        reply = self.run(
            operations.settle(attempt.held, attempt.agent_id, source, how, fields or {"result": "1"}), twice
        )
        zombie = (attempt.agent_id, attempt.id, attempt.nonce)
        if how.slot != "keep":
            self.model.zombies.discard(zombie)
        elif live and isinstance(reply, Settled):
            self.model.zombies.add(zombie)
        return reply

    def settle_lost(self, agent_id: str, lost: LostAttempt) -> None:
        """Settle an attempt whose agent process is gone, as whoever learns of it does."""
        self._note_messages(sweeps.settle_lost(self.ledger, agent_id, [lost], "its process is gone"))
        self.model.zombies.discard((agent_id, attempt_id(lost.execution_id, lost.number), lost.nonce))

    def running(self, execution_id: str) -> ModelAttempt:
        """The attempt of a queued execution, claimed."""
        record = self.snapshot().executions[execution_id]
        attempt = self.model.attempts[execution_id, record["nonce"]]
        assert isinstance(self.claim(attempt, new_nonce()), Claimed)
        return attempt

    # --- agents ------------------------------------------------------------------------------------------

    def open_agent(self, agent_id: str = "ant", max_concurrent: int = 1, **profile: Any) -> ModelAgent:
        """An agent for `t` that is awake, with nothing behind it."""
        profile = {"task_types": ["t"], "capabilities": [], "labels": {}} | profile
        for lost in self.register(agent_id, profile, max_concurrent):
            self.settle_lost(agent_id, lost)
        agent = self.model.agents[agent_id]
        self.run(operations.set_agent_state(agent_id, agent.incarnation, "awake", accepts_work=True))
        return agent

    def state(self, agent_id: str) -> str:
        return self.snapshot().agents[agent_id]["state"]

    def sleep(self, agent_id: str) -> Any:
        """The agent goes to sleep by its own wish, if the ledger lets it."""
        return self.run(operations.sleep_if_idle(agent_id, self.model.agents[agent_id].incarnation))

    def open_again(self, agent_id: str) -> Any:
        """The agent's process opens it, as it does when its hooks have run."""
        incarnation = self.model.agents[agent_id].incarnation
        operation = operations.set_agent_state(agent_id, incarnation, "awake", accepts_work=True, event="agent.woken")
        return self.run(operation)

    def sleep_by_hand(self, agent_id: str) -> Any:
        return self.run(
            operations.set_agent_state(agent_id, "", "sleeping", accepts_work=False, event="agent.sleeping")
        )

    def wake_by_hand(self, agent_id: str) -> Any:
        return self.run(operations.set_agent_state(agent_id, "", "awake", accepts_work=True, event="agent.woken"))

    def register(self, agent_id: str, profile: dict[str, Any], max_concurrent: int) -> Sequence[LostAttempt]:
        """Start a new process of the agent. What an earlier one held is returned, still to be settled."""
        incarnation = new_nonce()
        fields = {"max_concurrent": max_concurrent}
        reply = self.run(operations.register(agent_id, incarnation, json.dumps(profile), fields), twice=True)
        earlier = self.model.agents.get(agent_id)
        old = [*earlier.old_incarnations, earlier.incarnation] if earlier else []
        most = max(max_concurrent, earlier.highest_max_concurrent if earlier else 0)
        self.model.agents[agent_id] = ModelAgent(profile, incarnation, most, old)
        self._bury_zombies(agent_id, reply.lost)
        return reply.lost

    def expire_lease(self, agent_id: str) -> Any:
        reply = self.run(operations.expire_lease(agent_id, RETENTION_MS))
        if isinstance(reply, Offline):
            self._bury_zombies(agent_id, reply.lost)
        return reply

    def _bury_zombies(self, agent_id: str, lost: Sequence[LostAttempt]) -> None:
        """The process is gone: what it ran runs no more, except what is still to be settled."""
        waiting = {f"{one.execution_id}.{one.number}" for one in lost}
        self.model.zombies = {z for z in self.model.zombies if z[0] != agent_id or z[1] in waiting}


def may_have_children(parent: Record | None) -> bool:
    """Whether the parent lives, and is not to be cancelled."""
    return parent is not None and not Status(parent["status"]).is_terminal and parent.get("intent_kind") != "cancel"


def without_messages(reply: Any) -> Any:
    """An answer without what a repeated call may answer anew: the messages it asks for, the reading of a clock."""
    for name, nothing in (("wakes", ()), ("now_ms", 0), ("sweep_age_ms", 0)):
        if hasattr(reply, name):
            reply = replace(reply, **{name: nothing})
    return reply
