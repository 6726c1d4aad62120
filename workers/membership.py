"""An agent's standing in the ledger: registration, lease, the words that it obeys, and its leaving."""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from mindswarm_exec.agent import Agent
from mindswarm_exec.errors import LedgerUnavailable
from mindswarm_exec.identifiers import new_nonce
from mindswarm_exec.ledger import operations
from mindswarm_exec.ledger.faces import SyncLedger
from mindswarm_exec.ledger.operations import Operation, Settlement
from mindswarm_exec.ledger.replies import (
    Absent,
    Attempt,
    Done,
    Expired,
    Fenced,
    LostAttempt,
    Refused,
    Renewed,
    Settled,
    Wake,
)
from mindswarm_exec.lifecycle import RELEASE, STRAND, OutcomeKind
from mindswarm_exec.models.records import AgentProfile
from mindswarm_exec.service.sweeps import SILENT_PERIODS, settle_lost, sweep
from mindswarm_exec.settings import Settings
from workers.control_channel import ControlChannel
from workers.engine import UnifiedTaskEngine
from workers.reconciling import Reconciliation
from workers.rest import Rest
from workers.wake_message import WakeMessage
from workers.wishes import Wish

log = logging.getLogger(__name__)

WISHES = {"pause": Wish.PAUSE, "cancel": Wish.CANCEL, "kill": Wish.KILL, "lost": Wish.LOST}


