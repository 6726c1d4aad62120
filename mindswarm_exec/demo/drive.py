"""The demonstration run: start everything, survey, pause, kill and resume on the way, judge, and clean up."""

from __future__ import annotations

import queue
import shutil
import signal
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

from rich.console import Console

from mindswarm_exec.cli.children import Child
from mindswarm_exec.cli.stack import AgentPlan, Stack, free_port
from mindswarm_exec.client import ExecutionClient
from mindswarm_exec.demo import submission
from mindswarm_exec.demo.board import Board
from mindswarm_exec.demo.handover import Handover, handover
from mindswarm_exec.demo.live import display_for
from mindswarm_exec.demo.plan import PROJECT, Plan, overview_submission, submissions
from mindswarm_exec.demo.report import Outcome
from mindswarm_exec.demo.verdict import Histories, control_objections, moved, objections
from mindswarm_exec.errors import ApiUnavailable, MindSwarmError
from mindswarm_exec.lifecycle import TERMINAL, Status
from mindswarm_exec.models.records import Execution
from mindswarm_exec.settings import Settings

#: The agents: two share the heavy role, so that one can take over from the other.
AGENTS = {"metrics-1": "metrics", "metrics-2": "metrics", "lint-1": "lint", "coverage-1": "coverage"}
VICTIM = "metrics-1"
#: The share of executions that have ended when the victim is killed; by the second it is killed whatever it holds.
KILL_FROM, KILL_BY = 0.4, 0.6
#: The share of executions that have ended when the overview is paused, or its own share, whichever comes first.
PAUSE_FROM, PAUSE_BY = 0.15, 0.3
#: Until so many seconds after the start the kill waits for the pause. Later it comes anyhow.
KILL_ANYHOW_SECONDS = 55.0
#: Shorter than the default of 15 s, so that the takeover can be watched.
LEASE_SECONDS = 6.0
#: Seconds for all agents to register, for the survey itself, and for everything with start and clean-up.
REGISTER_SECONDS, SURVEY_SECONDS, HARD_SECONDS = 40.0, 95.0, 116.0
#: Seconds between two looks at agents and queue, and between two rounds of the main loop.
POLL_SECONDS, ROUND_SECONDS = 0.7, 0.05


#: What is asked of the API, by a thread that may wait for it.
Order = Callable[[ExecutionClient], None]


