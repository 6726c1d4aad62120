"""The verbs of the product, over the ledger; knows no HTTP and no Celery."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from mindswarm_exec.archive.opening import open_archive
from mindswarm_exec.ledger.api_keys import ApiKeyStore
from mindswarm_exec.ledger.event_log import EventLog
from mindswarm_exec.ledger.faces import AsyncLedger, SyncLedger, connect_async, connect_sync
from mindswarm_exec.service.agents import AgentManager
from mindswarm_exec.service.api_keys import ApiKeys
from mindswarm_exec.service.archived import ArchivedRecords
from mindswarm_exec.service.background import SweepsIfSilent
from mindswarm_exec.service.events import EventService
from mindswarm_exec.service.executions import ExecutionService, Publisher
from mindswarm_exec.service.monitoring import Monitoring
from mindswarm_exec.service.tasks import TaskService
from mindswarm_exec.settings import Settings

__all__ = ["AgentManager", "EventService", "ExecutionService", "Services", "TaskService", "open_services"]


@dataclass(frozen=True)
class Services:
    """All services of one process, on one connection pool."""

    executions: ExecutionService
    agents: AgentManager
    tasks: TaskService
    events: EventService
    keys: ApiKeys
    monitoring: Monitoring


@asynccontextmanager
async def open_services(
    url: str, settings: Settings, publisher: Publisher | None = None, *, test_clock: bool = False
) -> AsyncIterator[Services]:
    """The services on the ledger at `url`; `publisher` is needed where the broker is another server.

    `test_clock`: the scripts' clock is the server's plus what a test has put it forward by.
    """
    client = connect_async(url, settings)
    ledger = AsyncLedger(client, settings, test_clock=test_clock)
    sweeping = SyncLedger(connect_sync(url, settings), settings, test_clock=test_clock)
    background = SweepsIfSilent(sweeping, publisher)
    archive = open_archive(settings)
    older = ArchivedRecords(archive, ledger) if archive is not None else None
    services = Services(
        executions=ExecutionService(ledger, settings, publisher, background, older),
        agents=AgentManager(ledger, publisher),
        tasks=TaskService(ledger, settings),
        events=EventService(EventLog(client, settings.namespace), settings),
        keys=ApiKeys(ApiKeyStore(client, settings.namespace)),
        monitoring=Monitoring(ledger),
    )
    try:
        yield services
    finally:
        await services.events.stop()
        await services.executions.stop()
        if archive is not None:
            archive.close()
        sweeping.close()
        await ledger.close()
