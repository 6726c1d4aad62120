"""Every error a caller of the engine can meet.

    MindSwarmError                     something of ours went wrong
    ├── InvalidRequest                 the request is malformed; change it
    │   └── PayloadTooLarge            ... because it is too large
    ├── NotFound                       the thing named does not exist; check the name
    │   ├── UnknownExecution
    │   ├── UnknownAgent
    │   └── UnknownTask
    ├── MoveRefused                    the thing exists but its state forbids the move
    │   ├── AlreadyAnswered            ... because another answer came first; it counts
    │   └── PauseNotObeyed             ... because it still runs towards its pause; wait until it is paused
    ├── StaleAttempt                   another attempt has taken over; stop working on it
    ├── Unauthenticated                no valid API key; present one
    ├── Forbidden                      the key does not open this project
    ├── LedgerUnavailable              the ledger did not answer; try again with the same idempotency key
    │   ├── LedgerFull                 it answers but cannot take more work; wait, or make room
    │   └── ArchiveUnavailable         it answers but the archive of what has ended does not; look again later
    ├── ApiUnavailable                 the API did not answer (client side)
    ├── ResultNotReady                 the wait ended before the execution did (client side)
    └── ExecutionNotCompleted          the execution ended without a result (client side)

One class for each decision a caller can make. `code` is the word on the wire, `rpc_code` the JSON-RPC
number; `facts` holds what was found, what is allowed and what to do next. The client raises the class
that the server raised.
"""

from __future__ import annotations

from typing import Any, ClassVar


class MindSwarmError(Exception):
    """An error with a sentence for people (`str(error)`) and typed facts for programs (`error.facts`)."""

    code: ClassVar[str] = "internal_error"
    rpc_code: ClassVar[int] = -32000

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.facts: dict[str, Any] = {name: value for name, value in facts.items() if value is not None}

    @property
    def data(self) -> dict[str, Any]:
        """The `data` member of the JSON-RPC error: the code word and the facts."""
        return {"code": self.code, **self.facts}


class InvalidRequest(MindSwarmError):
    """The request is malformed; the same request will be refused again."""

    code = "invalid_request"
    rpc_code = -32602  # JSON-RPC 2.0 §5.1: invalid method parameter(s)


class PayloadTooLarge(InvalidRequest):
    """The payload, result or state is larger than the limit in force."""

    code = "payload_too_large"
    rpc_code = -32010

    @classmethod
    def of(cls, what: str, size_bytes: int, limit_bytes: int) -> PayloadTooLarge:
        return cls(
            f"{what} is {size_bytes} bytes; the limit is {limit_bytes}. Store the data elsewhere and pass "
            "a reference, or raise MINDSWARM_MAX_PAYLOAD_BYTES.",
            size_bytes=size_bytes,
            limit_bytes=limit_bytes,
        )


class NotFound(MindSwarmError):
    """The thing named does not exist."""

    code = "not_found"
    rpc_code = -32001


class UnknownExecution(NotFound):
    code = "unknown_execution"
    rpc_code = -32002

    @classmethod
    def of(cls, execution_id: str) -> UnknownExecution:
        return cls(
            f"unknown execution {execution_id}: it was never accepted here, or its retention has passed. "
            "Check the id, or start it again.",
            execution_id=execution_id,
        )


class UnknownAgent(NotFound):
    code = "unknown_agent"
    rpc_code = -32003

    @classmethod
    def of(cls, agent_id: str, nearest: str | None = None) -> UnknownAgent:
        hint = f" Did you mean '{nearest}'?" if nearest else ""
        return cls(
            f"unknown agent '{agent_id}': no agent of that name has registered.{hint} "
            "`mindswarm-exec agents` lists those that have.",
            agent_id=agent_id,
            nearest=nearest,
        )


class UnknownTask(NotFound):
    code = "unknown_task"
    rpc_code = -32004

    @classmethod
    def of(cls, task_id: str) -> UnknownTask:
        return cls(
            f"unknown task {task_id}: create it first with mindswarm.task.create.",
            task_id=task_id,
        )


class MoveRefused(MindSwarmError):
    """The thing exists, but its present state forbids the move. Nothing was changed."""

    code = "move_refused"
    rpc_code = -32005


class AlreadyAnswered(MoveRefused):
    """Another answer to the question came first. Nothing was changed."""

    code = "already_answered"
    rpc_code = -32015


class PauseNotObeyed(MoveRefused):
    """It was asked to pause and still runs: its state is not at rest, and cannot be edited. Nothing was changed."""

    code = "pause_not_obeyed"
    rpc_code = -32016


class StaleAttempt(MindSwarmError):
    """The nonce presented no longer speaks for the execution. Nothing was changed."""

    code = "stale_attempt"
    rpc_code = -32006

    @classmethod
    def of(cls, execution_id: str) -> StaleAttempt:
        return cls(
            f"stale attempt on execution {execution_id}: the right to speak for it has passed on. "
            "Stop working on it; nothing that it sends is recorded.",
            execution_id=execution_id,
        )


class Unauthenticated(MindSwarmError):
    code = "unauthenticated"
    rpc_code = -32007


class Forbidden(MindSwarmError):
    code = "forbidden"
    rpc_code = -32008


class LedgerUnavailable(MindSwarmError):
    """The ledger (Redis or Valkey) did not answer in time. Whether a write took effect is unknown."""

    code = "ledger_unavailable"
    rpc_code = -32009


class LedgerFull(LedgerUnavailable):
    """The ledger is at its memory limit. Nothing was changed; running work can still finish."""

    code = "ledger_full"
    rpc_code = -32011


class ArchiveUnavailable(LedgerUnavailable):
    """The archive of what has ended does not answer. What the ledger still has is not affected."""

    code = "archive_unavailable"
    rpc_code = -32017

    @classmethod
    def because(cls, reason: str) -> ArchiveUnavailable:
        return cls(
            f"the archive of ended executions does not answer ({reason}). Check the database at "
            "MINDSWARM_ARCHIVE_URL, and look again when it does; what has ended stays in the ledger until then."
        )


class ApiUnavailable(MindSwarmError):
    """The API did not answer. Raised by clients."""

    code = "api_unavailable"
    rpc_code = -32012


class ResultNotReady(MindSwarmError, TimeoutError):
    """The wait for a result ended before the execution did. The execution goes on. Raised by clients."""

    code = "result_not_ready"
    rpc_code = -32013


class ExecutionNotCompleted(MindSwarmError):
    """The execution ended as failed, cancelled or timed out. `facts["error"]` says why. Raised by clients."""

    code = "execution_not_completed"
    rpc_code = -32014


def error_classes() -> dict[str, type[MindSwarmError]]:
    """Every class of the tree by its wire word: the one table between classes and the wire."""
    found: dict[str, type[MindSwarmError]] = {}
    waiting: list[type[MindSwarmError]] = [MindSwarmError]
    while waiting:
        cls = waiting.pop()
        found[cls.code] = cls
        waiting.extend(cls.__subclasses__())
    return found


def from_wire(message: str, rpc_code: int, data: dict[str, Any] | None) -> MindSwarmError:
    """The error a server described, as the class it raised there.

    Errors without a code word of ours (JSON-RPC's own) become `InvalidRequest` for -32700…-32600 except
    internal errors, else `MindSwarmError`.
    """
    facts = dict(data or {})
    cls = error_classes().get(str(facts.pop("code", "")))
    if cls is None:
        cls = InvalidRequest if rpc_code in (-32700, -32600, -32601, -32602) else MindSwarmError
    return cls(message, **facts)
