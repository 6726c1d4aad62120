"""An agent's membership where the ledger fails it: the control channel is closed to it, or a script breaks."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import pytest
import redis

from mindswarm_exec import Agent, SyncExecutionContext
from mindswarm_exec.ledger.faces import SyncLedger, connect_sync
from mindswarm_exec.settings import Settings
from tests.eventually import eventually
from workers.engine import UnifiedTaskEngine
from workers.membership import Membership

ant = Agent("ant")


@ant.task("t")
def nothing(ctx: SyncExecutionContext) -> None: ...


class Member:
    """The agent `ant` in this process, as a user of the server whose rights the test can change."""

    def __init__(self, url: str, namespace: str) -> None:
        self.admin = redis.Redis.from_url(url, decode_responses=True)
        self.user = namespace
        self.allow("on", "nopass", "~*", "&*", "+@all")
        settings = Settings(namespace=namespace)
        self.ledger = SyncLedger(
            connect_sync(url.replace("redis://", f"redis://{self.user}:any@"), settings), settings
        )
        self.engine = UnifiedTaskEngine(ant, ant.name, self.ledger, settings)
        self.engine.start()
        self.membership = Membership(ant, ant.profile(), self.engine, self.ledger, settings, None, lambda: None)

    def allow(self, *rules: str) -> None:
        self.admin.execute_command("ACL", "SETUSER", self.user, *rules)

    @property
    def channel(self) -> str:
        return self.ledger.keys.of("control", ant.name)

    def close(self) -> None:
        self.engine.stop()
        eventually(_no_listener)
        self.ledger.close()
        self.admin.execute_command("ACL", "DELUSER", self.user)
        self.admin.close()


def _no_listener() -> None:
    """Who still listens to the control channel needs its connection."""
    assert not [thread for thread in threading.enumerate() if thread.name == "control"]


@pytest.fixture
def member(valkey_url: str, namespace: str) -> Iterator[Member]:
    member = Member(valkey_url, namespace)
    yield member
    member.close()


def test_a_control_channel_that_is_lost_is_told_once_and_taken_up_again(
    member: Member, caplog: pytest.LogCaptureFixture
) -> None:
    def told() -> list[str]:
        return [record.message for record in caplog.records if "control channel" in record.message]

    def is_told() -> None:
        assert told()

    def is_heard() -> None:
        assert member.admin.publish(member.channel, "sleeping") == 1

    member.allow("resetchannels")
    member.membership.join()
    try:
        eventually(is_told)
        member.allow("&*")
        eventually(is_heard)
        assert len(told()) == 1
    finally:
        member.membership.drain(1.0)


def test_it_leaves_though_the_ledger_breaks(member: Member, caplog: pytest.LogCaptureFixture) -> None:
    member.membership.join()
    member.admin.set(member.ledger.keys.of("agent", ant.name), "no hash")
    with caplog.at_level(logging.ERROR):
        assert member.membership.drain(1.0)
    assert [record for record in caplog.records if record.exc_info and "told" in record.message]
