"""The dispatcher: a Celery worker at the front door, which also carries out beat's ticks.

    mindswarm-exec dispatcher
    celery -A workers.dispatcher worker

Any number may run; what they do is guarded in the ledger.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from celery import Celery, Task, bootsteps, signals
from celery.exceptions import Reject
from celery.worker import WorkController
from pydantic import ValidationError

from mindswarm_exec.archive.opening import open_archive
from mindswarm_exec.celery_app import (
    FORGET_TASK,
    MATCH_TASK,
    ROLL_UP_TASK,
    START_TASK,
    SWEEP_TASK,
    CeleryPublisher,
    create_app,
    front_door_queue,
    redelivery_seconds,
    sweep_queue,
    take_over_logging,
)
from mindswarm_exec.embedded import ledger_url
from mindswarm_exec.errors import InvalidRequest, LedgerFull, LedgerUnavailable, MindSwarmError
from mindswarm_exec.ledger.faces import AsyncLedger, SyncLedger, connect_async, connect_sync
from mindswarm_exec.models.options import StartRequest
from mindswarm_exec.models.records import Execution
from mindswarm_exec.models.trace_context import TraceContext, context_in
from mindswarm_exec.models.validation import invalid_request
from mindswarm_exec.service.actors import Actor, acting_as
from mindswarm_exec.service.executions import ExecutionService
from mindswarm_exec.settings import Settings
from mindswarm_exec.tracing.process import flush, start_tracing
from scheduler.rollups import Roller
from scheduler.sweeps import Sweeper
from workers.consumer import end_within, harden

if TYPE_CHECKING:
    from scheduler.archiving import Archiver

log = logging.getLogger(__name__)

#: Between tries to reach a ledger that is away.
AWAY_SECONDS = 0.5
#: A dispatcher that is told to stop has this long; what it has not answered is delivered again.
STOP_SECONDS = 10.0


class FrontDoor:
    """`mindswarm.execution.start` as a Celery task: same params, same answer as over JSON-RPC."""

    def __init__(self, url: str, settings: Settings, publisher: CeleryPublisher | None) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="front-door", daemon=True).start()
        ledger = AsyncLedger(connect_async(url, settings), settings)
        self._service = ExecutionService(ledger, settings, publisher)
        self._patience_seconds = redelivery_seconds(settings) / 2

    def start(self, message_id: str, came_with: TraceContext | None, /, *args: Any, **params: Any) -> dict[str, Any]:
        """Accept an execution; the answer is the Execution, or {"error": {"code", "message", …}}.

        A message that comes twice is one submission: without an idempotency key of its own, its id is its key.

        Raises:
            LedgerUnavailable: it stayed away; the message should be delivered again.
        """
        if args:
            return _refused(InvalidRequest(f"{START_TASK} takes its params by name: send them as kwargs."))
        try:
            request = StartRequest.model_validate({"idempotency_key": f"celery:{message_id}"[:255]} | params)
            return self._accept(request, came_with).model_dump(mode="json")
        except ValidationError as error:
            return _refused(invalid_request(error, START_TASK, StartRequest))
        except MindSwarmError as error:
            if _is_away(error):
                raise
            return _refused(error)

    def _accept(self, request: StartRequest, came_with: TraceContext | None) -> Execution:
        """Submit, and again while the ledger is away: nobody may be waiting for the answer."""
        deadline = time.monotonic() + self._patience_seconds
        while True:
            try:
                submission = self._service.start(request, came_with)
                return asyncio.run_coroutine_threadsafe(submission, self._loop).result()
            except LedgerUnavailable as error:
                if not _is_away(error) or time.monotonic() >= deadline:
                    raise
            time.sleep(AWAY_SECONDS)


def _is_away(error: MindSwarmError) -> bool:
    return isinstance(error, LedgerUnavailable) and not isinstance(error, LedgerFull)


def _refused(error: MindSwarmError) -> dict[str, Any]:
    return {"error": {"code": error.rpc_code, "message": str(error), "data": error.data}}


class DispatcherProcess:
    """One dispatcher's parts, wired together."""

    def __init__(self, settings: Settings) -> None:
        start_tracing("dispatcher", settings)
        url, self._server = ledger_url(settings)
        self.app = create_app(
            settings,
            url,
            "mindswarm-dispatcher",
            [front_door_queue(settings), sweep_queue(settings)],
            acknowledges=True,
        )
        publisher = CeleryPublisher(self.app, settings)
        ledger = SyncLedger(connect_sync(url, settings), settings)
        sweeper = Sweeper(ledger, publisher.publish_now, _archiver(ledger))
        self.app.conf.update(
            worker_pool="threads", worker_concurrency=4, worker_prefetch_multiplier=4, result_backend=_backend(url)
        )
        harden(self.app)
        front_door = FrontDoor(url, settings, publisher)

        def start(task: Task, /, *args: Any, **params: Any) -> dict[str, Any]:
            try:
                came_with = context_in(task.request.headers or {})
                with acting_as(Actor(via="celery", address=task.request.origin or "")):
                    return front_door.start(str(task.request.id), came_with, *args, **params)
            except LedgerUnavailable as error:
                raise Reject("the ledger is away", requeue=True) from error

        # neither submissions nor ticks leave an event: that of a submission would show its payload to whoever listens
        answering = {"bind": True, "acks_late": True, "ignore_result": False, "typing": False, "send_events": False}
        self.app.task(start, name=START_TASK, **answering)
        self.app.task(sweeper.sweep, name=SWEEP_TASK, ignore_result=True, send_events=False)
        self.app.task(sweeper.match_waiting, name=MATCH_TASK, ignore_result=True, send_events=False)
        self.app.task(sweeper.forget, name=FORGET_TASK, ignore_result=True, send_events=False)
        self.app.task(Roller(ledger).roll_up, name=ROLL_UP_TASK, ignore_result=True, send_events=False)
        signals.worker_shutting_down.connect(lambda **_: end_within(STOP_SECONDS), weak=False)
        signals.worker_shutdown.connect(lambda **_: flush(), weak=False)
        self.app.steps["worker"].add(_guard(sweeper, settings.sweep_seconds))

    def run(self) -> None:
        """Work until told to stop."""
        options = ["--loglevel=WARNING", "--without-gossip", "--without-mingle", "-n", "dispatcher-%i@%h"]
        self.app.worker_main(["--quiet", "worker", *options])


