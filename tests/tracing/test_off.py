"""Where nothing is traced, nothing of OpenTelemetry is loaded, and a trace context is handed on all the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mindswarm_exec.testing import Swarm
from mindswarm_exec.tracing import spans_in_use, trace_headers
from tests.e2e.swarm import Swarm as SwarmOfProcesses

ROOT = Path(__file__).parents[2]
AGENT = "tests.tracing.traced_agents:agent"
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

#: A program without the extra: it embeds an agent, submits, and tells what was loaded.
PROGRAM = """
import sys

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "opentelemetry":
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)

sys.meta_path.insert(0, NotInstalled())

import json
import mindswarm_exec.api.server, mindswarm_exec.client, workers.agent, workers.dispatcher
from mindswarm_exec.testing import Swarm

with Swarm(sys.argv[1]) as swarm:
    swarm.agent("tests.tracing.traced_agents:agent")
    handle = swarm.start("parent.process", "modules", traceparent=sys.argv[2])
    print(json.dumps([handle.result(), handle.get().traceparent]))
"""


def told_by(*command: str) -> object:
    """What a Python program prints, as JSON, without anybody's settings of tracing."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    environment["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(
        [sys.executable, "-c", *command], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_all_works_without_the_extra_and_hands_the_trace_on(swarm_server: str) -> None:
    loaded, traceparent = told_by(PROGRAM, swarm_server, PARENT)  # type: ignore[misc]
    assert traceparent == PARENT
    assert loaded == ["mindswarm_exec.tracing", "mindswarm_exec.tracing.process"]


@pytest.fixture
def processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SwarmOfProcesses]:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    with SwarmOfProcesses(tmp_path) as swarm:
        yield swarm


def test_an_agent_with_the_extra_loads_no_more_than_redis_does_until_it_is_to_trace(
    processes: SwarmOfProcesses,
) -> None:
    """redis-py loads OpenTelemetry's metrics by itself, where they are installed."""
    processes.agent("one", AGENT)
    processes.await_agents("one")
    loaded = processes.await_end(processes.start("modules")).result
    by_redis = told_by("import redis.asyncio, json, sys; print(json.dumps(list(sys.modules)))")
    assert isinstance(by_redis, list)
    assert set(loaded) - set(by_redis) == {"mindswarm_exec.tracing", "mindswarm_exec.tracing.process"}


@pytest.mark.parametrize("task_type", ["look.thread", "look.async", "look.process"])
def test_handlers_find_the_trace_of_the_submitter(swarm: Swarm, task_type: str) -> None:
    swarm.agent(AGENT)
    handle = swarm.start(task_type, traceparent=PARENT, tracestate="vendor=1")
    seen = handle.result()
    assert (seen["ctx"], seen["state"]) == (PARENT, "vendor=1")
    assert seen.get("TRACEPARENT", PARENT) == PARENT
    assert (handle.get().traceparent, handle.get().tracestate) == (PARENT, "vendor=1")


def test_children_go_on_from_what_their_parent_was_given(swarm: Swarm) -> None:
    swarm.agent(AGENT)
    assert swarm.start("parent.async", "look.thread", traceparent=PARENT).result()["ctx"] == PARENT


def test_programs_do_not_find_the_trace_that_their_agent_was_started_in(
    swarm: Swarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACEPARENT", PARENT)
    swarm.agent(AGENT)
    seen = swarm.start("look.process").result()
    assert (seen["ctx"], seen["TRACEPARENT"]) == (None, None)


def test_a_record_without_a_trace_keeps_nothing_of_one(swarm: Swarm) -> None:
    swarm.agent(AGENT)
    plain, traced = swarm.start("look.thread"), swarm.start("look.thread", traceparent=PARENT)
    plain.result()
    traced.result()
    ledger = swarm._ledger
    without, with_one = (
        set(ledger.client.hkeys(ledger.keys.of("execution", one.execution_id))) for one in (plain, traced)
    )
    assert with_one - without == {"traceparent", "waiting_since_ms"}


def test_a_process_without_a_tracer_provider_makes_no_spans() -> None:
    assert spans_in_use() is None
    assert trace_headers() == {}
