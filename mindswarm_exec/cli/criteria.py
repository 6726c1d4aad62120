"""Options that choose executions, the same for each command that lists or moves several."""

from __future__ import annotations

from typing import Any

import click

from mindswarm_exec.cli.arguments import parse_instant
from mindswarm_exec.lifecycle import Status

_STATES = click.Choice([status.value for status in Status])

_OPTIONS = (
    click.option("--status", type=_STATES, multiple=True, help="In this state. May be repeated."),
    click.option("--agent", "agent_id", metavar="NAME", help="On this agent."),
    click.option("--task-type", metavar="TYPE", help="Of this task type."),
    click.option("--task-id", metavar="ID", help="Of this task."),
    click.option("--project", "project_id", metavar="NAME", help="Of this project."),
    click.option("--tag", metavar="TAG", help="With this tag."),
    click.option("--parent", "parent_id", metavar="ID", help="Children of this execution."),
    click.option("--since", metavar="WHEN", help="In this state since: RFC 3339, or an age such as 15m."),
    click.option("--until", metavar="WHEN", help="In this state before."),
)


def criteria(command: Any) -> Any:
    """Give a command the options."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def read_criteria(given: dict[str, Any]) -> dict[str, Any]:
    """What was typed as params: instants in RFC 3339, what was not given left out."""
    params = {name: value for name, value in given.items() if value not in (None, ())}
    for name in ("since", "until"):
        if name in params:
            params[name] = parse_instant(params[name])
    return params
