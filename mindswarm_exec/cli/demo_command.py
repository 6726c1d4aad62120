"""`mindswarm-exec demo`: the demonstration, within two minutes and without a trace."""

from __future__ import annotations

import os
import sysconfig
import threading
from pathlib import Path

import click
from rich.constrain import Constrain
from rich.text import Text

from mindswarm_exec.cli import exits
from mindswarm_exec.cli.remote import json_option
from mindswarm_exec.cli.screen import Screen
from mindswarm_exec.cli.stop_signals import on_stop
from mindswarm_exec.demo import report
from mindswarm_exec.demo.drive import AGENTS, HARD_SECONDS, VICTIM, Demonstration
from mindswarm_exec.demo.plan import MAX_BYTES, MAX_FILES, Plan, plan_survey, share_of_this_machine

#: Columns. Wider lines than these are hard to follow.
REPORT_WIDTH = 120


@click.command()
@click.argument("path", required=False, type=click.Path(exists=True, path_type=Path))
@click.option("--files", type=click.IntRange(1, 5000), help=f"At most; default {MAX_FILES}, fewer on slow machines.")
@json_option
def demo(path: Path | None, files: int | None, as_json: bool) -> int:
    """Survey a tree of Python code with four agents, killing one of them on the way.

    Before that, a long execution is paused on it, and afterwards resumed on another agent.

    PATH is a directory or a file; without it, the standard library of this Python. Everything runs in a
    temporary directory on loopback and ends by itself within two minutes. The exit code is 0 only if every
    execution completed exactly once, and the paused one went on from its checkpoint.
    """
    screen = Screen(as_json)
    share = 1.0 if files else share_of_this_machine()
    root = path or Path(sysconfig.get_path("stdlib"))
    plan = plan_survey(root, files or round(MAX_FILES * share), round(MAX_BYTES * share))
    screen.note(_introduction(plan))
    outcome = _run_within_bounds(Demonstration(plan, screen.err if as_json else screen.out))
    screen.document(report.document(outcome), lambda: Constrain(report.render(outcome), REPORT_WIDTH))
    return exits.ENDED.code if outcome.objections else exits.OK.code


def _run_within_bounds(demonstration: Demonstration) -> report.Outcome:
    """Run it with Ctrl-C and the hard bound in force."""

    def asked(count: int) -> None:
        demonstration.stop.set()
        if count > 1:
            demonstration.kill()

    def out_of_time() -> None:
        demonstration.abandon()
        os.write(2, f"mindswarm-exec: the demo did not end within {HARD_SECONDS:g} s and was killed\n".encode())
        os._exit(exits.ENDED.code)

    bound = threading.Timer(HARD_SECONDS - demonstration.elapsed(), out_of_time)
    bound.daemon = True
    bound.start()
    try:
        with on_stop(asked):
            return demonstration.run()
    finally:
        bound.cancel()


def _introduction(plan: Plan) -> Text:
    count = f"all {plan.found:,}" if len(plan.files) == plan.found else f"{len(plan.files):,} of {plan.found:,}"
    return Text.assemble(
        ("MindSwarm Exec surveys ", "bold"),
        (str(plan.root), "bold cyan"),
        f"\n  {count} Python files, three executions each and an overview of all: {plan.executions:,}, "
        f"on {len(AGENTS)} agents."
        f"\n  On the way the overview is paused on {VICTIM}, and {VICTIM} is killed with -9."
        "\n  What it held goes on on metrics-2, and so does the overview, from its checkpoint.",
    )
