"""The scheduler: Celery beat with one table of periods.

    mindswarm-exec beat
    celery -A scheduler.beat beat

Ticks are hints to the dispatchers. A tick that finds no dispatcher in time expires, so that a backlog of old
ticks is never worked off; two beats tick twice, which is harmless.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from celery import Celery
from celery.beat import Scheduler, SchedulingError

from mindswarm_exec.celery_app import (
    FORGET_TASK,
    MATCH_TASK,
    ROLL_UP_TASK,
    SWEEP_TASK,
    create_app,
    sweep_queue,
    take_over_logging,
)
from mindswarm_exec.embedded import ledger_url
from mindswarm_exec.settings import Settings

log = logging.getLogger(__name__)


def schedule(settings: Settings) -> Mapping[str, Mapping[str, Any]]:
    """The table of periods, in seconds."""
    queue = sweep_queue(settings)
    periods = {
        SWEEP_TASK: settings.sweep_seconds,
        ROLL_UP_TASK: 2 * settings.sweep_seconds,
        MATCH_TASK: 10 * settings.sweep_seconds,
        FORGET_TASK: 60 * settings.sweep_seconds,
    }
    return {
        task: {"task": task, "schedule": period, "options": {"queue": queue, "expires": max(2.0, 2 * period)}}
        for task, period in periods.items()
    }


class InMemoryScheduler(Scheduler):  # type: ignore[misc]
    """Celery's scheduler without its file: ticks carry no state that would be worth keeping.

    A tick that cannot be sent is lost, which is said once, not once a second.
    """

    _is_away = False

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        try:
            self.apply_async(entry, producer=producer, advance=False)
            self._is_away = False
        except SchedulingError as error:
            if not self._is_away:
                facts = {"action": "tick", "error_type": type(error.__cause__).__name__}
                log.warning("the broker is away; ticks are lost until it is back", extra=facts)
            self._is_away = True


def make_app(settings: Settings) -> Celery:
    url, _ = ledger_url(settings)
    app = create_app(settings, url, "mindswarm-beat", [sweep_queue(settings)])
    app.conf.update(
        beat_schedule=dict(schedule(settings)),
        beat_scheduler=f"{__name__}:{InMemoryScheduler.__name__}",
        beat_max_loop_interval=1.0,
    )
    return app


def main(settings: Settings) -> None:
    """Run beat until told to stop."""
    take_over_logging(settings, "beat")
    log.info("beat begins", extra={"action": "tick"})
    make_app(settings).Beat(loglevel="WARNING", quiet=True).run()


def __getattr__(name: str) -> Any:
    """`celery -A scheduler.beat beat` asks for `app`; importing this module by itself does nothing."""
    if name in ("app", "celery"):
        settings = Settings.from_environment()
        if settings.log_format == "json":  # else as the options of Celery's own command say
            take_over_logging(settings, "beat")
        return globals().setdefault("app", make_app(settings))
    raise AttributeError(name)
