"""`mindswarm-exec simulate`: what `start` would do now."""

from __future__ import annotations

from typing import Any

import click

from mindswarm_exec.cli.arguments import parse_json_object
from mindswarm_exec.cli.decisions import simulation
from mindswarm_exec.cli.remote import Remote, read_as, remote
from mindswarm_exec.cli.start_command import start_params, submission
from mindswarm_exec.models.explanations import Simulation


@click.command()
@submission
@click.option(
    "--with-agent", metavar="JSON", help="One more agent: task_types, capabilities, labels, max_concurrent, agent_id."
)
@remote
def simulate(remote: Remote, task_type: str, payload: str | None, with_agent: str | None, **given: Any) -> None:
    """Say what `start` would do now with the same arguments. Nothing is written.

    With --with-agent, as if such an agent had just opened: it takes up what waits already before anything new.
    """
    params = start_params(task_type, payload, given)
    if with_agent is not None:
        params["with_agent"] = parse_json_object(with_agent, "--with-agent")
    value = remote.send("execution.simulate", params)
    remote.screen.document(value, lambda: simulation(read_as(Simulation, value)))
