"""`mindswarm-exec start`: submit an execution, and follow it if asked to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from mindswarm_exec.cli import arguments
from mindswarm_exec.cli.remote import Remote, read_as, remote
from mindswarm_exec.cli.sentences import what_became_of
from mindswarm_exec.cli.watching import follow
from mindswarm_exec.errors import InvalidRequest
from mindswarm_exec.models.records import Execution

#: Each option of the command that becomes a field of ExecutionOptions: name on the wire, and how it is read.
_OPTION_FIELDS: dict[str, Callable[[Any], Any]] = {
    "priority": arguments.parse_priority,
    "timeout_seconds": arguments.parse_seconds,
    "queue_timeout_seconds": arguments.parse_seconds,
    "stall_timeout_seconds": arguments.parse_seconds,
    "start_at": lambda text: arguments.parse_instant(text, ahead=True),
    "concurrency_key": str,
    "concurrency_limit": int,
    "tags": list,
}
#: The same for AgentSelectionCriteria.
_CRITERIA_FIELDS: dict[str, Callable[[Any], Any]] = {
    "agent_id": str,
    "preferred_agent_id": str,
    "required_capabilities": list,
    "constraints": lambda texts: [arguments.parse_constraint(text) for text in texts],
    "excluded_agents": list,
    "affinity_key": str,
}

#: Those that go beside the options, as they stand.
_NAMED = ("project_id", "task_id", "parent_id", "idempotency_key", "traceparent")

_ARGUMENTS = (
    click.argument("task_type"),
    click.argument("payload", required=False, metavar="[PAYLOAD_JSON | @FILE | -]"),
    click.option("--priority", metavar="0-9|NAME", help="9 is the most urgent; or low, normal, high, critical."),
    click.option(
        "--timeout", "timeout_seconds", metavar="TIME", help="Bound on one attempt: seconds, or 90s, 15m, 2h."
    ),
    click.option("--queue-timeout", "queue_timeout_seconds", metavar="TIME", help="Bound on waiting for an agent."),
    click.option("--stall-timeout", "stall_timeout_seconds", metavar="TIME", help="Bound on the handler's silence."),
    click.option("--start-at", metavar="WHEN", help="Not before: RFC 3339, or a delay such as 10m."),
    click.option(
        "--max-attempts", type=click.IntRange(1, 1000), help="Try again on failure, up to this many in all."
    ),
    click.option("--tag", "tags", multiple=True, metavar="TAG", help="May be repeated."),
    click.option("--agent", "agent_id", metavar="NAME", help="On this agent if it can do the work, else on any."),
    click.option("--prefer", "preferred_agent_id", metavar="NAME", help="On this agent if it is free."),
    click.option("--require", "required_capabilities", multiple=True, metavar="CAPABILITY", help="May be repeated."),
    click.option("--where", "constraints", multiple=True, metavar="CONDITION", help="On a label: 'gpu_mb>=16000'."),
    click.option("--exclude", "excluded_agents", multiple=True, metavar="NAME", help="Not on this agent."),
    click.option("--affinity", "affinity_key", metavar="KEY", help="Rather where this key last ran."),
    click.option("--concurrency-key", metavar="KEY", help="Share a limit with executions of the same key."),
    click.option("--concurrency-limit", type=click.IntRange(1), help="How many of the key at a time; default 1."),
    click.option("--no-parallel", is_flag=True, help="One execution of its task at a time."),
    click.option("--force-start", is_flag=True, help="May exceed the agent's slots."),
    click.option("--project", "project_id", metavar="NAME", help="Default: default."),
    click.option("--task-id", metavar="ID", help="The task that it belongs to."),
    click.option(
        "--parent", "parent_id", metavar="ID", help="The execution that it is part of, and is cancelled with."
    ),
    click.option("--idempotency-key", metavar="KEY", help="The same key is the same execution, however often sent."),
    click.option(
        "--traceparent",
        envvar="TRACEPARENT",
        metavar="00-…",
        help="The span that it goes on from, as W3C Trace Context writes it; default: TRACEPARENT.",
    ),
    click.option("--options", "more", metavar="JSON", help="Further ExecutionOptions."),
)


def submission(command: Any) -> Any:
    """Give a command the arguments that name a submission."""
    for argument in reversed(_ARGUMENTS):
        command = argument(command)
    return command


@click.command()
@submission
@click.option("--watch", is_flag=True, help="Follow it to its end; exit code 1 unless it completes.")
@remote
def start(remote: Remote, task_type: str, payload: str | None, watch: bool, **given: Any) -> int | None:
    """Start an execution of TASK_TYPE.

    The payload is JSON as it stands, a file with @, or stdin with -. With --watch --json each event is a line of
    JSON, and the last line is the execution as it ended.
    """
    value = remote.call("execution.start", **start_params(task_type, payload, given))
    if watch:
        execution = read_as(Execution, value)
        remote.screen.note(f"started {execution.execution_id}")
        return follow(remote, execution).code
    remote.screen.document(value, lambda: what_became_of(read_as(Execution, value)))
    return None


def start_params(task_type: str, payload: str | None, given: dict[str, Any]) -> dict[str, Any]:
    """The params of `mindswarm.execution.start` for what was typed. What was not given is left out."""
    options = arguments.parse_json_object(given["more"], "--options") if given.get("more") else {}
    options |= _fields(_OPTION_FIELDS, given)
    if given.get("max_attempts"):
        options["retry_policy"] = _within(options, "retry_policy") | {"max_attempts": given["max_attempts"]}
    if given.get("no_parallel"):
        options["allow_parallel"] = False
    if given.get("force_start"):
        options["force_start"] = True
    criteria = _fields(_CRITERIA_FIELDS, given)
    if criteria:
        options["agent"] = _within(options, "agent") | criteria
    named = {name: given.get(name) for name in _NAMED}
    params = {"task_type": task_type, **{name: value for name, value in named.items() if value}}
    if payload is not None:
        params["payload"] = arguments.read_payload(payload)
    return {**params, "options": options} if options else params


def _fields(table: dict[str, Callable[[Any], Any]], given: dict[str, Any]) -> dict[str, Any]:
    return {name: read(given[name]) for name, read in table.items() if given.get(name) not in (None, ())}


def _within(options: dict[str, Any], name: str) -> dict[str, Any]:
    """An object among the options that were typed as JSON. Raises InvalidRequest if it is none."""
    found = options.get(name, {})
    if not isinstance(found, dict):
        raise InvalidRequest(f"--options: {name} takes a JSON object. Correct it, or give all of it there.")
    return found
