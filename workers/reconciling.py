"""Reconciling: what runs in this process, and what the ledger counts against its agent, are brought together."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping

from mindswarm_exec.identifiers import attempt_id
from mindswarm_exec.ledger.operations import Settlement
from mindswarm_exec.ledger.replies import HeldAttempt, LostAttempt
from mindswarm_exec.lifecycle import PAUSED, RELEASE, RUNNING, STRAND
from workers.attempt import RunningAttempt
from workers.engine import UnifiedTaskEngine
from workers.wishes import Wish

#: Settles an attempt of this agent that does not run here.
Settle = Callable[[LostAttempt, Settlement], None]


class Reconciliation:
    """Done with each renewal, with what it answers. For one thread at a time."""

    def __init__(self, agent_id: str, engine: UnifiedTaskEngine, settle: Settle) -> None:
        self._agent_id = agent_id
        self._engine = engine
        self._settle = settle
        self._unknown: set[str] = set()

    def reconcile(self, before: Mapping[str, RunningAttempt], paused: set[str], held: Iterable[HeldAttempt]) -> None:
        """Bring both in line with `held`, what the ledger counts against the agent.

        `before` is what ran here when the ledger was asked, and `paused` what of it was to pause or was frozen: its
        answer knows nothing of what began since. An attempt that the ledger holds as running and that has
        not run here for two renewals lost its way between the ledger's reply and this process: it is handed back.
        """
        in_ledger = {attempt_id(one.execution_id, one.number): one for one in held}
        for name, running in before.items():
            _bring_in_line(running, in_ledger.get(name), was_paused=name in paused)
        here = before.keys() | self._engine.running().keys()
        strays = {name for name, one in in_ledger.items() if name not in here and one.status in (RUNNING, PAUSED)}
        for name in strays & self._unknown:
            self._hand_back(in_ledger[name])
        self._unknown = strays

    def _hand_back(self, one: HeldAttempt) -> None:
        assert one.status is not None
        lost = LostAttempt(one.execution_id, one.number, one.nonce, one.status, 0, None)
        row = STRAND if one.status is PAUSED else RELEASE
        self._settle(lost, Settlement(row, json.dumps({"agent_id": self._agent_id, "reason": "handed_back"})))


def _bring_in_line(running: RunningAttempt, one: HeldAttempt | None, *, was_paused: bool) -> None:
    """Held and paused means frozen: any other pause holds no slot."""
    if one is None or one.status not in (RUNNING, PAUSED) or one.nonce != running.held.nonce:
        running.wish_for(Wish.LOST)
    elif one.intent == "cancel":
        running.wish_for(Wish.CANCEL)
    elif one.status is PAUSED or one.intent == "pause":
        running.wish_for(Wish.PAUSE)
    elif was_paused:
        running.withdraw_pause()
