"""What has become of an execution, in a sentence that is true of its record."""

from __future__ import annotations

from mindswarm_exec.cli import cells
from mindswarm_exec.lifecycle import Status
from mindswarm_exec.models.records import Execution, Receipt


def what_became_of(execution: Execution) -> str:
    """An execution after a control verb, in a sentence."""
    name, receipt = f"execution {execution.execution_id}", execution.intent
    if receipt is not None and receipt.acknowledged_at is None and not execution.status.is_terminal:
        return _requested(execution, receipt)
    match execution.status:
        case Status.PENDING:
            return f"{name} waits{f': {execution.waiting_for.detail}' if execution.waiting_for else ''}."
        case Status.QUEUED:
            return f"{name} is on its way to agent '{execution.agent_id}'."
        case Status.RUNNING:
            return f"{name} runs on agent '{execution.agent_id}'."
        case Status.PAUSED:
            return _paused(execution)
        case Status.CANCELLED if receipt is not None and receipt.unresponsive:
            return _unresponsive(execution, receipt)
        case _:
            return f"{name} is {execution.status.value.replace('_', ' ')}."


def _requested(execution: Execution, receipt: Receipt) -> str:
    told = f"{receipt.kind} of execution {execution.execution_id} is requested;"
    if receipt.overdue_at is not None:
        seconds = int((receipt.overdue_at - receipt.requested_at).total_seconds())
        return f"{told} no safe point was reached within {seconds} s; the {receipt.kind} stands."
    if execution.is_frozen:
        return f"{told} its frozen process on agent '{execution.agent_id}' is being ended."
    if receipt.kind == "cancel":
        return f"{told} agent '{execution.agent_id}' stops the handler."
    return f"{told} agent '{execution.agent_id}' acts on it at its next safe point."


def _paused(execution: Execution) -> str:
    name, told = execution.execution_id, f"execution {execution.execution_id}"
    if execution.question is not None:
        prompt = cells.clean(execution.question.prompt, 200)
        return f"{told} waits for input: {prompt} Answer it with `mindswarm-exec provide-input {name} JSON`."
    frozen = f", frozen in place on agent '{execution.agent_id}', whose slot it keeps" if execution.is_frozen else ""
    if execution.pause_reason == "budget":
        return f"{told} is paused{frozen}: {budget_told(execution)}"
    return f"{told} is paused{frozen}."


def budget_told(execution: Execution) -> str:
    """Which budget is spent, and how the execution goes on."""
    for meter, found in execution.meters.items():
        if found.limit is not None and found.spent >= found.limit:
            return (
                f"its budget of {meter} is spent, {found.spent:g} of {found.limit:g}. A larger one lets it go on: "
                f"`mindswarm-exec resume {execution.execution_id} --meter {meter}=LIMIT`."
            )
    if execution.parent_id is not None:
        return f"a budget of its parent {execution.parent_id}, or further up, is spent. Raise it there first."
    return "a budget is spent."


def _unresponsive(execution: Execution, receipt: Receipt) -> str:
    told = f"execution {execution.execution_id} is cancelled, but its handler did not stop when it was told to"
    if receipt.slot_released_at is not None:
        return f"{told}; its code has ended by now."
    return f"{told}: agent '{execution.agent_id}' has fenced it, and its slot stays taken until its code ends."
