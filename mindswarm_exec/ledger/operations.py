"""Each operation of the ledger, written once: how its request is built and how its reply is read. Pure.

`AsyncLedger.run` and `SyncLedger.run` in `faces.py` carry them out. Reads of records stand in `reads.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, NamedTuple, TypeVar

from mindswarm_exec.identifiers import new_nonce
from mindswarm_exec.ledger import answers
from mindswarm_exec.ledger.answers import Controlled, Followed, InputTaken, Resumed, Started
from mindswarm_exec.ledger.listings import Picked, Place, Stretch, read_picked, read_unarchived
from mindswarm_exec.ledger.looks import Look, read_look
from mindswarm_exec.ledger.queue_facts import QueueFacts, read_queue_facts
from mindswarm_exec.ledger.replies import (
    Absent,
    AgentUnknown,
    Alive,
    Attempt,
    Claimed,
    Done,
    Due,
    DueExecution,
    Exhausted,
    Existing,
    Expired,
    Fenced,
    Forgotten,
    LostAttempt,
    Metered,
    Offline,
    Refused,
    Registered,
    Renewed,
    Reported,
    Rolled,
    Settled,
    Taken,
    Wake,
)
from mindswarm_exec.lifecycle import TERMINAL, Move, Status

R_co = TypeVar("R_co", covariant=True)
Fields = Mapping[str, str | int | float]


class Key(NamedTuple):
    """A key by family and member; the face that runs the operation knows the namespace."""

    family: str
    member: str = ""


class ScriptCall(NamedTuple):
    name: str
    args: tuple[str | int | float, ...]


Step = ScriptCall | tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Operation(Generic[R_co]):
    """One request of one or more steps, sent together, and the reader of their replies."""

    steps: tuple[Step, ...]
    read: Callable[[list[Any]], R_co]


def _script(name: str, read: Callable[[Any], R_co], *args: str | int | float) -> Operation[R_co]:
    return Operation((ScriptCall(name, args),), lambda replies: read(replies[0]))


def _flat(fields: Fields) -> list[str | int | float]:
    return [part for pair in fields.items() for part in pair]


# --- executions: submit and control ----------------------------------------------------------------------


def start(
    execution_id: str,
    fields: Fields,
    *,
    start_at_ms: int | None = None,
    pinned: tuple[str, str, str] = ("", "", ""),
    data: str = "{}",
) -> Operation[Started]:
    """Store an execution. `pinned` is (agent id, class id, demand) of a pre-assigned agent."""
    delay = "" if start_at_ms is None else start_at_ms
    return _script("start", answers.read_started, new_nonce(), execution_id, delay, *pinned, data, *_flat(fields))


def pause(execution_id: str, request_id: str, reason: str, data: str) -> Operation[Controlled]:
    """Pause what waits, or ask a running attempt to pause."""
    return _script("pause", answers.read_controlled, new_nonce(), execution_id, request_id, reason, data)


def resume(
    execution_id: str, request_id: str, data: str, fields: Fields, *, checkpoint_replaced: bool = False
) -> Operation[Resumed]:
    """Let a paused execution go on, or withdraw a pause. `fields` may hold a checkpoint, and budgets."""
    args = (new_nonce(), execution_id, request_id, data, "1" if checkpoint_replaced else "0", *_flat(fields))
    return _script("resume", answers.read_resumed, *args)


def resume_starved(execution_id: str, data: str, most: int = 100) -> Operation[Followed]:
    """Let some of those go on that stand still for a budget that was raised."""
    return _script("resume_starved", answers.read_followed, new_nonce(), execution_id, most, data)


def provide_input(
    execution_id: str, request_id: str, question_id: str, answer: str, data: str
) -> Operation[InputTaken]:
    """Answer the question that an execution is parked on; `answer` is JSON."""
    args = (new_nonce(), execution_id, request_id, question_id, answer, data)
    return _script("provide_input", answers.read_input_taken, *args)


def cancel(
    execution_id: str, request_id: str, reason: str, *, force: bool, error: str, data: str
) -> Operation[Controlled]:
    """Cancel what does not run, or ask a running attempt to stop; `force` does not wait for it."""
    args = (new_nonce(), execution_id, request_id, reason, "1" if force else "0", error, data)
    return _script("cancel", answers.read_leading, *args)


def cancel_children(execution_id: str, error: str, data: str, most: int = 100) -> Operation[Followed]:
    """Cancel some children of a cancelled execution."""
    return _script("cancel_children", answers.read_followed, new_nonce(), execution_id, most, error, data)


def retry(
    execution_id: str, request_id: str, data: str, fields: Fields, *, pinned: tuple[str, str, str] = ("", "", "")
) -> Operation[Controlled | AgentUnknown]:
    """Bring an ended execution back. An empty value in `fields` removes the field; `pinned` as in `start`."""
    args = (new_nonce(), execution_id, request_id, data, *pinned, *_flat(fields))
    return _script("retry", answers.read_retried, *args)


# --- looks -----------------------------------------------------------------------------------------------

#: Agents looked at; of more, those that suit come first and the number of the others is told. Each costs the server
#: three commands.
MOST_AGENTS_SEEN = 100


def look(execution_id: str, most_agents: int = MOST_AGENTS_SEEN) -> Operation[Look | None]:
    """Look at where an execution stands, and at who could serve it."""
    return _script("look", read_look, execution_id, "", "", "", "", "", 0, most_agents, 0, "", "{}")


def look_for(
    class_id: str,
    demand: str,
    project_id: str,
    *,
    concurrency_key: str = "",
    affinity_key: str = "",
    priority: int = 0,
    most_agents: int = MOST_AGENTS_SEEN,
    one_more: tuple[int, str, str] = (0, "", "{}"),
) -> Operation[Look | None]:
    """Look at where a submission would go.

    `one_more` is an agent that does not exist, as slots, agent id and profile: the lanes are seen as they would be
    when it has opened and taken up what waits.
    """
    args = ("", class_id, demand, project_id, concurrency_key, affinity_key, priority, most_agents, *one_more)
    return _script("look", read_look, *args)


# --- listings --------------------------------------------------------------------------------------------


def pick(stretch: Stretch, equal: Mapping[str, str], text: str, *, most_seen: int, most: int) -> Operation[Picked]:
    """Name at most `most` that have these fields, and `text` in their options; look at no more than `most_seen`."""
    statuses = " ".join(stretch.statuses)
    return _script(
        "pick", read_picked, statuses, stretch.first, *stretch.bounds, most_seen, most, text, *_flat(equal)
    )


def unarchived(retention_ms: int, most: int) -> Operation[list[Place]]:
    """Some of what ended before the retention and is not in the archive as it is now, the oldest of each status."""
    return _script("unarchived", read_unarchived, retention_ms, most, *sorted(TERMINAL))


def look_at_queue(most_classes: int, most_oldest: int, minutes: int) -> Operation[QueueFacts]:
    """Look at what waits. Of those that wait longest `most_oldest` are looked at; rates are over so many minutes."""
    return _script("look_at_queue", read_queue_facts, most_classes, most_oldest, minutes, *Status)


# --- attempts: the agent's side --------------------------------------------------------------------------


def claim(execution_id: str, nonce: str, token: str, agent_id: str) -> Operation[Claimed | Absent | Fenced | Taken]:
    """Take up the attempt that a message named; `token` is one a message received."""
    return _script("claim", answers.read_claimed, execution_id, nonce, token, agent_id)


def report(
    attempt: Attempt, token: str, event: str, data: str, fields: Fields
) -> Operation[Reported | Absent | Fenced]:
    """Record news of a running attempt: an event, fields of the record, a sign of life."""
    args = (attempt.execution_id, attempt.nonce, token, event, data, attempt.agent_id, *_flat(fields))
    return _script("report", answers.read_reported, *args)


def meter(
    attempt: Attempt, token: str, meter: str, amount: float
) -> Operation[Metered | Exhausted | Absent | Fenced]:
    """Count what a running attempt has spent, for the execution and its ancestors."""
    args = (attempt.execution_id, attempt.nonce, token, meter, amount, attempt.agent_id)
    return _script("meter", answers.read_metered, *args)


def freeze(attempt: Attempt, data: str) -> Operation[Done | Absent | Fenced | Refused]:
    """Record that the process of an attempt was stopped in place, as a pause asked for."""
    args = (attempt.execution_id, attempt.nonce, attempt.agent_id, data)
    return _script("freeze", answers.read_frozen, *args)


@dataclass(frozen=True, slots=True)
class Settlement:
    """How an attempt ends: the row, and what goes with it."""

    move: Move
    data: str = "{}"
    #: "claim": free the slot and run the next attempt here; "wake": free it; "keep": the code still runs
    slot: str = "wake"
    #: the outcome for the agent's success rate: "1", "0", or "" if it says nothing about the agent
    outcome: str = ""
    #: "failed_attempts", "lost_attempts" or ""
    counter: str = ""
    delay_ms: int = 0
    #: for sweeps: a deadline's field and the instant it was found due with
    guard: tuple[str, str] = ("", "")


def settle(
    held: Attempt | LostAttempt | DueExecution, agent_id: str, source: str, how: Settlement, fields: Fields
) -> Operation[Settled | Absent | Fenced | Refused]:
    """End an attempt along one row; its slot goes to whoever waits."""
    args = (
        *(new_nonce(), source, agent_id, held.number, held.execution_id, held.nonce),
        *_row(how.move),
        *(how.slot, how.outcome, how.counter, how.delay_ms, how.data, *how.guard, *_flat(fields)),
    )
    return _script("settle", answers.read_settled, *args)


@cache
def _row(move: Move) -> tuple[str, str, str, str]:
    return move.name, move.target.value, move.event, " ".join(move.sources)


# --- agents ----------------------------------------------------------------------------------------------


def register(agent_id: str, incarnation: str, profile: str, fields: Fields) -> Operation[Registered]:
    """Announce an agent's process; an earlier process of that name is fenced."""
    return _script("register", answers.read_registered, agent_id, incarnation, profile, *_flat(fields))


