"""SIGTERM: an agent takes no new work, lets what runs finish within the grace, and hands back the rest unharmed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mindswarm_exec.lifecycle import COMPLETED, RUNNING
from tests.e2e.swarm import Swarm
from tests.eventually import eventually, must_be


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swarm]:
    with Swarm(tmp_path_factory.mktemp("drain")) as swarm:
        swarm.beat()
        swarm.dispatcher()
        swarm.agent("stays")
        swarm.await_agents("stays")
        yield swarm


def test_what_ends_within_the_grace_ends_here_and_what_checkpoints_is_handed_on(swarm: Swarm) -> None:
    leaves = swarm.agent("leaves", MINDSWARM_DRAIN_GRACE_SECONDS="20")
    swarm.await_agents("leaves")
    finishes = swarm.start("wait.async", {"file": "finish"}, on="leaves")
    hands_on = swarm.start("steps", {"steps": 6, "hold": 4, "file": "finish"}, on="leaves")
    for execution_id in (finishes, hands_on):
        assert swarm.await_status(execution_id, RUNNING).agent_id == "leaves"
    eventually(lambda: must_be(swarm.get(hands_on).checkpoint, {"next": 4}))
    leaves.terminate()
    swarm.await_agents("leaves", state="draining")
    eventually(lambda: _runs_on(swarm, hands_on, "stays"))
    later = swarm.start("echo", 1, on="leaves")
    assert swarm.await_end(later).agent_id == "stays"
    swarm.touch("finish")
    assert leaves.exit_code() == 0
    ended = swarm.await_end(finishes)
    assert (ended.status, ended.agent_id, ended.attempt) == (COMPLETED, "leaves", 1)
    moved = swarm.await_end(hands_on)
    assert moved.result == {"agent": "stays", "from": 4}
    assert (moved.failed_attempts, moved.lost_attempts) == (0, 0)
    swarm.await_agents("leaves", state="offline")


def test_what_hangs_is_handed_back_at_the_end_of_the_grace_without_costing_an_attempt(swarm: Swarm) -> None:
    hangs = swarm.agent("hangs", MINDSWARM_DRAIN_GRACE_SECONDS="0.5")
    swarm.await_agents("hangs")
    execution_id = swarm.start("wait.deaf", {"file": "unhang"}, on="hangs")
    waits = swarm.start("wait.async", {"file": "unhang"}, on="hangs")
    for one in (execution_id, waits):
        assert swarm.await_status(one, RUNNING).agent_id == "hangs"
    hangs.terminate()
    assert hangs.exit_code() == 75
    assert "handed back" in hangs.log
    swarm.touch("unhang")
    for one in (execution_id, waits):
        ended = swarm.await_end(one)
        assert (ended.status, ended.agent_id) == (COMPLETED, "stays")
        assert (ended.failed_attempts, ended.lost_attempts) == (0, 0)


def test_an_agent_that_ends_takes_no_work_though_an_operator_wakes_it(swarm: Swarm) -> None:
    ends = swarm.agent("ends", MINDSWARM_DRAIN_GRACE_SECONDS="20")
    swarm.await_agents("ends")
    last = swarm.start("wait.async", {"file": "last"}, on="ends")
    swarm.await_status(last, RUNNING)
    ends.terminate()
    swarm.await_agents("ends", state="draining")
    swarm.run(swarm.agents.wake("ends"))
    swarm.await_agents("ends", state="draining")
    assert swarm.await_end(swarm.start("echo", 1, on="ends")).agent_id == "stays"
    swarm.touch("last")
    assert ends.exit_code() == 0
    assert swarm.await_end(last).agent_id == "ends"


def test_an_idle_agent_leaves_at_once(swarm: Swarm) -> None:
    idle = swarm.agent("idle", MINDSWARM_DRAIN_GRACE_SECONDS="600")
    swarm.await_agents("idle")
    idle.terminate()
    assert idle.exit_code() == 0
    swarm.await_agents("idle", state="offline")


def test_an_agent_drains_though_the_ledger_is_frozen(swarm: Swarm) -> None:
    parting = swarm.agent("parting", MINDSWARM_DRAIN_GRACE_SECONDS="0.5", MINDSWARM_LEDGER_TIMEOUT_SECONDS="0.5")
    swarm.await_agents("parting")
    execution_id = swarm.start("wait.deaf", {"file": "parted"}, on="parting")
    assert swarm.await_status(execution_id, RUNNING).agent_id == "parting"
    with swarm.frozen_server():
        parting.terminate()
        assert parting.exit_code() == 75
    swarm.touch("parted")
    assert swarm.await_end(execution_id).agent_id == "stays"


def _runs_on(swarm: Swarm, execution_id: str, agent: str) -> None:
    found = swarm.get(execution_id)
    assert (found.status, found.agent_id) == (RUNNING, agent)
