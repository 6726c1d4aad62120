"""Random faults under load, for as long as you like: what was accepted has to end, and every process to outlast it.

    python -m tests.soak --seconds 300 --seed 7          # or: make soak

Two threads submit through one client, while at random moments the server is killed or frozen, an agent killed, ended
or frozen, a dispatcher or beat killed. Whatever the client was told to be accepted must be completed afterwards,
unless a server that was killed within a second of that had not written it yet. The client must be served again, and
a process that ends by itself is a failure.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from mindswarm_exec.direct import DirectClient
from mindswarm_exec.errors import LedgerUnavailable, UnknownExecution
from mindswarm_exec.lifecycle import Status
from tests.e2e.celery_program import CeleryProgram
from tests.e2e.swarm import Process, Swarm
from tests.eventually import eventually, must_hold

AGENTS, DISPATCHERS, BEATS = ("ant", "bee", "cat"), ("dispatcher-1", "dispatcher-2"), ("beat-1", "beat-2")
#: What a server that is killed may have acknowledged and not written.
UNWRITTEN_SECONDS = 1.0
PATIENCE_SECONDS = 0.1
SERVED_AGAIN_MS = 15_000


class Load:
    """Submits from two threads, and again with the same key where no answer came; knows what was accepted."""

    def __init__(self, client: DirectClient, seed: int) -> None:
        self.accepted: dict[str, float] = {}
        self.refused: Counter[str] = Counter()
        self._client = client
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._submit, args=(f"{seed}-{n}",), daemon=True) for n in range(2)]

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in self._threads:
                thread.join()

    def _submit(self, name: str) -> None:
        chance = random.Random(name)
        for number in range(sys.maxsize):
            kind = chance.choice(["echo", "echo", "steps"])
            payload = number if kind == "echo" else {"steps": 2}
            while not self._over.is_set():
                try:
                    key, priority = f"{name}-{number}", chance.randrange(10)
                    handle = self._client.start(
                        kind, payload, idempotency_key=key, priority=priority, max_lost_attempts=100
                    )
                except LedgerUnavailable as error:
                    self.refused[type(error.__cause__).__name__] += 1
                    self._over.wait(PATIENCE_SECONDS)
                else:
                    self.accepted[handle.execution_id] = time.time()
                    break
            if self._over.wait(chance.random() * 0.06):
                return


class Faults:
    """One thing goes wrong at a time."""

    def __init__(self, swarm: Swarm, chance: random.Random) -> None:
        self.killed_at: list[float] = []
        self._swarm = swarm
        self._chance = chance
        self._ended: set[int] = set()
        self._all: dict[str, Callable[[], None]] = {
            "the server is killed": self._kill_server,
            "the server is frozen": self._freeze_server,
            "an agent is killed": lambda: self._replace(AGENTS, swarm.agent, Process.kill),
            "an agent is ended": lambda: self._replace(AGENTS, swarm.agent, Process.terminate),
            "an agent is frozen": self._freeze_agent,
            "a dispatcher is killed": lambda: self._replace(DISPATCHERS, swarm.dispatcher, Process.kill),
            "a beat is killed": lambda: self._replace(BEATS, swarm.beat, Process.kill),
        }

    def next(self) -> str:
        """Do one; what it was."""
        what = self._chance.choice(list(self._all))
        self._all[what]()
        return what

    def died(self) -> list[str]:
        """Processes that ended without being told to."""
        return [one.name for one in self._swarm.processes if not one.is_alive and one.pid not in self._ended]

    def _kill_server(self) -> None:
        server = self._swarm.server
        self.killed_at.append(time.time())
        os.kill(server.pid, signal.SIGKILL)
        eventually(lambda: must_hold(not server.is_alive()))
        time.sleep(self._chance.choice([0, 0.3, 2, 5, 9]))
        server.ensure_running()

    def _freeze_server(self) -> None:
        with self._swarm.frozen_server():
            time.sleep(self._chance.choice([0.5, 3, 6]))

    def _freeze_agent(self) -> None:
        agent = self._swarm.named(self._chance.choice(AGENTS))
        agent.freeze()
        time.sleep(self._chance.choice([1, 6]))
        agent.thaw()

    def _replace(
        self, names: tuple[str, ...], start: Callable[[str], Process], end: Callable[[Process], None]
    ) -> None:
        name = self._chance.choice(names)
        process = self._swarm.named(name)
        self._ended.add(process.pid)
        end(process)
        process.exit_code()
        start(name)


def soak(seconds: float, seed: int, directory: Path) -> list[str]:
    """What was not as it should be."""
    quick = {"MINDSWARM_LEASE_SECONDS": "4", "MINDSWARM_LEDGER_TIMEOUT_SECONDS": "2"}
    with Swarm(directory, durable=True, **quick) as swarm:
        for names, start in ((BEATS, swarm.beat), (DISPATCHERS, swarm.dispatcher), (AGENTS, swarm.agent)):
            for name in names:
                start(name)
        swarm.await_agents(*AGENTS)
        swarm.await_dispatcher()
        chance = random.Random(seed)
        with DirectClient(swarm.server.url, swarm.settings) as client:
            load, faults = Load(client, seed), Faults(swarm, chance)
            until = time.monotonic() + seconds
            with load():
                while time.monotonic() < until and not faults.died():
                    time.sleep(chance.uniform(0.2, 4))
                    print(
                        f"{time.strftime('%H:%M:%S')}  {len(load.accepted):6} accepted  {faults.next()}", flush=True
                    )
            wrong = [*_not_served(client), *_not_completed(client, load, faults)]
        with CeleryProgram(swarm) as program:
            program.start({"task_type": "echo", "payload": "after"})
        print(f"{len(load.accepted)} accepted; calls that went unanswered: {dict(load.refused)}")
        return wrong + [f"{name} ended by itself" for name in faults.died()]


def _not_served(client: DirectClient) -> list[str]:
    try:
        eventually(lambda: must_hold(_serves(client)), SERVED_AGAIN_MS)
    except AssertionError:
        return [f"the client was not served {SERVED_AGAIN_MS / 1000:g} s after the last fault"]
    return []


def _serves(client: DirectClient) -> bool:
    try:
        return bool(client.start("echo", "after"))
    except LedgerUnavailable:
        return False


def _not_completed(client: DirectClient, load: Load, faults: Faults) -> list[str]:
    wrong = []
    for execution_id, at in load.accepted.items():
        try:
            found = eventually(lambda id=execution_id: _ended(client, id), 60_000)
        except AssertionError:
            wrong.append(f"{execution_id} has not ended: {client.explain(execution_id)}")
        except UnknownExecution:
            if not any(at <= killed_at <= at + UNWRITTEN_SECONDS for killed_at in faults.killed_at):
                wrong.append(f"{execution_id} was accepted and is gone")
        else:
            if found is not Status.COMPLETED:
                wrong.append(f"{execution_id} is {found}")
    return wrong


def _ended(client: DirectClient, execution_id: str) -> Status:
    status = client.get(execution_id).status
    assert status.is_terminal
    return status


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the faults; their moments vary anyway")
    asked = parser.parse_args()
    print(f"seed {asked.seed}")
    with tempfile.TemporaryDirectory(prefix="soak-") as directory:
        wrong = soak(asked.seconds, asked.seed, Path(directory))
    print("\n".join(wrong) or "all of it completed, and every process is alive")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
