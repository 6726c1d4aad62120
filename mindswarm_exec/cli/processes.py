"""Commands that run one process of the engine. Each is a thin call: the process itself is elsewhere."""

from __future__ import annotations

import os
import sys

import click

from mindswarm_exec.cli import lifeline
from mindswarm_exec.settings import Settings


@click.command()
@click.option("--host", help="Address to bind; default MINDSWARM_API_HOST. Without API keys only loopback.")
@click.option("--port", type=click.IntRange(0, 65535), help="Default: MINDSWARM_API_PORT.")
def api(host: str | None, port: int | None) -> None:
    """Run the API: JSON-RPC over HTTP and WebSocket."""
    lifeline.hold_on()
    from mindswarm_exec.api.server import main

    given = {"api_host": host, "api_port": port}
    changed = {name: value for name, value in given.items() if value is not None}
    main(Settings.from_environment().model_copy(update=changed))


@click.command()
def dispatcher() -> None:
    """Run a dispatcher: it answers the front door for Celery programs, and sweeps when beat is silent."""
    lifeline.hold_on()
    from workers.dispatcher import main

    main(Settings.from_environment())


@click.command()
def beat() -> None:
    """Run the scheduler. Two at once do no harm."""
    lifeline.hold_on()
    from scheduler.beat import main

    main(Settings.from_environment())


@click.command()
@click.option("--address", default="127.0.0.1", envvar="FLOWER_ADDRESS", show_default=True, help="Address to bind.")
@click.option("--port", type=click.IntRange(0, 65535), default=5555, envvar="FLOWER_PORT", show_default=True)
def flower(address: str, port: int) -> None:
    """Run Flower, Celery's dashboard, on the broker: agents are its workers, attempts its tasks.

    FLOWER_BASIC_AUTH=user:password sets a password, which its HTTP API and any address but loopback need.
    """
    lifeline.hold_on()
    from mindswarm_exec.flower import main

    main(Settings.from_environment(), address, port)


@click.command()
@click.argument("target", metavar="MODULE:ATTR")
@click.option("--name", metavar="NAME", help="The agent's name; default: the one it was made with.")
def agent(target: str, name: str | None) -> None:
    """Run an agent: a Celery worker for the Agent object ATTR of MODULE.

    SIGTERM or Ctrl-C drains it: no new work, running work may finish, the rest is handed back.
    """
    lifeline.hold_on()
    sys.path.append(os.getcwd())  # at the end: it is where users keep their modules, not where we look for ours
    from workers.agent import main

    main(target, name, Settings.from_environment())
