"""Commands that change an execution or an agent. Each says what has become of it, not what was asked."""

from __future__ import annotations

from typing import Any

import click

from mindswarm_exec.cli.arguments import parse_json_object, parse_priority, read_payload
from mindswarm_exec.cli.remote import Remote, read_as, remote
from mindswarm_exec.lifecycle import Status
from mindswarm_exec.models.records import AgentRecord, Execution

_reason = click.option("--reason", metavar="TEXT", help="Why; kept in the record.")
_execution = click.argument("execution_id")
_agent = click.argument("agent_id")


@click.command()
@_execution
@_reason
@remote
def pause(remote: Remote, execution_id: str, reason: str | None) -> None:
    """Pause an execution.

    A running handler stops at its next checkpoint; until then the answer is that the pause is requested.
    """
    _answer(remote, remote.call("execution.pause", execution_id=execution_id, reason=reason))


@click.command()
@_execution
@_reason
@click.option("--checkpoint", metavar="JSON", help="Continue from this state instead: JSON, @file or -.")
@remote
def resume(remote: Remote, execution_id: str, reason: str | None, checkpoint: str | None) -> None:
    """Resume a paused execution, on whichever agent is best now."""
    params: dict[str, Any] = {"execution_id": execution_id}
    if reason is not None:
        params["reason"] = reason
    if checkpoint is not None:
        params["checkpoint"] = read_payload(checkpoint)  # `null` is a checkpoint too: it starts anew
    _answer(remote, remote.send("execution.resume", params))


@click.command()
@_execution
@_reason
@click.option("--force", is_flag=True, help="Do not wait for the handler: fence it off at once.")
@remote
def cancel(remote: Remote, execution_id: str, reason: str | None, force: bool) -> None:
    """Cancel an execution.

    A running handler is interrupted and may clean up; until it has ended the answer is that the cancel is
    requested.
    """
    answer = remote.call("execution.cancel", execution_id=execution_id, reason=reason, force=force or None)
    _answer(remote, answer)


@click.command()
@_execution
@click.option("--priority", metavar="0-9|NAME", help="With another priority.")
@click.option("--options", metavar="JSON", help="With these ExecutionOptions instead of its own.")
@remote
def retry(remote: Remote, execution_id: str, priority: str | None, options: str | None) -> None:
    """Run an execution again that failed, was cancelled or timed out."""
    changed = parse_json_object(options, "--options") if options else {}
    if priority is not None:
        changed["priority"] = parse_priority(priority)
    _answer(remote, remote.call("execution.retry", execution_id=execution_id, options=changed or None))


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


def what_became_of(execution: Execution) -> str:
    """An execution after a control verb, in a sentence."""
    name, receipt = f"execution {execution.execution_id}", execution.intent
    if receipt is not None and receipt.acknowledged_at is None and not execution.status.is_terminal:
        return (
            f"{receipt.kind} of {name} is requested; agent '{execution.agent_id}' acts on it at its next safe point."
        )
    match execution.status:
        case Status.PENDING:
            waits = f": {execution.waiting_for.detail}" if execution.waiting_for else ""
            return f"{name} waits for an agent{waits}."
        case Status.QUEUED:
            return f"{name} is on its way to agent '{execution.agent_id}'."
        case Status.RUNNING:
            return f"{name} runs on agent '{execution.agent_id}'."
        case _:
            return f"{name} is {execution.status.value.replace('_', ' ')}."


def what_became_of_agent(agent: AgentRecord) -> str:
    """An agent after a control verb, in a sentence."""
    holds = f" and holds {len(agent.held)} executions" if agent.held else ""
    if agent.state == "waking":
        return f"agent '{agent.agent_id}' is waking{holds}; it takes work when its hooks have run."
    return f"agent '{agent.agent_id}' is {agent.state}{holds}."


def _answer(remote: Remote, value: Any) -> None:
    remote.screen.document(value, lambda: what_became_of(read_as(Execution, value)))


def _answer_agent(remote: Remote, value: Any) -> None:
    remote.screen.document(value, lambda: what_became_of_agent(read_as(AgentRecord, value)))