def set_agent_state(
    agent_id: str, incarnation: str, state: str, *, accepts_work: bool, event: str = "", data: str = "{}"
) -> Operation[Done | Absent | Fenced | Refused]:
    """Open an agent for work, or close it; `incarnation` "" stands for an operator."""
    args = (new_nonce(), agent_id, incarnation, state, "1" if accepts_work else "0", event, data)
    return _script("set_agent_state", answers.read_agent_state, *args)


def sleep_if_idle(agent_id: str, incarnation: str) -> Operation[Done | Absent | Fenced | Refused]:
    """Let an agent sleep that holds nothing; `status` of the answer is the state that it is in now."""
    return _script("sleep_if_idle", answers.read_agent_state, agent_id, incarnation)


def pass_over(agent_id: str, incarnation: str = "") -> Operation[Done | Absent | Fenced | Refused]:
    """Let a waking agent sleep on that did not open in time, or says by its `incarnation` that it cannot."""
    return _script("pass_over", answers.read_agent_state, agent_id, incarnation)


def renew(agent_id: str, incarnation: str) -> Operation[Renewed | Fenced | Expired]:
    """Extend an agent's lease, and learn what the ledger holds it to."""
    return _script("renew", answers.read_renewed, agent_id, incarnation)


# --- sweeps ----------------------------------------------------------------------------------------------


