"""Following events as they happen: `mindswarm-exec watch`, and `start --watch`."""

from __future__ import annotations

from functools import partial
from typing import Any

import click
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from mindswarm_exec.cli import cells, exits
from mindswarm_exec.cli.event_lines import event_line
from mindswarm_exec.cli.exits import Exit
from mindswarm_exec.cli.remote import Remote, read_as, remote
from mindswarm_exec.cli.sentences import what_became_of
from mindswarm_exec.cli.tables import failure, json_text
from mindswarm_exec.errors import InvalidRequest
from mindswarm_exec.models.records import Event, Execution

#: Lines of a result that are shown at the end of a watch.
RESULT_LINES = 30


@click.command()
@click.argument("execution_id", required=False)
@click.option("--type", "event_types", multiple=True, metavar="TYPE", help="Only these; * stands for any text.")
@click.option("--from", "from_event_id", metavar="EVENT_ID", help="Go on after this event; 0 is the oldest kept.")
@remote
def watch(
    remote: Remote, execution_id: str | None, event_types: tuple[str, ...], from_event_id: str | None
) -> int | None:
    """Follow one execution to its end, or all events until Ctrl-C.

    Of one execution the record so far comes first; the exit code is 1 unless it completes. With --json each
    event is a line of JSON.
    """
    if execution_id is not None and (event_types or from_event_id):
        raise InvalidRequest("name one execution, or which events of all: one is watched from its first event on.")
    if execution_id is not None:
        return follow(remote, read_as(Execution, remote.call("execution.get", execution_id=execution_id))).code
    for event in remote.client.events(event_types=event_types, from_event_id=from_event_id):
        remote.screen.record(event.model_dump(mode="json"), partial(event_line, event, full_id=True))
    return None


def follow(remote: Remote, execution: Execution) -> Exit:
    """Show an execution until it has ended, and answer the exit that its end leads to."""
    if execution.waiting_for is not None:  # perhaps for ever: the events alone would not say so
        remote.screen.note(what_became_of(execution))
    try:
        ended = _follow_as_json(remote, execution) if remote.screen.as_json else _follow_with_bar(remote, execution)
    except KeyboardInterrupt:
        name = execution.execution_id
        remote.screen.note(f"no longer watched; it goes on. `mindswarm-exec cancel {name}` ends it.")
        raise
    return exits.OK if ended.status == "completed" else exits.ENDED


def _follow_as_json(remote: Remote, execution: Execution) -> Execution:
    for event in _events_of(remote, execution):
        remote.screen.record(event.model_dump(mode="json"), Text)
    value = remote.call("execution.get", execution_id=execution.execution_id)
    remote.screen.record(value, Text)
    return read_as(Execution, value)


def _follow_with_bar(remote: Remote, execution: Execution) -> Execution:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[message]}", style="dim", markup=False),
    )
    with Progress(*columns, console=remote.screen.out, transient=True) as progress:
        row = progress.add_task(execution.task_type, total=1.0, message="")
        for event in _events_of(remote, execution):
            _show(progress, row, event)
    ended = read_as(Execution, remote.call("execution.get", execution_id=execution.execution_id))
    remote.screen.out.print(_ending(ended))
    return ended


def _show(progress: Progress, row: TaskID, event: Event) -> None:
    """Let an event move the bar; what is more than movement stays on screen above it."""
    match event.event_type:
        case "execution.progress":
            fraction = event.data.get("fraction")
            completed = float(fraction) if isinstance(fraction, int | float) else None
            progress.update(row, completed=completed, message=cells.clean(event.data.get("message") or "", 60))
        case "execution.output":
            chunk = str(event.data.get("text") or "")
            progress.console.print("\n".join(map(cells.clean, chunk.splitlines())), soft_wrap=True)
        case _:
            if event.event_type == "execution.started" and event.context.agent_id:
                progress.update(row, description=f"{_first_word(progress, row)} @{event.context.agent_id}")
            progress.console.print(event_line(event), soft_wrap=True)


def _first_word(progress: Progress, row: TaskID) -> str:
    return progress.tasks[row].description.partition(" ")[0]


def _events_of(remote: Remote, execution: Execution) -> Any:
    return remote.client.handle(execution.execution_id).events()


def _shortened(result: Text, execution_id: str) -> Text:
    """At most a screen of a result, and where the rest is."""
    lines = result.split()
    if len(lines) <= RESULT_LINES:
        return result
    rest = f"\n… {len(lines) - RESULT_LINES} lines more: `mindswarm-exec get {execution_id} --json` has them all"
    return Text("\n").join(lines[:RESULT_LINES]).append(rest, style="dim")


def _ending(execution: Execution) -> Text:
    told = cells.status(execution.status)
    if execution.agent_id:
        told.append(f" on {execution.agent_id}", style="cyan")
    if execution.started_at and execution.finished_at:
        took = (execution.finished_at - execution.started_at).total_seconds() * 1000
        told.append(f" in {cells.duration(took)}", style="dim")
    if execution.error is not None:
        told.append("\n").append_text(failure(execution))
    if execution.result is not None:
        told.append("\n").append_text(_shortened(json_text(execution.result), execution.execution_id))
    return told
