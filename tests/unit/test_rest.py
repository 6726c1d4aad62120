"""How an agent's process goes to sleep: in which order, and what a failure on the way changes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mindswarm_exec import Agent, SyncExecutionContext
from mindswarm_exec.ledger import operations
from mindswarm_exec.ledger.faces import SyncLedger, connect_sync
from mindswarm_exec.settings import Settings
from tests.eventually import eventually, must_be
from workers.engine import UnifiedTaskEngine
from workers.membership import Membership
from workers.rest import Rest, StartFailed


@contextmanager
def joined(agent: Agent, settings: Settings, url: str, ended: list[str]) -> Iterator[SyncLedger]:
    """The agent, registered and open in this process; what ends at its sleep writes itself into `ended`."""
    ledger = SyncLedger(connect_sync(url, settings), settings)
    engine = UnifiedTaskEngine(agent, agent.name, ledger, settings)
    engine.start()
    membership = Membership(
        agent, agent.profile(), engine, ledger, settings, None, lambda: None, on_sleep=lambda: ended.append("helpers")
    )
    try:
        membership.prepare()
        membership.join()
        yield ledger
    finally:
        membership.drain(1.0)
        engine.stop()
        eventually(_no_listener)
        ledger.close()


def _no_listener() -> None:
    """Who still listens to the control channel needs its connection."""
    assert not [thread for thread in threading.enumerate() if thread.name == "control"]


def an_agent(done: list[str], *, sleep_after_seconds: float | None = None) -> Agent:
    agent = Agent("ant", sleep_after_seconds=sleep_after_seconds)

    @agent.task("t")
    def nothing(ctx: SyncExecutionContext) -> None: ...

    @agent.on_sleep
    def fails() -> None:
        done.append("fails")
        raise SystemExit(3)

    @agent.on_sleep
    async def unload() -> None:
        done.append(f"unload on {threading.current_thread().name}")

    return agent


def state(ledger: SyncLedger) -> str:
    return str(ledger.client.hget(ledger.keys.of("agent", "ant"), "state"))


def test_hooks_run_in_their_order_then_helpers_end_and_a_failing_hook_keeps_neither_from_it(
    valkey_url: str, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    done: list[str] = []
    agent = an_agent(done, sleep_after_seconds=0.2)
    with joined(agent, Settings(namespace=namespace), valkey_url, done) as ledger:
        eventually(lambda: must_be(done, ["fails", "unload on handlers", "helpers"]))
        assert state(ledger) == "sleeping"
        assert "a hook failed: on_sleep 'fails'" in caplog.text


def test_the_setting_is_the_idle_time_of_an_agent_that_names_none(valkey_url: str, namespace: str) -> None:
    done: list[str] = []
    settings = Settings(namespace=namespace, sleep_after_seconds=0.2)
    with joined(an_agent(done), settings, valkey_url, done) as ledger:
        eventually(lambda: must_be(state(ledger), "sleeping"))


def test_a_message_that_was_lost_is_made_good_by_the_next_renewal(valkey_url: str, namespace: str) -> None:
    done: list[str] = []
    settings = Settings(namespace=namespace, lease_seconds=1)
    with joined(an_agent(done), settings, valkey_url, done) as ledger:
        incarnation = ledger.client.hget(ledger.keys.of("agent", "ant"), "incarnation")
        # by the agent's own operation, of which the control channel says nothing
        ledger.run(operations.sleep_if_idle("ant", str(incarnation)))
        eventually(lambda: must_be(done[-1:], ["helpers"]))


class Standing:
    """An agent's standing in a ledger that lets it open."""

    def __init__(self) -> None:
        self.is_open = threading.Event()

    def open(self) -> str:
        self.is_open.set()
        return "awake"

    def state(self) -> str:
        return "awake"

    def sleep(self) -> str:
        return "awake"

    def sleep_on(self) -> str:
        return "sleeping"


def test_an_older_answer_does_not_undo_what_was_told_meanwhile(valkey_url: str, namespace: str) -> None:
    """A renewal found it asleep; that it is to wake was told before the answer of the renewal came."""
    settings, agent, standing = Settings(namespace=namespace), an_agent([]), Standing()
    ledger = SyncLedger(connect_sync(valkey_url, settings), settings)
    engine = UnifiedTaskEngine(agent, agent.name, ledger, settings)
    engine.start()
    rest = Rest(agent, engine, standing, None, lambda: None)
    rest.is_asleep = True
    asked_at = rest.times_told
    rest.tell("waking")
    rest.tell("sleeping", asked_at)
    rest.start()
    assert standing.is_open.wait(20)
    rest.stop()
    engine.stop()
    ledger.close()


def test_a_failing_on_start_hook_is_named_and_nothing_is_registered(valkey_url: str, namespace: str) -> None:
    agent = an_agent([])

    @agent.on_start
    def load() -> None:
        raise FileNotFoundError("model.bin")

    settings = Settings(namespace=namespace)
    named = "agent 'ant' does not open for work: its on_start hook 'load' failed: FileNotFoundError: model.bin"
    with pytest.raises(StartFailed, match=named), joined(agent, settings, valkey_url, []):
        pass
    with connect_sync(valkey_url, settings) as client:
        assert not client.keys(f"{{{namespace}}}:*")
