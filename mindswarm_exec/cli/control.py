"""Commands that change an execution or an agent. Each says what has become of it, not what was asked."""

from __future__ import annotations

import time
from typing import Any

import click

from mindswarm_exec.cli.arguments import parse_json_object, parse_meters, parse_priority, parse_seconds, read_payload
from mindswarm_exec.cli.remote import Remote, read_as, remote
from mindswarm_exec.cli.sentences import what_became_of
from mindswarm_exec.errors import MoveRefused, ResultNotReady
from mindswarm_exec.models.records import AgentRecord, Execution

_reason = click.option("--reason", metavar="TEXT", help="Why; kept in the record.")
_execution = click.argument("execution_id")
_agent = click.argument("agent_id")
_wait = click.option(
    "--wait", metavar="TIME", help="Wait until it is obeyed, at most this long: seconds, or 90s, 2m. Else exit 1."
)
#: Where a retry begins.
begin_option = click.option(
    "--from",
    "start_from",
    type=click.Choice(["checkpoint", "start"]),
    help="Go on from the checkpoint (default), or start anew.",
)

#: How often an execution is looked at while its receipt is waited for.
POLL_SECONDS = 0.1


@click.command()
@_execution
@_reason
@_wait
@remote
def pause(remote: Remote, execution_id: str, reason: str | None, wait: str | None) -> None:
    """Pause an execution.

    A running handler stops at its next checkpoint; until then the answer is that the pause is requested.
    """
    seconds = _seconds(wait)
    value = remote.call("execution.pause", execution_id=execution_id, reason=reason)
    _answer(remote, value if seconds is None else await_receipt(remote, value, seconds))


@click.command()
@_execution
@_reason
@click.option("--checkpoint", metavar="JSON", help="Continue from this state instead: JSON, @file or -.")
@click.option("--meter", "meters", multiple=True, metavar="NAME=LIMIT", help="New limit of a budget; repeatable.")
@remote
def resume(
    remote: Remote, execution_id: str, reason: str | None, checkpoint: str | None, meters: tuple[str, ...]
) -> None:
    """Resume a paused execution, on whichever agent is best now; one frozen in place goes on there."""
    params: dict[str, Any] = {"execution_id": execution_id}
    if reason is not None:
        params["reason"] = reason
    if checkpoint is not None:
        params["checkpoint"] = read_payload(checkpoint)  # `null` is a checkpoint too: it starts anew
    if meters:
        params["meters"] = parse_meters(meters)
    _answer(remote, remote.send("execution.resume", params))


@click.command("provide-input")
@_execution
@click.argument("answer", metavar="JSON | @FILE | -")
@click.option("--question", "question_id", metavar="ID", help="The question that is meant; else the open one.")
@remote
def provide_input(remote: Remote, execution_id: str, answer: str, question_id: str | None) -> None:
    """Answer the question that an execution waits on. It goes on where it was, if that agent can take it."""
    params: dict[str, Any] = {"execution_id": execution_id, "input": read_payload(answer)}
    if question_id is not None:
        params["question_id"] = question_id
    _answer(remote, remote.send("execution.provideInput", params))


@click.command()
@_execution
@_reason
@click.option("--force", is_flag=True, help="Do not wait for the handler: fence it off at once.")
@_wait
@remote
def cancel(remote: Remote, execution_id: str, reason: str | None, force: bool, wait: str | None) -> None:
    """Cancel an execution.

    A running handler is interrupted and may clean up; until it has ended the answer is that the cancel is
    requested.
    """
    seconds = _seconds(wait)
    value = remote.call("execution.cancel", execution_id=execution_id, reason=reason, force=force or None)
    _answer(remote, value if seconds is None else await_receipt(remote, value, seconds))


@click.command()
@_execution
@click.option("--priority", metavar="0-9|NAME", help="With another priority.")
@click.option("--options", metavar="JSON", help="With these ExecutionOptions instead of its own.")
@begin_option
@remote
def retry(
    remote: Remote, execution_id: str, priority: str | None, options: str | None, start_from: str | None
) -> None:
    """Run an execution again that failed, was cancelled or timed out."""
    how = {"options": options_param(priority, options), "from": start_from}
    _answer(remote, remote.call("execution.retry", execution_id=execution_id, **how))


@click.command("agent-sleep")
@_agent
@remote
def agent_sleep(remote: Remote, agent_id: str) -> None:
    """Put an agent to sleep. Urgent work that finds nobody free wakes it, as does any that only it can do."""
    _answer_agent(remote, remote.call("agent.sleep", agent_id=agent_id))


@click.command("agent-wake")
@_agent
@remote
def agent_wake(remote: Remote, agent_id: str) -> None:
    """Wake a sleeping agent."""
    _answer_agent(remote, remote.call("agent.wake", agent_id=agent_id))


@click.command("agent-drain")
@_agent
@remote
def agent_drain(remote: Remote, agent_id: str) -> None:
    """Let an agent finish its work and take no more."""
    _answer_agent(remote, remote.call("agent.drain", agent_id=agent_id))


def options_param(priority: str | None, options: str | None) -> dict[str, Any] | None:
    """The options that a retry is to have; None: those it had."""
    changed = parse_json_object(options, "--options") if options else {}
    if priority is not None:
        changed["priority"] = parse_priority(priority)
    return changed or None


def await_receipt(remote: Remote, value: Any, seconds: float) -> Any:
    """Ask until the wish is obeyed or the execution has ended; its record then.

    Raises:
        ResultNotReady: neither happened within `seconds`. The wish stands.
        MoveRefused: the wish was withdrawn.
    """
    execution = read_as(Execution, value)
    wished = execution.intent
    deadline = time.monotonic() + seconds
    while wished is not None and not _is_settled(execution):
        if execution.intent is None:
            raise MoveRefused(f"the {wished.kind} was withdrawn: {what_became_of(execution)}")
        if time.monotonic() >= deadline:
            raise ResultNotReady(f"{what_became_of(execution)} Waited {seconds:g} s; the {wished.kind} stands.")
        time.sleep(min(POLL_SECONDS, max(0.0, deadline - time.monotonic())))
        value = remote.call("execution.get", execution_id=execution.execution_id)
        execution = read_as(Execution, value)
    return value


def _is_settled(execution: Execution) -> bool:
    receipt = execution.intent
    return execution.status.is_terminal or (receipt is not None and receipt.acknowledged_at is not None)


def _seconds(wait: str | None) -> float | None:
    return None if wait is None else parse_seconds(wait)


def what_became_of_agent(agent: AgentRecord) -> str:
    """An agent after a control verb, in a sentence."""
    held = len(agent.held)
    holds = f" and holds {held} execution{'s' if held > 1 else ''}" if held else ""
    if agent.state == "waking":
        return f"agent '{agent.agent_id}' is waking{holds}; it takes work when its hooks have run."
    return f"agent '{agent.agent_id}' is {agent.state}{holds}."


def _answer(remote: Remote, value: Any) -> None:
    remote.screen.document(value, lambda: what_became_of(read_as(Execution, value)))


def _answer_agent(remote: Remote, value: Any) -> None:
    remote.screen.document(value, lambda: what_became_of_agent(read_as(AgentRecord, value)))