def due(most: int = 200, patience_ms: int | None = None) -> Operation[Due]:
    """Name what has passed its deadline.

    Where nobody swept for longer than `patience_ms`, agents have a lease from now on, and handlers a stall timeout.
    """
    return _script("due", answers.read_due, most, "" if patience_ms is None else patience_ms)


def admit(execution_id: str) -> Operation[Controlled]:
    """Let an execution whose delay is over wait for an agent."""
    return _script("admit", answers.read_controlled, new_nonce(), execution_id)


def redeliver(execution_id: str, nonce: str) -> Operation[Controlled]:
    """Send the message of an attempt again that was not claimed in time."""
    return _script("redeliver", answers.read_controlled, execution_id, nonce)


def overdue(execution_id: str, deadline_ms: int, data: str) -> Operation[Controlled]:
    """Say on the receipt of a pause that no safe point was reached in time."""
    return _script("overdue", answers.read_controlled, execution_id, deadline_ms, data)


def expire_lease(agent_id: str, retention_ms: int) -> Operation[Alive | Offline | Forgotten]:
    """Declare an agent offline whose lease ran out, and name what it held."""
    return _script("expire_lease", answers.read_expired, agent_id, retention_ms)


def match_waiting(most: int = 1000) -> Operation[tuple[int, tuple[Wake, ...]]]:
    """Give waiting executions to free agents; returns how many, and the messages to publish."""
    return _script("match_waiting", lambda reply: (int(reply[1]), answers.wakes(reply[2])), new_nonce(), most)


