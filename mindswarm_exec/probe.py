"""Whether a process is fit for service, as health checks of containers ask: the ledger or the API answers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from mindswarm_exec.embedded import ledger_url
from mindswarm_exec.errors import ApiUnavailable, MoveRefused, UnknownAgent
from mindswarm_exec.ledger import reads
from mindswarm_exec.ledger.faces import SyncLedger, connect_sync
from mindswarm_exec.settings import Settings

API_SECONDS = 4.0
#: Where an API that is bound to all addresses answers too.
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  nothing is bound here


def check_api(settings: Settings) -> None:
    """Raises ApiUnavailable unless the API of this machine answers and reaches its ledger."""
    host = EVERYWHERE.get(settings.api_host, settings.api_host)
    url = f"http://{f'[{host}]' if ':' in host else host}:{settings.api_port}/readyz"
    try:
        with build_opener(ProxyHandler({})).open(url, timeout=API_SECONDS):  # no proxy leads to this machine
            return
    except (URLError, OSError) as error:
        raise ApiUnavailable(f"the API at {url} is not ready: {error}.") from None


def check_ledger(settings: Settings) -> None:
    """Raises LedgerUnavailable unless the ledger answers."""
    with _ledger(settings) as ledger:
        ledger.run(reads.server_time_ms())


def check_agent(settings: Settings, agent_id: str) -> None:
    """Raises UnknownAgent or MoveRefused unless the agent holds its lease."""
    with _ledger(settings) as ledger:
        found = ledger.run(reads.agent(agent_id))
    if found is None:
        raise UnknownAgent.of(agent_id)
    if found.record["state"] == "offline":
        raise MoveRefused(
            f"agent {agent_id} is offline: it has left, or does not renew its lease.", agent_id=agent_id
        )


def check_sweeps(settings: Settings, within_seconds: float) -> None:
    """Raises MoveRefused unless somebody has swept lately."""
    with _ledger(settings) as ledger:
        age_ms = ledger.run(reads.sweep_age_ms())
    if age_ms > within_seconds * 1000:
        raise MoveRefused(f"nobody has swept for {within_seconds:g} s: start beat and a dispatcher.")


@contextlib.contextmanager
def _ledger(settings: Settings) -> Iterator[SyncLedger]:
    url, _ = ledger_url(settings)
    ledger = SyncLedger(connect_sync(url, settings), settings)
    try:
        yield ledger
    finally:
        ledger.close()
