"""Commands that look and change nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import RenderableType

from mindswarm_exec.cli import tables
from mindswarm_exec.cli.criteria import criteria, read_criteria
from mindswarm_exec.cli.decisions import explanation
from mindswarm_exec.cli.event_lines import history_table
from mindswarm_exec.cli.execution_sheet import sheet
from mindswarm_exec.cli.exporting import export
from mindswarm_exec.cli.remote import Remote, read_as, remote
from mindswarm_exec.errors import InvalidRequest
from mindswarm_exec.models import records
from mindswarm_exec.models.explanations import Explanation

#: What the API tells at once if no limit is given.
PAGE = 50


def _pages(command: Any) -> Any:
    """Options that turn the pages of a listing."""
    limit = click.option("--limit", type=click.IntRange(1, 500), help="At most; default 50.")
    return limit(click.option("--cursor", metavar="CURSOR", help="Go on where the last page ended.")(command))


@click.command()
@click.argument("execution_id")
@remote
def get(remote: Remote, execution_id: str) -> None:
    """Show one execution: state, agent, progress, times, payload, result or error."""
    value = remote.call("execution.get", execution_id=execution_id)
    remote.screen.document(value, lambda: sheet(read_as(records.Execution, value), _now()))


@click.command("list")
@criteria
@_pages
@remote
def list_executions(remote: Remote, **filters: Any) -> None:
    """List executions, the newest first."""
    value = _page(remote, "execution.list", read_criteria(filters))
    remote.screen.document(value, lambda: _listing(remote, read_as(records.ExecutionPage, value).executions))
    _note_more(remote, value)


@click.command()
@click.argument("execution_id", required=False)
@criteria
@_pages
@click.option("--export", "form", type=click.Choice(["csv", "jsonl"]), help="Print all pages, one execution a line.")
@remote
def history(remote: Remote, execution_id: str | None, form: str | None, **filters: Any) -> None:
    """Show the record of one execution, oldest event first; or the executions that match, newest first."""
    wire = read_criteria(filters)
    if execution_id is not None and (wire or form):
        raise InvalidRequest("name one execution or filters, not both: an execution's record is one list.")
    if form is not None:
        export(remote, form, wire)
        return
    if execution_id is None:
        value = _page(remote, "execution.getHistory", wire)
    else:
        value = remote.call("execution.getHistory", execution_id=execution_id)
    remote.screen.document(value, lambda: _record(remote, read_as(records.ExecutionHistory, value)))
    _note_more(remote, value)


@click.command()
@click.argument("execution_id")
@remote
def explain(remote: Remote, execution_id: str) -> None:
    """Say why an execution runs where it does, or why it waits; and how every agent stands to it now."""
    value = remote.call("execution.explain", execution_id=execution_id)
    remote.screen.document(value, lambda: explanation(read_as(Explanation, value)))


@click.command()
@click.option("--project", "project_id", metavar="NAME", help="Of this project only.")
@remote
def queue(remote: Remote, project_id: str | None) -> None:
    """Show what waits, by priority and by need, and who could take it."""
    value = remote.call("execution.getQueueStatus", project_id=project_id)
    remote.screen.document(value, lambda: tables.queue(read_as(records.QueueStatus, value)))


@click.command()
@click.argument("agent_id", required=False)
@remote
def agents(remote: Remote, agent_id: str | None) -> None:
    """List the agents: state, load, what they can do and what they hold. AGENT_ID: only this one."""
    if agent_id is not None:
        value = remote.call("agent.get", agent_id=agent_id)
        found = [value]
    else:
        value = remote.call("agent.list")
        found = value["agents"] if isinstance(value, dict) else value
    remote.screen.document(
        value, lambda: tables.agents([read_as(records.AgentRecord, entry) for entry in found], _now())
    )


@click.command()
@click.argument("execution_id", required=False)
@click.option("--window", type=click.Choice(["5m", "1h", "24h", "7d", "30d"]), help="Ended within; default 1h.")
@click.option(
    "--group-by", type=click.Choice(["agent", "task_type", "project", "status"]), help="Default: task_type."
)
@remote
def metrics(remote: Remote, execution_id: str | None, window: str | None, group_by: str | None) -> None:
    """Show measured times of one execution, or counts, rates and times of those that ended in a window."""
    if execution_id is None:
        value = remote.call("execution.getMetrics", window=window or "1h", group_by=group_by or "task_type")
        width = remote.screen.out.width
        remote.screen.document(value, lambda: tables.window(read_as(records.MetricWindow, value), width))
    elif window or group_by:
        raise InvalidRequest("name one execution or a window with its grouping, not both.")
    else:
        value = remote.call("execution.getMetrics", execution_id=execution_id)
        remote.screen.document(value, lambda: tables.metrics(read_as(records.ExecutionMetrics, value)))


def _listing(remote: Remote, found: Sequence[records.Execution]) -> RenderableType:
    return tables.executions(found, _now(), remote.screen.out.width)


def _record(remote: Remote, found: records.ExecutionHistory) -> RenderableType:
    return history_table(found.entries) if found.execution_id else _listing(remote, found.executions)


def _page(remote: Remote, method: str, wire: dict[str, Any]) -> Any:
    """A page as full as it was asked for: a call looks at so many executions only, however few of them match."""
    most = wire.get("limit", PAGE)
    page = remote.call(method, **wire)
    while page.get("next_cursor") and not page.get("missing") and len(page["executions"]) < most:
        begin = {"limit": most - len(page["executions"]), "cursor": page["next_cursor"]}
        more = remote.call(method, **wire | begin)
        page = more | {"executions": [*page["executions"], *more["executions"]]}
    return page


def _note_more(remote: Remote, value: Any) -> None:
    if isinstance(value, dict) and value.get("missing"):
        remote.screen.note(f"what was archived is missing: {value['missing']}")
    cursor = value.get("next_cursor") if isinstance(value, dict) else None
    if cursor:
        remote.screen.note(f"there are more: --cursor {cursor}")


def _now() -> datetime:
    return datetime.now(UTC)
