"""`mindswarm-exec up`: everything on one machine until it is told to stop."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from mindswarm_exec.cli.remote import json_option
from mindswarm_exec.cli.screen import Screen
from mindswarm_exec.cli.stack import AgentPlan, Stack
from mindswarm_exec.cli.stop_signals import on_stop
from mindswarm_exec.settings import Settings

#: Seconds between two looks at the children.
LOOK_SECONDS = 0.5


@click.command()
@click.option(
    "--agent", "agents", multiple=True, metavar="[NAME=]MODULE:ATTR", help="Run this agent too. May be repeated."
)
@click.option("--port", type=click.IntRange(1, 65535), help="Of the API; default: MINDSWARM_API_PORT.")
@click.option("--data-dir", type=click.Path(file_okay=False, path_type=Path), help="Default: .mindswarm")
@json_option
def up(agents: tuple[str, ...], port: int | None, data_dir: Path | None, as_json: bool) -> None:
    """Run everything here: an embedded Valkey, the API, a dispatcher, beat, and agents.

    What ends is started again. Ctrl-C or SIGTERM stops all in order: agents drain first. MINDSWARM_REDIS_URL
    names a server of your own instead of the embedded one. With --json, each line of news is a JSON object.
    """
    given = {"api_port": port, "data_dir": data_dir}
    changed = {name: value for name, value in given.items() if value is not None}
    settings = Settings.from_environment().model_copy(update=changed)
    screen = Screen(as_json)
    stack = Stack(settings, [AgentPlan.parse(text) for text in agents], lambda line: _tell(screen, "news", line))
    _run_until_stopped(stack, screen)


def _run_until_stopped(stack: Stack, screen: Screen) -> None:
    stop = threading.Event()

    def asked(count: int) -> None:
        # never an exception out of a handler: between the start of a process and its record it would lose it
        stop.set()
        if count > 1:
            stack.kill()

    with on_stop(asked):
        _tell(screen, "starting", "starting …")
        stack.start(stop)
        try:
            _announce(stack, screen)
            while not stop.wait(LOOK_SECONDS):
                stack.supervise()
            _tell(screen, "stopping", "stopping: agents finish or hand back their work. Ctrl-C once more kills them.")
        finally:
            stack.stop()
        _tell(screen, "stopped", "stopped")


def _announce(stack: Stack, screen: Screen) -> None:
    facts: dict[str, Any] = {"event": "ready", "api_url": stack.url, "logs": str(stack.logs)}
    facts["pids"] = {child.name: child.pid for child in (*stack.services, *stack.agents)}
    names = ", ".join(child.name.removeprefix("agent ") for child in stack.agents)
    screen.record(
        facts,
        lambda: Text.assemble(
            ("ready", "bold green"),
            f"  the API is at {stack.url}\n",
            f"       agents: {names}\n" if names else "       no agents yet: `mindswarm-exec agent MODULE:ATTR`\n",
            f"       logs in {stack.logs}, data in {stack.settings.data_dir}\n",
            "       Ctrl-C stops everything",
        ),
    )


def _tell(screen: Screen, event: str, line: str) -> None:
    screen.record({"event": event, "message": line}, lambda: Text(line, style="dim"))
