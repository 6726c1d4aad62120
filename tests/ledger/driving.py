"""Steps that tests by hand are made of: submit, control, freeze, and look at what became of it."""

from __future__ import annotations

from typing import Any

from mindswarm_exec.identifiers import new_nonce
from mindswarm_exec.ledger import operations
from mindswarm_exec.ledger.operations import Settlement
from mindswarm_exec.ledger.replies import Done, Offline
from mindswarm_exec.lifecycle import PAUSE, Status
from mindswarm_exec.models.options import ExecutionOptions
from mindswarm_exec.service.sweeps import settle_lost
from tests.ledger.model import ModelAttempt
from tests.ledger.snapshot import Record
from tests.ledger.world import World

QUESTION = {"question": "{}", "question_id": "where"}


def submitted(world: World, parent_id: str | None = None, **options: object) -> str:
    execution_id = world.submit("t", ExecutionOptions.model_validate(options), parent_id=parent_id)
    assert execution_id is not None
    return execution_id


def record(world: World, execution_id: str) -> Record:
    return world.snapshot().executions[execution_id]


def status(world: World, execution_id: str) -> Status:
    return world.snapshot().status_of(execution_id)


def ask(world: World, verb: str, execution_id: str) -> Any:
    """Send a control verb; what it is answered with."""
    request = new_nonce()
    match verb:
        case "pause":
            operation: Any = operations.pause(execution_id, request, "", "{}")
        case "resume":
            operation = operations.resume(execution_id, request, "{}", {})
        case "retry":
            operation = operations.retry(execution_id, request, "{}", {})
        case _:
            error = '{"kind":"cancelled_by"}'
            operation = operations.cancel(execution_id, request, "", force=verb == "force", error=error, data="{}")
    return world.run(operation)


def control(world: World, verb: str, execution_id: str) -> None:
    assert isinstance(ask(world, verb, execution_id), Done)


def frozen(world: World, **options: object) -> ModelAttempt:
    """A frozen attempt."""
    attempt = world.running(submitted(world, **options))
    control(world, "pause", attempt.execution_id)
    assert world.run(operations.freeze(attempt.held, "{}")) == Done("")
    return attempt


def parked(world: World, **options: object) -> ModelAttempt:
    """An attempt that has parked its execution on a question."""
    attempt = world.running(submitted(world, **options))
    world.settle(attempt, Settlement(PAUSE), fields=QUESTION)
    return attempt


def answer(world: World, execution_id: str, question_id: str = "where") -> Any:
    return world.run(operations.provide_input(execution_id, new_nonce(), question_id, "true", "{}"))


def meter(world: World, attempt: ModelAttempt, amount: float, twice: bool = False) -> Any:
    return world.run(operations.meter(attempt.held, new_nonce(), "tokens", amount), twice)


def budget(limit: float) -> dict[str, Any]:
    """Options that limit what may be spent."""
    return {"resource_limits": {"meters": {"tokens": limit}}}


def events(world: World, execution_id: str) -> list[str]:
    """The types of its events so far, without their prefix."""
    world.read_events()
    return [event.event_type.removeprefix("execution.") for event in world.model.executions[execution_id].events]


def lose_agent(world: World, agent_id: str = "ant") -> None:
    """The agent is not heard of for a lease; what it held is settled."""
    world.advance(16)
    reply = world.expire_lease(agent_id)
    assert isinstance(reply, Offline)
    settle_lost(world.ledger, agent_id, reply.lost, "it is gone")
