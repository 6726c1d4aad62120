"""All pages of the history as lines of a file: CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

import click

from mindswarm_exec.cli.remote import Remote

#: Executions asked for at once.
PAGE = 500
COLUMNS = (
    *("execution_id", "status", "task_type", "project_id", "task_id", "parent_id", "agent_id", "attempt"),
    *("priority", "created_at", "started_at", "finished_at", "error"),
)


def export(remote: Remote, form: str, wire: dict[str, Any]) -> None:
    """Print every execution that matches, or the first `limit` of them, page by page as they come."""
    if form == "csv":
        click.echo(_csv_line(COLUMNS), nl=False)
    for execution in islice(_every(remote, wire | {"limit": PAGE}), wire.get("limit")):
        click.echo(_csv_line(_cells(execution)) if form == "csv" else json.dumps(execution) + "\n", nl=False)


def _every(remote: Remote, wire: dict[str, Any]) -> Iterator[dict[str, Any]]:
    while True:
        page = remote.call("execution.getHistory", **wire)
        yield from page["executions"]
        if page.get("next_cursor") is None:
            return
        wire = wire | {"cursor": page["next_cursor"]}


def _cells(execution: dict[str, Any]) -> list[Any]:
    error = execution.get("error") or {}
    told = execution | {"error": error.get("kind")}
    return [_harmless(told.get(name)) for name in COLUMNS]


def _harmless(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@")) else value


def _csv_line(cells: Any) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()