class Membership:
    """Keeps one agent registered for the life of its process.

    Four threads at most: the lease (renews, reconciles, sweeps if nobody else does), the control listener, the rest
    (sleeps and wakes), and at the end the drain. `on_fenced` is called when another process has taken the name,
    `on_sleep` each time the agent goes to sleep, after its own hooks.
    """

    def __init__(
        self,
        agent: Agent,
        profile: AgentProfile,
        engine: UnifiedTaskEngine,
        ledger: SyncLedger,
        settings: Settings,
        wake: WakeMessage | None,
        on_fenced: Callable[[], None],
        publish: Callable[[Sequence[Wake]], None] = lambda wakes: None,
        on_sleep: Callable[[], None] = lambda: None,
    ) -> None:
        self._profile = profile
        self._engine = engine
        self._ledger = ledger
        self._settings = settings
        self._wake = wake
        self._on_fenced = on_fenced
        self._publish = publish
        self._standing = threading.Lock()
        self._is_registered = False
        self._incarnation = new_nonce()
        self._leaving = threading.Event()
        self._control = ControlChannel(ledger, profile.agent_id, self._obey, self._leaving)
        self._reconciliation = Reconciliation(profile.agent_id, engine, self._settle)
        after = agent.sleep_after_seconds or settings.sleep_after_seconds
        self._rest = Rest(agent, engine, self, after, on_sleep)

    # --- joining -----------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Run the agent's `on_start` hooks, before it joins. Raises StartFailed."""
        self._rest.prepare()

    def join(self) -> None:
        """Register, settle what an earlier process of this name lost, and open for work.

        Where the ledger is away this is done as soon as it answers.
        """
        self._stand()
        threading.Thread(target=self._keep_lease, name="lease", daemon=True).start()
        self._control.open()
        self._rest.start()

    def _register(self) -> None:
        profile = self._profile
        matched = {
            "task_types": sorted(profile.task_types),
            "capabilities": list(profile.capabilities),
            "labels": profile.labels,
        }
        handlers = {name: info.model_dump(mode="json") for name, info in profile.task_types.items()}
        fields: dict[str, str | int | float] = {
            "max_concurrent": profile.max_concurrent,
            "handlers": json.dumps(handlers),
            "wake_queue": self._wake.queue if self._wake else "",
            "wake_message": self._wake.template if self._wake else "",
        }
        registered = self._ledger.run(
            operations.register(profile.agent_id, self._incarnation, json.dumps(matched), fields)
        )
        why = "a newer process of its agent took over"
        self._publish(settle_lost(self._ledger, profile.agent_id, registered.lost, why))
        if self._rest.is_asleep:  # a process that was frozen in its sleep sleeps on, unless work waits for it
            state = self.sleep()
            self._rest.tell("waking" if state == "awake" else state)
        elif not self._engine.is_draining:
            self._rest.tell(self.open())
        self._is_registered = True
        log.info("the agent is registered", extra={"action": "register", "agent_id": profile.agent_id})

    # --- the states it takes -----------------------------------------------------------------------------

    def open(self) -> str:
        """Open for work, unless an operator or another process is against it; the state it is in then."""
        return self._set_state("awake", accepts_work=True, event="agent.woken")

    def sleep(self) -> str:
        """Go to sleep if nothing is held; the state it is in then."""
        return self._ask(operations.sleep_if_idle(self._profile.agent_id, self._incarnation))

    def state(self) -> str:
        """The state that the ledger has it in, "offline" if it is not its agent any more."""
        reply = self._ledger.run(operations.renew(self._profile.agent_id, self._incarnation))
        return reply.state if isinstance(reply, Renewed) else "offline"

    def sleep_on(self) -> str:
        """It was to wake and cannot: work is to wake another; the state it is in then."""
        return self._ask(operations.pass_over(self._profile.agent_id, self._incarnation))

    def _set_state(self, state: str, *, accepts_work: bool, event: str = "") -> str:
        agent_id = self._profile.agent_id
        return self._ask(
            operations.set_agent_state(agent_id, self._incarnation, state, accepts_work=accepts_work, event=event)
        )

    def _ask(self, operation: Operation[Done | Absent | Fenced | Refused]) -> str:
        reply = self._ledger.run(operation)
        if isinstance(reply, Done):
            self._publish(reply.wakes)
        return reply.status if isinstance(reply, Done | Refused) else "offline"

    # --- the lease ---------------------------------------------------------------------------------------

    def _keep_lease(self) -> None:
        """Renew three times a lease; between renewals sweep if nobody else does."""
        period = self._settings.lease_seconds / 3
        while not self._leaving.wait(period if self._is_registered else min(period, 1.0)):
            self._stand()

    def _stand(self) -> None:
        """Renew the lease, or register where that has not been brought to its end."""
        with self._standing:
            try:
                if self._is_registered:
                    self._renew()
                else:
                    self._register()
            except LedgerUnavailable as error:
                log.warning("the lease could not be renewed", extra={"action": "renew", "error": str(error)})
            except Exception:  # a script failed: the thread that keeps the lease must not end of it
                log.exception("the ledger failed to renew the lease", extra={"action": "renew"})

    def _renew(self) -> None:
        before = self._engine.running()
        paused = {name for name, running in before.items() if running.wish is Wish.PAUSE}
        asked_at = self._rest.times_told
        reply = self._ledger.run(operations.renew(self._profile.agent_id, self._incarnation))
        match reply:
            case Renewed(sweep_age_ms=age, state=state, held=held):
                self._rest.tell(state, asked_at)
                self._stay_closed(state)
                self._reconciliation.reconcile(before, paused, held)
                if state == "draining":
                    self._engine.hand_back_all()
                if age > SILENT_PERIODS * self._settings.sweep_seconds * 1000:
                    self._publish(sweep(self._ledger).wakes)
            case Expired():
                self._rejoin()
            case Fenced():
                log.error(
                    "another process has taken this agent's name; this one stops",
                    extra={"action": "fenced", "agent_id": self._profile.agent_id},
                )
                self._engine.wish_all(Wish.LOST)
                self._leaving.set()
                self._on_fenced()

    def _rejoin(self) -> None:
        """The lease ran out (a freeze, a long cut): what ran has moved on; start over as a new process would."""
        log.warning(
            "the lease ran out; what ran here has moved on; registering again",
            extra={"action": "expired", "agent_id": self._profile.agent_id},
        )
        self._engine.wish_all(Wish.LOST)
        self._incarnation = new_nonce()
        self._is_registered = False
        self._register()

    def _settle(self, held: Attempt | LostAttempt, how: Settlement) -> None:
        agent_id = self._profile.agent_id
        reply = self._ledger.run(operations.settle(held, agent_id, f"agent:{agent_id}", how, {}))
        if isinstance(reply, Settled):
            self._publish(reply.wakes)

    # --- control -----------------------------------------------------------------------------------------

    def _obey(self, message: str) -> None:
        verb, _, subject = message.partition(" ")
        if verb in WISHES:
            self._engine.wish(subject, WISHES[verb])
        elif verb == "withdraw":
            self._engine.withdraw_pause(subject)
        elif verb in ("sleeping", "waking", "awake"):
            self._rest.tell(verb)
            self._stay_closed(verb)
        elif verb == "draining":
            self._rest.tell(verb)
            self._engine.hand_back_all()
        elif verb == "fenced" and subject != self._incarnation:
            self._stand()

    # --- leaving -----------------------------------------------------------------------------------------

    def drain(self, grace_seconds: float) -> bool:
        """Take no new work, let what runs finish or reach a safe point within the grace, hand back the rest.

        Nothing that is handed back costs an attempt. Whether all of it ended in good order.
        """
        deadline = time.monotonic() + grace_seconds
        self._engine.is_draining = True
        self._rest.stop()
        self._close()
        self._engine.hand_back_all()
        in_order = self._engine.wait_idle(max(0.0, deadline - time.monotonic()))
        if not in_order:
            self._abandon()
        self._leaving.set()
        with _untold("offline"):
            self._set_state("offline", accepts_work=False, event="agent.offline")
        return in_order

    def _close(self) -> None:
        with _untold("draining"):
            self._set_state("draining", accepts_work=False, event="agent.draining")

    def _stay_closed(self, state: str) -> None:
        """Close again what an operator has woken while this process ends: work would wait here for nobody."""
        if self._engine.is_draining and state != "draining" and not self._leaving.is_set():
            self._close()

    def _abandon(self) -> None:
        """Hand back what did not end within the grace. Its code may go on until the process ends; it is fenced."""
        for running in self._engine.running().values():
            row = STRAND if running.is_frozen else RELEASE
            how = Settlement(row, json.dumps({"agent_id": self._profile.agent_id, "reason": "drained"}))
            with _untold("drained"):
                self._settle(running.held, how)
                running.end_span(OutcomeKind.HANDED_BACK)
            running.wish_for(Wish.LOST)
        self._engine.wait_idle(1.0)


@contextlib.contextmanager
def _untold(what: str) -> Iterator[None]:
    """Let nothing keep this process from leaving: what the ledger is not told, it finds when the lease ends."""
    try:
        yield
    except LedgerUnavailable as error:
        log.warning("the ledger was not told", extra={"action": "drain", "untold": what, "error": str(error)})
    except Exception:
        log.exception("the ledger failed to be told", extra={"action": "drain", "untold": what})