def _archiver(ledger: SyncLedger) -> Archiver | None:
    archive = open_archive(ledger.settings)
    if archive is None:
        return None
    from scheduler.archiving import Archiver  # needs SQLAlchemy

    return Archiver(ledger, archive)


def _backend(url: str) -> str | None:
    return url if url.startswith(("redis", "rediss", "unix")) else None


def _guard(sweeper: Sweeper, period: float) -> type:
    class SweepIfSilent(bootsteps.StartStopStep):  # type: ignore[misc]
        """Sweeps in beat's place when nobody has swept for three periods."""

        requires = ("celery.worker.components:Pool",)

        def start(self, worker: WorkController) -> None:
            log.info("the dispatcher takes submissions and sweeps", extra={"action": "listen"})
            self.ended = threading.Event()
            threading.Thread(target=self._watch, name="sweep-guard", daemon=True).start()

        def stop(self, worker: WorkController) -> None:
            self.ended.set()

        def _watch(self) -> None:
            while not self.ended.wait(period):
                try:
                    sweeper.sweep_if_silent()
                except LedgerUnavailable as error:
                    log.warning("could not sweep", extra={"action": "sweep", "error": str(error)})
                except Exception:  # a script failed: whoever sweeps in beat's place must not end of it
                    log.exception("a sweep failed", extra={"action": "sweep"})

    return SweepIfSilent


def main(settings: Settings) -> None:
    """Run a dispatcher until told to stop."""
    take_over_logging(settings, "dispatcher")
    DispatcherProcess(settings).run()


def __getattr__(name: str) -> Any:
    """`celery -A workers.dispatcher worker` asks for `app`; importing this module by itself does nothing."""
    if name in ("app", "celery"):
        settings = Settings.from_environment()
        if settings.log_format == "json":  # else as the options of Celery's own command say
            take_over_logging(settings, "dispatcher")
        app: Celery = DispatcherProcess(settings).app
        return globals().setdefault("app", app)
    raise AttributeError(name)
