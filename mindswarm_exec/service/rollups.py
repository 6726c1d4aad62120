"""Rollups: what ended in a window, from the counts of its minutes, hours and days; no execution is read for it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from mindswarm_exec.errors import InvalidRequest
from mindswarm_exec.ledger import operations, reads
from mindswarm_exec.ledger.faces import AsyncLedger
from mindswarm_exec.ledger.operations import Operation
from mindswarm_exec.ledger.replies import Rolled
from mindswarm_exec.lifecycle import TERMINAL, Status
from mindswarm_exec.models.records import MetricGroup, MetricWindow, Percentiles, instant
from mindswarm_exec.service.histogram import percentile
from mindswarm_exec.settings import Settings

#: Events read by one script, which holds the server for a few milliseconds.
MOST_EVENTS = 500
#: A period by name, and its start in Unix milliseconds.
Period = tuple[str, int]
GROUPS = ("agent", "task_type", "project", "status")
PERIODS_MS = {"minute": 60_000, "hour": 3_600_000, "day": 86_400_000}


@dataclass(frozen=True, slots=True)
class Window:
    """A span up to now. It begins at a full `edge` and is made up of `body`, and of `edge` before the first body."""

    length_ms: int
    edge: str
    body: str


WINDOWS = {
    "5m": Window(300_000, "minute", "minute"),
    "1h": Window(3_600_000, "minute", "minute"),
    "24h": Window(86_400_000, "hour", "hour"),
    "7d": Window(7 * 86_400_000, "hour", "day"),
    "30d": Window(30 * 86_400_000, "day", "day"),
}


def roll_up_some(settings: Settings) -> Operation[Rolled]:
    """The ledger operation that counts some of what ended since the last time."""
    minutes, hours, days = (
        round(seconds * 1000)
        for seconds in (
            settings.rollup_minutes_retention_seconds,
            settings.rollup_hours_retention_seconds,
            settings.rollup_days_retention_seconds,
        )
    )
    return operations.roll_up(MOST_EVENTS, (minutes, hours, days))


class Rollups:
    """Answers from the rollups, and keeps the sums of periods that are over: nothing is added to them any more."""

    def __init__(self, ledger: AsyncLedger) -> None:
        self._ledger = ledger
        #: by window and grouping: the counts of each period that is over, and their sums
        self._over: dict[tuple[str, str], tuple[dict[Period, dict[str, int]], Mapping[str, int]]] = {}

    async def window(self, window: str, group_by: str) -> MetricWindow:
        """What ended within the window, grouped. What ended up to now is counted first, unless that is very much.

        Raises:
            InvalidRequest: the window or the grouping is none of those offered.
        """
        if window not in WINDOWS or group_by not in GROUPS:
            raise InvalidRequest(
                f"window is one of {', '.join(WINDOWS)} and group_by one of {', '.join(GROUPS)}.",
                allowed={"window": list(WINDOWS), "group_by": list(GROUPS)},
            )
        now_ms = await self._ledger.run(reads.server_time_ms())  # before counting: then what is over is counted
        rolled = await self._ledger.run(roll_up_some(self._ledger.settings))
        since_ms, periods = covering(WINDOWS[window], now_ms)
        over = [] if rolled.behind else [one for one in periods if one[1] + PERIODS_MS[one[0]] <= now_ms]
        sums = Counter(await self._sums_over(window, group_by, over))
        for rollup in await self._read(group_by, periods[len(over) :]):
            sums.update(rollup)
        since, until = instant(since_ms), instant(now_ms)
        assert since is not None
        assert until is not None
        return MetricWindow(
            window=window,
            group_by=group_by,
            since=since,
            until=until,
            groups=tuple(groups_of(sums, now_ms - since_ms)),
            behind=rolled.behind,
            lost=sums.get("lost", 0),
        )

    async def _sums_over(self, window: str, group_by: str, periods: list[Period]) -> Mapping[str, int]:
        """The sums of periods that are over; only those that are new since the last call are read."""
        known, sums = self._over.get((window, group_by), ({}, {}))
        if list(known) != periods:
            new = [one for one in periods if one not in known]
            known |= dict(zip(new, await self._read(group_by, new), strict=True))
            known = {one: known[one] for one in periods}
            counted: Counter[str] = Counter()
            for rollup in known.values():
                counted.update(rollup)
            sums = counted
            self._over[window, group_by] = known, sums
        return sums

    async def _read(self, group_by: str, periods: Sequence[Period]) -> list[dict[str, int]]:
        asked = [reads.rollup(group_by, period, start_ms) for period, start_ms in periods]
        return await self._ledger.run_many(asked) if asked else []


def covering(window: Window, now_ms: int) -> tuple[int, list[Period]]:
    """Where the window begins, and the periods that make it up: (period, start), in order. Pure."""
    edge, body = PERIODS_MS[window.edge], PERIODS_MS[window.body]
    since_ms = at = (now_ms - window.length_ms) // edge * edge
    periods: list[Period] = []
    while at <= now_ms:
        period = window.edge if at % body else window.body
        periods.append((period, at))
        at += PERIODS_MS[period]
    return since_ms, periods


@dataclass(slots=True)
class _Sums:
    """What the periods of a window say of one name."""

    counts: dict[str, int] = field(default_factory=dict)
    waited: dict[int, int] = field(default_factory=dict)
    ran: dict[int, int] = field(default_factory=dict)


def groups_of(sums: Mapping[str, int], span_ms: int) -> Iterator[MetricGroup]:
    """The groups, by name, from the summed fields of the rollups. Pure."""
    by_name: dict[str, _Sums] = defaultdict(_Sums)
    for said, amount in sums.items():
        name, separator, measure = said.rpartition(" ")
        if not separator:
            continue  # of all names together: what was lost
        kind, _, bucket = measure.partition(".")
        match kind if bucket else "":
            case "waited":
                by_name[name].waited[int(bucket)] = amount
            case "ran":
                by_name[name].ran[int(bucket)] = amount
            case _:
                by_name[name].counts[measure] = amount
    for name in sorted(by_name):
        yield _group(name, by_name[name], span_ms)


def _group(name: str, sums: _Sums, span_ms: int) -> MetricGroup:
    counts = {status: sums.counts.get(status, 0) for status in TERMINAL}
    count = sum(counts.values())
    judged = count - counts[Status.CANCELLED]
    slots_ms = sums.counts.get("slots_ms")
    return MetricGroup(
        key=name,
        count=count,
        completed=counts[Status.COMPLETED],
        failed=counts[Status.FAILED],
        cancelled=counts[Status.CANCELLED],
        timed_out=counts[Status.TIMED_OUT],
        success_rate=counts[Status.COMPLETED] / judged if judged else None,
        throughput_per_minute=count * 60_000 / span_ms,
        mean_waiting_ms=_mean(sums.counts.get("waited_ms", 0), sums.waited.values()),
        mean_running_ms=_mean(sums.counts.get("ran_ms", 0), sums.ran.values()),
        waiting_ms=_percentiles(sums.waited),
        running_ms=_percentiles(sums.ran),
        utilisation=sums.counts.get("busy_ms", 0) / slots_ms if slots_ms else None,
    )


def _mean(total: int, counted: Iterable[int]) -> float | None:
    number = sum(counted)
    return total / number if number else None


def _percentiles(counts: Mapping[int, int]) -> Percentiles:
    return Percentiles(p50=percentile(counts, 0.5), p90=percentile(counts, 0.9), p99=percentile(counts, 0.99))
