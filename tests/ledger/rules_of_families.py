"""Children of executions: started, cancelled with their parents; and what they spend of their ancestors' budgets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from mindswarm_exec.identifiers import new_nonce
from mindswarm_exec.ledger import operations
from mindswarm_exec.ledger.replies import Exhausted, Metered
from mindswarm_exec.lifecycle import RUNNING, Status
from tests.ledger import drawing
from tests.ledger.invariants_of_control import METER
from tests.ledger.machine import Machine, is_spent, one_of, pick, twice
from tests.ledger.snapshot import Record, Snapshot

NOBODY = "00000000-0000-7000-8000-00000000dead"


class Families(Machine):
    """Parents start children, and spend with them; whoever cancels a parent, or a sweep, cancels them."""

    @precondition(lambda self: self.takes_more)
    @rule(of_a_live_one=st.sampled_from([True, True, False]), which=one_of, options=drawing.options, twice=twice)
    def start_children(self, of_a_live_one: bool, which: int, options: Any, twice: bool) -> None:
        """Of what has an attempt; or of what waits, is over or never was. The world checks which may have some."""
        parents = [attempt.execution_id for attempt in self.live_attempts] if of_a_live_one else []
        parent_id = pick(parents or [*self.executions, NOBODY], which)
        for _ in range(2):
            self.world.submit("t", options, twice=twice, parent_id=parent_id)

    @precondition(lambda self: self.parents)
    @rule(which=one_of, force=st.booleans(), most=st.integers(0, 3))
    def cancel_a_parent(self, which: int, force: bool, most: int) -> None:
        """Whoever asked may end before all of its children are cancelled."""
        id = pick(self.parents, which)
        self.cancel(id, force)
        if most:
            self.world.run(operations.cancel_children(id, "{}", "{}", most))

    @precondition(lambda self: self.latest.families["cascade"])
    @rule(which=one_of, most=st.integers(1, 3))
    def cancel_some_children(self, which: int, most: int) -> None:
        waiting = self.latest.families["cascade"]
        id = pick(sorted(waiting), which)
        left, _ = self.world.run(operations.cancel_children(id, "{}", "{}", most))
        assert left == max(len(waiting[id]) - most, 0)

    @property
    def parents(self) -> list[str]:
        named = {known.parent_id for known in self.model.executions.values() if known.parent_id}
        return sorted(named & {*self.executions})

    # --- budgets -----------------------------------------------------------------------------------------

    @precondition(lambda self: self.live_attempts)
    @rule(which=one_of, amounts=st.lists(drawing.amounts, min_size=1, max_size=3), twice=twice)
    def meter(self, which: int, amounts: list[float], twice: bool) -> None:
        """What is spent counts for all ancestors; whose budget it exhausts is to pause, and whoever spent it."""
        attempt = self.taken_up(pick(self.live_attempts, which))
        for amount in amounts:
            before = self.world.snapshot()
            reply = self.world.run(operations.meter(attempt.held, new_nonce(), METER, amount), twice)
            after = self.world.snapshot()
            exhausted = self.spend(before, after, attempt.execution_id, amount)
            record = after.executions[attempt.execution_id]
            if exhausted is None:
                exhausted = Metered(record.get("intent_kind", ""), float(record[f"meter:{METER}"]))
            assert reply == exhausted

    def spend(self, before: Snapshot, after: Snapshot, id: str, amount: float) -> Exhausted | None:
        """Note in the model what was spent, and check who was asked to pause; what the answer has to be."""
        exhausted, owners = None, []
        for owner_id in lineage(before, id):
            known, limit = self.model.executions[owner_id], budget(before.executions[owner_id])
            earlier, known.spent = known.spent, known.spent + amount
            if limit is None:
                continue
            known.crossings += earlier < 0.8 * limit <= known.spent
            if known.spent >= limit:
                owners.append(owner_id)
                check_asked_to_pause(before, after, owner_id, owner_id)
                exhausted = Exhausted(known.spent, limit) if earlier >= limit else exhausted
        if owners:
            check_asked_to_pause(before, after, id, owners[0])
        return exhausted

    @precondition(lambda self: self.stopped_by_budgets)
    @rule(which=one_of, limit=drawing.raised_limits | st.none(), twice=twice)
    def resume_after_a_spent_budget(self, which: int, limit: float | None, twice: bool) -> None:
        """With larger limits, or with none that help; those of an ancestor are raised with the ancestor."""
        self.resume(pick(self.stopped_by_budgets, which), twice, limit)

    @precondition(lambda self: self.latest.families["starved"])
    @rule(which=one_of, most=st.integers(1, 3))
    def resume_some_starved(self, which: int, most: int) -> None:
        """Whoever raised a budget, or a sweep; nobody goes on while it is spent."""
        owner_id = pick(sorted(self.latest.families["starved"]), which)
        before = self.world.snapshot()
        left, _ = self.world.run(operations.resume_starved(owner_id, "{}", most))
        after = self.world.snapshot()
        if is_spent(before, owner_id):
            assert (left, after.executions) == (0, before.executions)
            return
        waiting = before.families["starved"][owner_id]
        assert left == max(len(waiting) - most, 0)
        for id in sorted(waiting, key=lambda id: (waiting[id], id))[:most]:
            record = after.executions.get(id)
            assert record is None or record.get("budget_owner") != owner_id or Status(record["status"]).is_terminal

    @property
    def stopped_by_budgets(self) -> list[str]:
        records = self.latest.executions
        return sorted(id for id in records if records[id].get("pause_reason") == "budget")


def lineage(snapshot: Snapshot, id: str | None) -> Iterator[str]:
    """The execution and its ancestors, up to the first that was forgotten."""
    while id in snapshot.executions:
        yield id
        id = snapshot.executions[id].get("parent_id")


def budget(record: Record) -> float | None:
    """The limit that binds: that of an ended execution does not."""
    limit = record.get(f"budget:{METER}")
    return None if limit is None or Status(record["status"]).is_terminal else float(limit)


def check_asked_to_pause(before: Snapshot, after: Snapshot, id: str, owner_id: str) -> None:
    """A running execution has a wish now; one that had a wish has the same, word for word."""
    earlier, now = before.executions[id], after.executions[id]
    if earlier["status"] != RUNNING:
        assert now.get("intent_kind") == earlier.get("intent_kind")
    elif "intent_kind" in earlier:
        assert wishes(now) == wishes(earlier)
    else:
        assert (now["intent_kind"], now["pause_reason"], now["budget_owner"]) == ("pause", "budget", owner_id)


def wishes(record: Record) -> Record:
    return {
        name: value
        for name, value in record.items()
        if name.startswith("intent_") or name in ("pause_reason", "budget_owner", "pause_ack_at_ms")
    }
