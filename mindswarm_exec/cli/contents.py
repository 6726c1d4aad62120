"""The table of contents of the command line: every command, where it is written, and what it does.

`mindswarm-exec --help` reads only this, so that it answers at once; a command's module is imported when the
command is named.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """A command: its name, `module:function` under `mindswarm_exec.cli`, and the first line of its help."""

    name: str
    place: str
    help: str


SECTIONS: dict[str, tuple[Row, ...]] = {
    "Everything on one machine": (
        Row("up", "up:up", "Run everything here, with an embedded Valkey."),
        Row("demo", "demo_command:demo", "Survey a tree of Python code with four agents, killing one on the way."),
    ),
    "One process": (
        Row("api", "processes:api", "Run the API."),
        Row("dispatcher", "processes:dispatcher", "Run a dispatcher: the front door and the sweeps."),
        Row("beat", "processes:beat", "Run the scheduler."),
        Row("agent", "processes:agent", "Run an agent: MODULE:ATTR names the Agent object."),
        Row("flower", "processes:flower", "Run Flower, Celery's dashboard (pip install 'mindswarm-exec[flower]')."),
        Row("probe", "probe_command:probe", "Exit with 0 if a process is fit for service, for health checks."),
    ),
    "Submit and watch": (
        Row("start", "start_command:start", "Start an execution of a task type."),
        Row("watch", "watching:watch", "Follow the events of one execution, or of all."),
    ),
    "Look": (
        Row("get", "looking:get", "Show one execution."),
        Row("list", "looking:list_executions", "List executions, the newest first."),
        Row("history", "looking:history", "Show the record of an execution, or of those that match."),
        Row("explain", "looking:explain", "Say why an execution runs where it does, or why it waits."),
        Row("simulate", "simulating:simulate", "Say what start would do now, perhaps with one more agent."),
        Row("queue", "looking:queue", "Show what waits, and who could take it."),
        Row("agents", "looking:agents", "List the agents."),
        Row("metrics", "looking:metrics", "Show measured times of an execution, or of all in a window."),
    ),
    "Control": (
        Row("pause", "control:pause", "Pause an execution."),
        Row("resume", "control:resume", "Resume a paused execution."),
        Row("provide-input", "control:provide_input", "Answer the question that an execution waits on."),
        Row("cancel", "control:cancel", "Cancel an execution."),
        Row("retry", "control:retry", "Run an ended execution again."),
        Row("cancel-many", "many:cancel_many", "Cancel all executions that match."),
        Row("retry-many", "many:retry_many", "Run all ended executions again that match."),
        Row("agent-sleep", "control:agent_sleep", "Put an agent to sleep."),
        Row("agent-wake", "control:agent_wake", "Wake a sleeping agent."),
        Row("agent-drain", "control:agent_drain", "Let an agent finish its work and take no more."),
    ),
    "Administer": (Row("key", "keys_command:key", "Make, list and revoke API keys."),),
}
ROWS: dict[str, Row] = {row.name: row for rows in SECTIONS.values() for row in rows}
