"""Metrics tell what really was: totals under every fault of those who count, and what an attempt has used."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator

import pytest

from mindswarm_exec.lifecycle import CANCELLED, COMPLETED, FAILED, RUNNING, TIMED_OUT, Status
from mindswarm_exec.models.options import StartRequest
from mindswarm_exec.models.records import MetricWindow
from mindswarm_exec.service.folding import WINDOWS
from tests.e2e.swarm import Swarm
from tests.eventually import eventually

MEASURED = "tests.e2e.measured:measured"
ENDS = (COMPLETED, FAILED, CANCELLED, TIMED_OUT)


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swarm]:
    settings = {"MINDSWARM_SWEEP_SECONDS": "0.1", "MINDSWARM_LEASE_SECONDS": "8"}
    with Swarm(tmp_path_factory.mktemp("metrics"), durable=True, **settings) as swarm:
        swarm.agent("measured", MEASURED)
        swarm.await_agents("measured")
        for number in range(2):
            swarm.beat(f"beat-{number}")
            swarm.dispatcher(f"dispatcher-{number}")
        swarm.await_dispatcher()
        yield swarm


def window(swarm: Swarm, name: str, group_by: str) -> MetricWindow:
    return swarm.run(swarm.executions.get_window_metrics(name, group_by))


class Work:
    """Executions of every fate, and how each of them is to end: once, or once more if it is brought back."""

    def __init__(self, swarm: Swarm) -> None:
        self.swarm = swarm
        self.ends: Counter[tuple[str, Status]] = Counter()
        self._rounds = 0

    def do(self) -> None:
        """One round of it, to the end."""
        self._rounds += 1
        once = {"retry_policy": {"max_attempts": 1}}
        twice = {"retry_policy": {"max_attempts": 2, "backoff": "fixed", "initial_delay_seconds": 0.1}}
        unserved = [self.swarm.start("nobody.does") for _ in range(4)]
        expected = {
            **dict.fromkeys([self.swarm.start("echo", n) for n in range(10)], ("echo", COMPLETED)),
            **dict.fromkeys([self.swarm.start("fail", {}, **once) for _ in range(4)], ("fail", FAILED)),
            **dict.fromkeys([self.swarm.start("fail", {"until": 2}, **twice) for _ in range(3)], ("fail", COMPLETED)),
            **dict.fromkeys(
                [self.swarm.start("nobody.does", queue_timeout_seconds=0.2) for _ in range(3)],
                ("nobody.does", TIMED_OUT),
            ),
            **dict.fromkeys(unserved, ("nobody.does", CANCELLED)),
            **self._controlled(unserved),
            **self._family(),
        }
        for execution_id, (_, status) in expected.items():
            assert self.swarm.await_end(execution_id, 60_000).status is status
        self.ends.update(expected.values())
        self._bring_back(next(one for one, end in expected.items() if end == ("fail", FAILED)))

    def _controlled(self, unserved: list[str]) -> dict[str, tuple[str, Status]]:
        """Paused and cancelled while they wait; cancelled by force while one runs that does not listen."""
        executions = self.swarm.executions
        self.swarm.run(executions.pause(unserved[0]))
        self.swarm.run(executions.resume(unserved[0]))
        self.swarm.run(executions.pause(unserved[1]))
        for execution_id in unserved:
            self.swarm.run(executions.cancel(execution_id))
        deaf = self.swarm.start("wait.deaf", {"file": f"over-{self._rounds}"})
        self.swarm.await_status(deaf, RUNNING)
        self.swarm.run(executions.cancel(deaf, force=True))
        self.swarm.touch(f"over-{self._rounds}")
        return {deaf: ("wait.deaf", CANCELLED)}

    def _family(self) -> dict[str, tuple[str, Status]]:
        """A parent and its child."""
        parent = self.swarm.start("wait.async", {"file": f"family-{self._rounds}"})
        self.swarm.await_status(parent, RUNNING)
        request = StartRequest(task_type="echo", payload=1, parent_id=parent)
        child = self.swarm.run(self.swarm.executions.start(request)).execution_id
        self.swarm.touch(f"family-{self._rounds}")
        return {parent: ("wait.async", COMPLETED), child: ("echo", COMPLETED)}

    def _bring_back(self, failed: str) -> None:
        """It fails a second time, which counts as another end."""
        attempt = self.swarm.get(failed).attempt
        self.swarm.run(self.swarm.executions.retry(failed))

        def ended_again() -> None:
            found = self.swarm.get(failed)
            assert (found.status, found.attempt > attempt) == (FAILED, True)

        eventually(ended_again, 30_000)
        self.ends["fail", FAILED] += 1


def replace(swarm: Swarm, number: int) -> None:
    """One beat and one dispatcher are killed with -9, others take their places."""
    for name, start in ((f"beat-{number}", swarm.beat), (f"dispatcher-{number}", swarm.dispatcher)):
        swarm.named(name).kill()
        start(name)


def restart_server(swarm: Swarm) -> None:
    os.kill(swarm.server.pid, signal.SIGKILL)
    eventually(lambda: _is_false(swarm.server.is_alive()))
    assert swarm.server.ensure_running()
    swarm.await_agents("measured")


def _is_false(value: object) -> None:
    assert not value


def test_totals_are_what_was_submitted_whoever_of_those_who_count_is_killed(swarm: Swarm) -> None:
    work = Work(swarm)
    for fault in (lambda: replace(swarm, 0), lambda: restart_server(swarm), lambda: replace(swarm, 1)):
        work.do()
        fault()
    work.do()
    eventually(lambda: _is_false(window(swarm, "1h", "status").behind), 30_000)
    for _ in range(2):  # a second look finds what the first has kept
        for name in WINDOWS:
            found = window(swarm, name, "task_type")
            told = Counter({(group.key, status): getattr(group, status) for group in found.groups for status in ENDS})
            if name != "5m":  # a slow machine takes longer than that
                assert +told == work.ends
            assert (found.behind, found.lost) == (0, 0)
    by_project = window(swarm, "24h", "project").groups
    assert {group.key: group.count for group in by_project} == {"default": work.ends.total()}
    assert sum(group.count for group in window(swarm, "30d", "agent").groups) == work.ends.total()


def test_what_processes_have_used_is_told_and_that_of_others_is_not_known(swarm: Swarm) -> None:
    policy = {"max_attempts": 2, "backoff": "fixed", "initial_delay_seconds": 0.1}
    payload = {"mb": 80, "cpu_seconds": 0.4}
    twice = swarm.start("use.process", payload | {"fails": 1}, retry_policy=policy)
    found = swarm.run(swarm.executions.get_metrics(swarm.await_end(twice, 60_000).execution_id))
    assert (found.attempts, found.failed_attempts) == (2, 1)
    assert found.cpu_ms is not None
    assert 800 <= found.cpu_ms < 4000
    assert found.peak_rss_mb is not None
    assert 80 <= found.peak_rss_mb < 400
    assert found.running_ms is not None
    assert found.cpu_ms <= found.running_ms + 100
    for task_type in ("use.thread", "use.async"):
        ended = swarm.await_end(swarm.start(task_type, payload), 60_000)
        found = swarm.run(swarm.executions.get_metrics(ended.execution_id))
        assert (found.status, found.cpu_ms, found.peak_rss_mb) == (COMPLETED, None, None)
        assert found.running_ms is not None
        assert found.running_ms >= 400