def mark_archived(seqs: Mapping[str, str]) -> Operation[int]:
    """Note that executions (id → seq of the record) are in the archive; returns how many still are as then."""
    return _script("mark_archived", lambda reply: int(reply[1]), *_flat(seqs))


def restore(execution_id: str, ended_at_ms: int, record: Mapping[str, str]) -> Operation[None]:
    """Put an execution back as it was archived, unless it is there."""
    return _script("restore", lambda _: None, execution_id, ended_at_ms, *_flat(record))


def forget(retention_ms: int, most: int, events_kept: int, *, only_archived: bool = False) -> Operation[int]:
    """Remove what has outlived its retention; returns the number of executions removed."""
    args = (retention_ms, most, events_kept, "1" if only_archived else "0", *sorted(TERMINAL))
    return _script("forget", lambda reply: int(reply[1]), *args)


def roll_up(most: int, minutes_kept_ms: int) -> Operation[Rolled]:
    """Count what ended since the last call. What was counted in a minute is kept that long."""
    return _script("roll_up", _read_rolled, most, minutes_kept_ms)


def _read_rolled(reply: Any) -> Rolled:
    read, behind, lost, minute_ms, now_ms, unfolded = reply[1:]
    return Rolled(int(read), int(behind), int(lost), int(minute_ms), int(now_ms), tuple(map(int, unfolded)))


def keep_sum(name: str, since: int, upto: int, sums: str, forgotten_at_ms: int) -> Operation[bool]:
    """Keep counts that were added up from `since` up to `upto`; False if what is kept reaches further."""
    return _script("keep_sum", lambda reply: reply[1] == "1", name, since, upto, sums, forgotten_at_ms)


def forget_counted(group: str, minute_ms: int, linger_ms: int) -> Operation[None]:
    """Forget soon what was counted in a minute that is over; its sum is kept."""
    return Operation((("PEXPIRE", Key("counted", f"{minute_ms}:{group}"), linger_ms),), lambda _: None)


def note_folded(hours_ms: Sequence[int]) -> Operation[None]:
    """Note that all counts of these hours are in the sums of their hours and days."""
    return Operation((("ZREM", Key("unfolded"), *hours_ms),), lambda _: None)


# --- tasks -----------------------------------------------------------------------------------------------


def put_task(
    task_id: str, mode: str, event: str, data: str, project_id: str, fields: Fields
) -> Operation[Done | Absent | Existing]:
    """Create (`mode` "create") or change ("update") a task."""

    def read(reply: Any) -> Done | Absent | Existing:
        match reply[0]:
            case "ok":
                return Done("")
            case "absent":
                return Absent()
            case _:
                return Existing(task_id)

    return _script("put_task", read, task_id, mode, event, data, project_id, *_flat(fields))