class Demonstration:
    """One run. `run` it once; whatever happens, no process is left behind."""

    def __init__(self, plan: Plan, console: Console) -> None:
        self.plan = plan
        self.board = Board(plan.executions)
        self._console = console
        self._began = time.monotonic()
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._orders: queue.SimpleQueue[Order | None] = queue.SimpleQueue()
        #: the pause and the resume of the overview, in their order: when each is due, and what is to be done
        self._steps: deque[tuple[Callable[[], bool], Order]] = deque(
            (
                (self._is_pause_due, self._pause_overview),
                (self._is_paused, self._read_receipt),
                (self._is_resume_due, self._resume_overview),
            )
        )
        self._ended = threading.Event()
        self._stack: Stack | None = None
        #: set it to end the run early, in order
        self.stop = threading.Event()

    def run(self) -> Outcome:
        """Survey, and answer what was found and how it went.

        Raises:
            KeyboardInterrupt: `stop` was set meanwhile.
            MindSwarmError: something did not start, or the API stopped answering.
        """
        with tempfile.TemporaryDirectory(prefix="mindswarm-demo-", ignore_cleanup_errors=True) as directory:
            settings = Settings(
                data_dir=Path(directory), api_port=free_port(), lease_seconds=LEASE_SECONDS, drain_grace_seconds=2.0
            )
            agents = [AgentPlan(f"mindswarm_exec.demo.survey:{role}", name) for name, role in AGENTS.items()]
            self._stack = Stack(settings, agents, self._say, restart=False)
            with self._console.status("starting Valkey, the API, a dispatcher, beat and four agents"):
                self._stack.start(self.stop)
            try:
                return self._survey(self._stack)
            finally:
                self._ended.set()
                self._orders.put(None)
                self._stack.stop()

    def kill(self) -> None:
        """End every process at once; `run` then ends by itself, or is past doing so."""
        if self._stack is not None:
            self._stack.kill_everything()

    def abandon(self) -> None:
        """End every process, remove the data and give the terminal its cursor back: this process ends next."""
        self.kill()
        if self._stack is not None:
            shutil.rmtree(self._stack.settings.data_dir, ignore_errors=True)
        self._console.show_cursor(True)

    def elapsed(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._began

    # --- steps, in their order -----------------------------------------------------------------------------

    def _survey(self, stack: Stack) -> Outcome:
        with ExitStack() as open_things:
            client = open_things.enter_context(ExecutionClient(stack.url))
            with self._console.status("waiting for the agents"):
                self._await_agents(client, stack)
            self._say(
                f"{len(AGENTS)} agents are ready after {self.elapsed():.0f} s; the lease is {LEASE_SECONDS:g} s"
            )
            for work in (self._submit, self._poll, self._hear, self._control):
                threading.Thread(target=self._guarded, args=(work, stack.url), daemon=True).start()
            display = open_things.enter_context(display_for(self._console, self.board, self.elapsed))
            while not self.board.is_over and self.elapsed() < SURVEY_SECONDS:
                self._take_news()
                self._control_when_due()
                self._kill_when_due(stack)
                display.refresh()
                self._pause(ROUND_SECONDS)
            self._look(client)
            display.refresh()
        with ExecutionClient(stack.url) as client:
            return self._judge(client)

    def _await_agents(self, client: ExecutionClient, stack: Stack) -> None:
        deadline = time.monotonic() + REGISTER_SECONDS
        while True:
            awake = {agent.agent_id for agent in client.agents() if agent.state == "awake"}
            missing = [name for name in AGENTS if name not in awake]
            if not missing:
                return
            for child in stack.agents:
                if not child.is_alive:
                    raise ApiUnavailable(f"{child.name} {child.how_it_ended()}")
            if time.monotonic() > deadline:
                raise ApiUnavailable(f"{', '.join(missing)} did not register within {REGISTER_SECONDS:g} s.")
            self._pause(0.1)

    def _pause(self, seconds: float) -> None:
        if self.stop.wait(seconds):
            raise KeyboardInterrupt

    def _take_news(self) -> None:
        with suppress(queue.Empty):
            while True:
                self._inbox.get_nowait()()

    def _look(self, client: ExecutionClient) -> None:
        """Bring the board up to date for its last picture."""
        self._take_news()
        self.board.poll(client.agents(), client.get_queue_status(PROJECT))

    def _control_when_due(self) -> None:
        if self._steps and self._steps[0][0]():
            self._orders.put(self._steps.popleft()[1])

    def _is_pause_due(self) -> bool:
        runs = self.board.overview_state is Status.RUNNING
        return runs and (self.board.fraction >= PAUSE_FROM or self.board.overview.fraction >= PAUSE_BY)

    def _is_paused(self) -> bool:
        return self.board.overview_state is Status.PAUSED

    def _is_resume_due(self) -> bool:
        """It is, once the ledger knows that the victim is gone: until then a free slot of it would be chosen."""
        return self.board.overview.paused is not None and self.board.is_offline(VICTIM)

    def _awaits_pause(self) -> bool:
        is_over = self.board.overview_state in TERMINAL
        return self.board.overview.paused is None and not is_over and self.elapsed() < KILL_ANYHOW_SECONDS

    def _kill_when_due(self, stack: Stack) -> None:
        board = self.board
        if board.killed or board.fraction < KILL_FROM or self._awaits_pause():
            return
        held = board.running_on(VICTIM)
        if not held and board.fraction < KILL_BY:
            return
        child = _child(stack, VICTIM)
        board.killed = VICTIM
        child.signal(signal.SIGKILL)
        told = f"killed {VICTIM} (pid {child.pid}) with -9 while it ran {len(held)} executions; "
        board.tell(self.elapsed(), told + f"its lease ends within {LEASE_SECONDS:g} s", "bold red")

    def _judge(self, client: ExecutionClient) -> Outcome:
        """Read the whole record back and judge it. What was submitted is known from the answers alone."""
        expected = list(self.board.subjects)
        found = submission.executions(client)
        histories = submission.histories(client, [execution.execution_id for execution in found])
        told = objections(expected, found, histories)
        if len(expected) != self.plan.executions:
            told.insert(0, f"{len(expected)} of {self.plan.executions} executions were submitted")
        if not self.board.is_over:
            told.insert(0, f"the survey was broken off after {self.elapsed():.0f} s")
        way = self._handover(found, histories)
        told += control_objections(way)
        return Outcome(self.plan, tuple(found), tuple(moved(found, histories)), tuple(told), self.board.killed, way)

    def _handover(self, found: Sequence[Execution], histories: Histories) -> Handover | None:
        paused = self.board.overview.paused
        ended = next((one for one in found if paused and one.execution_id == paused.execution_id), None)
        return handover(paused, ended, histories[ended.execution_id]) if paused and ended else None

    # --- threads: each puts what it learns into the inbox, and one thread writes it on the board ---------------

    def _guarded(self, work: Callable[[ExecutionClient], None], url: str) -> None:
        with ExecutionClient(url) as client:
            try:
                work(client)
            except MindSwarmError as error:
                told = f"{work.__name__.strip('_')}: {error}"
                if not self._ended.is_set():
                    self._inbox.put(partial(self.board.tell, self.elapsed(), told, "bold red"))

    def _submit(self, client: ExecutionClient) -> None:
        for accepted in submission.submit(client, [overview_submission(self.plan, VICTIM)]):
            self._inbox.put(partial(self.board.submit_overview, accepted))
        for accepted in submission.submit(client, submissions(self.plan)):
            self._inbox.put(partial(self.board.submit, accepted))

    def _poll(self, client: ExecutionClient) -> None:
        while not self._ended.wait(POLL_SECONDS):
            self._inbox.put(partial(self.board.poll, client.agents(), client.get_queue_status(PROJECT)))

    def _hear(self, client: ExecutionClient) -> None:
        for event in client.events(from_event_id="0"):
            if self._ended.is_set():
                return
            self._inbox.put(partial(self.board.apply, event, self.elapsed()))

    def _control(self, client: ExecutionClient) -> None:
        while order := self._orders.get():
            order(client)

    def _pause_overview(self, client: ExecutionClient) -> None:
        client.pause(self._overview_id, reason="it is to go on on another agent")

    def _read_receipt(self, client: ExecutionClient) -> None:
        paused = client.get(self._overview_id)
        self._inbox.put(partial(self.board.acknowledge, paused, self.elapsed()))

    def _resume_overview(self, client: ExecutionClient) -> None:
        client.resume(self._overview_id, reason=f"{VICTIM} is offline")

    @property
    def _overview_id(self) -> str:
        assert self.board.overview.execution_id is not None, "nothing is asked of it before it is accepted"
        return self.board.overview.execution_id

    def _say(self, line: str) -> None:
        self._console.print(f"  {line}", style="dim", soft_wrap=True)


def _child(stack: Stack, name: str) -> Child:
    return next(child for child in stack.agents if child.name == f"agent {name}")
