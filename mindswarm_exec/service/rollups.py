"""Rollups: what ended in a window, from counts of minutes, hours and days; no execution is read for it."""

from __future__ import annotations

from mindswarm_exec.errors import InvalidRequest
from mindswarm_exec.ledger import operations
from mindswarm_exec.ledger.faces import AsyncLedger
from mindswarm_exec.ledger.operations import Operation
from mindswarm_exec.ledger.plans import Plan, carry_out_awaited
from mindswarm_exec.ledger.replies import Rolled
from mindswarm_exec.models.records import MetricWindow, instant
from mindswarm_exec.service.folding import GROUPS, WINDOWS, Folder, fold_all, hours_over
from mindswarm_exec.service.sums import Sum, groups_of
from mindswarm_exec.settings import Settings

#: Events read by one script, which holds the server for a few milliseconds.
MOST_EVENTS = 250
#: An hour that is over for this long and not folded: nobody else does it.
PATIENCE_MS = 600_000


def roll_up_some(settings: Settings) -> Operation[Rolled]:
    """The ledger operation that counts some of what ended since the last time."""
    return operations.roll_up(MOST_EVENTS, round(settings.rollup_minutes_retention_seconds * 1000))


def add_up(rolled: Rolled, settings: Settings) -> Plan[None]:
    """Bring every sum up to date, so that whoever looks has little to add."""
    yield from fold_all(rolled, settings)
    for group in GROUPS:
        for window in WINDOWS:
            yield from Folder(group, rolled, settings).window(window)


def add_up_minute(rolled: Rolled, settings: Settings) -> Plan[None]:
    """Add up the open minute, if much was counted in it."""
    for group in GROUPS:
        yield from Folder(group, rolled, settings).open_minute()


class Rollups:
    """Answers from the rollups. Nothing is kept in the process."""

    def __init__(self, ledger: AsyncLedger) -> None:
        self._ledger = ledger

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
        found = None
        while found is None:
            rolled = await self._ledger.run(roll_up_some(self._ledger.settings))
            found = await carry_out_awaited(self._ledger, self._sum(rolled, window, group_by))
        since_ms = WINDOWS[window].since_ms(rolled.now_ms)
        since, until = instant(since_ms), instant(rolled.now_ms)
        assert since is not None
        assert until is not None
        return MetricWindow(
            window=window,
            group_by=group_by,
            since=since,
            until=until,
            groups=groups_of(found, rolled.now_ms - since_ms),
            behind=rolled.behind,
            lost=found.lost,
        )

    def _sum(self, rolled: Rolled, window: str, group_by: str) -> Plan[Sum | None]:
        settings = self._ledger.settings
        if any(hour + PATIENCE_MS < rolled.minute_ms for hour in hours_over(rolled)):
            yield from fold_all(rolled, settings)  # no beat runs
        return (yield from Folder(group_by, rolled, settings).window(window))
