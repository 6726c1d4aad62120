"""Commands that move every execution that matches."""

from __future__ import annotations

from typing import Any

import click

from mindswarm_exec.cli.control import begin_option, options_param
from mindswarm_exec.cli.criteria import criteria, read_criteria
from mindswarm_exec.cli.remote import Remote, read_as, remote
from mindswarm_exec.models.records import BulkOutcome

_dry_run = click.option("--dry-run", is_flag=True, help="Only count what matches.")


@click.command("cancel-many")
@criteria
@click.option("--reason", metavar="TEXT", help="Why; kept in the records.")
@click.option("--force", is_flag=True, help="Do not wait for handlers: fence them off at once.")
@_dry_run
@remote
def cancel_many(remote: Remote, reason: str | None, force: bool, dry_run: bool, **filters: Any) -> None:
    """Cancel every execution that has not ended and matches, and its children.

    Handlers that run are asked to stop. At least one filter is needed.
    """
    how = {"reason": reason, "force": force or None, "dry_run": dry_run or None}
    _answer(remote, remote.call("execution.cancelMany", **how, **read_criteria(filters)))


@click.command("retry-many")
@criteria
@click.option("--priority", metavar="0-9|NAME", help="With another priority.")
@click.option("--options", metavar="JSON", help="With these ExecutionOptions instead of their own.")
@begin_option
@_dry_run
@remote
def retry_many(
    remote: Remote,
    priority: str | None,
    options: str | None,
    start_from: str | None,
    dry_run: bool,
    **filters: Any,
) -> None:
    """Run every execution again that failed, was cancelled or timed out, and matches.

    At least one filter is needed.
    """
    how = {"options": options_param(priority, options), "from": start_from, "dry_run": dry_run or None}
    _answer(remote, remote.call("execution.retryMany", **how, **read_criteria(filters)))


def what_was_done(outcome: BulkOutcome) -> str:
    """The counts, in a sentence."""
    matched = _counted(outcome.matched)
    if outcome.matched == 0:
        return f"no execution matches, so nothing is to be {_DONE[outcome.verb][0]}."
    if outcome.dry_run:
        return f"{matched} would be {_DONE[outcome.verb][0]}; nothing was done."
    told = f"{outcome.done} of {matched} {'was' if outcome.done == 1 else 'were'} {_DONE[outcome.verb][1]}"
    return f"{told}; {outcome.refused} had moved on meanwhile." if outcome.refused else f"{told}."


#: What a verb does to an execution: what it would do, and what it has done.
_DONE = {"cancel": ("cancelled", "cancelled, or asked to stop"), "retry": ("brought back", "brought back")}


def _counted(count: int) -> str:
    return f"{count} execution{'' if count == 1 else 's'}"


def _answer(remote: Remote, value: Any) -> None:
    remote.screen.document(value, lambda: what_was_done(read_as(BulkOutcome, value)))
