"""What a decision costs as agents and backlog grow: the claim is that it does not grow with them.

Decisions are timed by the server's own account of script time (`INFO commandstats`), so that neither the client
nor the network is in the figure.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

import redis

from mindswarm_exec.identifiers import new_id, new_nonce
from mindswarm_exec.ledger import operations
from mindswarm_exec.ledger.answers import Started
from mindswarm_exec.ledger.faces import SyncLedger, connect_sync
from mindswarm_exec.ledger.operations import Operation, Settlement
from mindswarm_exec.ledger.replies import Attempt, Claimed, Settled
from mindswarm_exec.lifecycle import COMPLETE
from mindswarm_exec.models.options import ExecutionOptions
from mindswarm_exec.service.submission import start_operation
from mindswarm_exec.settings import Settings

DECISIONS = 500
PIPELINE = 500
OPTIONS = ExecutionOptions()


def _start() -> Operation[Started]:
    payload = '{"path":"src/module.py"}'
    return start_operation(new_id(), "bench.match", payload, OPTIONS, project_id="default")


def _register(ledger: SyncLedger, names: Iterable[str], slots: int) -> None:
    profile = json.dumps({"task_types": ["bench.match"], "capabilities": ["python"], "labels": {"region": "eu"}})
    for name in names:
        incarnation = new_nonce()
        ledger.run_many([
            operations.register(name, incarnation, profile, {"max_concurrent": slots, "handlers": "{}"}),
            operations.set_agent_state(name, incarnation, "awake", accepts_work=True),
        ])  # fmt: skip


def _microseconds_a_script(server: redis.Redis, work: Callable[[], None]) -> float:
    server.config_resetstat()
    work()
    return float(server.info("commandstats")["cmdstat_evalsha"]["usec_per_call"])


def by_agents(url: str, server: redis.Redis, counts: Iterable[int]) -> dict[int, float]:
    """Script time (µs) of an arrival that is matched at once, by the number of suitable agents."""
    figures = {}
    for count in counts:
        server.flushall()
        settings = Settings.from_environment({"MINDSWARM_LEASE_SECONDS": "3600"})
        ledger = SyncLedger(connect_sync(url, settings), settings)
        ledger.run(_start())  # the class exists: meeting every agent once is registration, not matching
        _register(ledger, (f"agent-{i}" for i in range(count)), max(3, 2 * DECISIONS // count))

        def arrivals(ledger: SyncLedger = ledger) -> None:
            for _ in range(DECISIONS):
                ledger.run(_start())

        figures[count] = _microseconds_a_script(server, arrivals)
        ledger.close()
    return figures


def by_backlog(url: str, server: redis.Redis, counts: Iterable[int]) -> dict[int, tuple[float, float, float]]:
    """By the number of waiting executions: script time (µs) of an arrival that waits, of a settling that feeds
    the next one, and bytes of server memory for each waiting execution."""
    figures = {}
    for count in counts:
        server.flushall()
        settings = Settings.from_environment({"MINDSWARM_LEASE_SECONDS": "3600"})
        ledger = SyncLedger(connect_sync(url, settings), settings)
        _register(ledger, ["only"], 1)
        ledger.run(_start())
        empty = _used(server)
        for done in range(0, count, PIPELINE):
            ledger.run_many([_start() for _ in range(min(PIPELINE, count - done))])
        size = (_used(server) - empty) / count

        def arrivals(ledger: SyncLedger = ledger) -> None:
            for _ in range(DECISIONS):
                ledger.run(_start())

        waits = _microseconds_a_script(server, arrivals)
        attempt = _running(ledger)
        feeds = _microseconds_a_script(server, lambda ledger=ledger, attempt=attempt: _drain(ledger, attempt))
        figures[count] = (waits, feeds, size)
        ledger.close()
    return figures


def _running(ledger: SyncLedger) -> Attempt:
    """The one attempt that the agent holds, claimed."""
    ((attempt, nonce),) = ledger.client.hgetall(ledger.keys.of("held", "only")).items()
    reply = ledger.run(operations.claim(attempt.partition(".")[0], nonce, new_nonce(), "only"))
    assert isinstance(reply, Claimed)
    return reply.attempt


def _drain(ledger: SyncLedger, attempt: Attempt) -> None:
    """Settle `DECISIONS` times, each time taking up what is fed."""
    how = Settlement(COMPLETE, slot="claim", outcome="1")
    for _ in range(DECISIONS):
        reply = ledger.run(operations.settle(attempt, "only", "agent:only", how, {"result": "1"}))
        assert isinstance(reply, Settled)
        assert reply.following is not None
        attempt = reply.following


def _used(server: redis.Redis) -> int:
    return int(server.info("memory")["used_memory"])
