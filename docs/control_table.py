"""What each verb of control does to each kind of work. The page shows these rows, and a test runs every one."""

from __future__ import annotations

from dataclasses import dataclass

from mindswarm_exec.lifecycle import CANCELLED, PAUSED, PENDING, RUNNING, Status

#: Kinds of work: what handlers do that call `checkpoint`, what does not, and what has no agent yet.
KINDS = {
    "async": "`async` handler",
    "thread": "thread handler",
    "process": "process handler with checkpoints",
    "command": "process handler without, command",
    "waiting": "what waits",
}


@dataclass(frozen=True, slots=True)
class Row:
    """What becomes of one kind of work. `status` to `receipt` are what is found afterwards."""

    verb: str
    kind: str
    does: str
    status: Status
    #: attempts begun in all
    attempt: int
    #: what the receipt says, in its order: "pause" or "cancel", "acknowledged", "slot released"; empty: there is none
    receipt: tuple[str, ...] = ()
    #: the setting that bounds the time, or "safe point" for the next checkpoint, or "" for at once
    within: str = ""
    is_frozen: bool = False


OBEYED = ("acknowledged", "slot released")
SAFE_POINT = "safe point"
CANCEL_GRACE = "cancel_grace_seconds"

_STOPS = "stops at its next `checkpoint`; its slot is free"
_GOES_ON = "a new attempt goes on from the checkpoint, where it was if there is a slot"
_HANDED_ON = "stops at its next `checkpoint`; another agent goes on from there"
_BACK = "a new attempt begins at the checkpoint, or anew with `start_from`"
_FORCED = "it is over at once; its code is stopped as by a cancel, and the slot is free when it ends"
_KILLED = "it is over at once; its processes are killed, and the slot is free when they are gone"

ROWS = (
    Row("pause", "async", _STOPS, PAUSED, 1, ("pause", *OBEYED), SAFE_POINT),
    Row("pause", "thread", _STOPS, PAUSED, 1, ("pause", *OBEYED), SAFE_POINT),
    Row("pause", "process", f"{_STOPS}; frozen if none comes", PAUSED, 1, ("pause", *OBEYED), "pause_ack_seconds"),
    Row("pause", "command", "its processes are stopped in place", PAUSED, 1, ("pause", OBEYED[0]), is_frozen=True),
    Row("pause", "waiting", "leaves the queue; its queue timeout stands still", PAUSED, 0, ("pause", *OBEYED)),
    Row("resume", "async", _GOES_ON, RUNNING, 2),
    Row("resume", "thread", _GOES_ON, RUNNING, 2),
    Row("resume", "process", _GOES_ON, RUNNING, 2),
    Row("resume", "command", "its processes go on where they stopped", RUNNING, 1),
    Row("resume", "waiting", "waits again, with what was left of its queue timeout", PENDING, 0),
    Row(
        "cancel",
        "async",
        "`CancelledError` at its next `await`, hooks; fenced if it ignores that",
        CANCELLED,
        1,
        ("cancel", *OBEYED),
        CANCEL_GRACE,
    ),
    Row(
        "cancel",
        "thread",
        "`ExecutionCancelled` at its next context call, hooks; fenced if it ignores that",
        CANCELLED,
        1,
        ("cancel", *OBEYED),
        CANCEL_GRACE,
    ),
    Row(
        "cancel",
        "process",
        "SIGTERM, which raises `ExecutionCancelled` in it, hooks; killed if it ignores that",
        CANCELLED,
        1,
        ("cancel", *OBEYED),
        CANCEL_GRACE,
    ),
    Row(
        "cancel",
        "command",
        "SIGTERM, hooks; killed if it ignores that. Frozen, it goes on for it",
        CANCELLED,
        1,
        ("cancel", *OBEYED),
        CANCEL_GRACE,
    ),
    Row("cancel", "waiting", "it is over", CANCELLED, 0, ("cancel", *OBEYED)),
    Row("cancel --force", "async", _FORCED, CANCELLED, 1, ("cancel", OBEYED[1])),
    Row("cancel --force", "thread", _FORCED, CANCELLED, 1, ("cancel", OBEYED[1])),
    Row("cancel --force", "process", _KILLED, CANCELLED, 1, ("cancel", OBEYED[1])),
    Row("cancel --force", "command", _KILLED, CANCELLED, 1, ("cancel", OBEYED[1])),
    Row("cancel --force", "waiting", "it is over", CANCELLED, 0, ("cancel", *OBEYED)),
    Row("retry", "async", _BACK, RUNNING, 2),
    Row("retry", "thread", _BACK, RUNNING, 2),
    Row("retry", "process", _BACK, RUNNING, 2),
    Row("retry", "command", "a new attempt begins", RUNNING, 2),
    Row("retry", "waiting", "waits again", PENDING, 0),
    Row("drain", "async", _HANDED_ON, RUNNING, 2, within=SAFE_POINT),
    Row("drain", "thread", _HANDED_ON, RUNNING, 2, within=SAFE_POINT),
    Row("drain", "process", _HANDED_ON, RUNNING, 2, within=SAFE_POINT),
    Row("drain", "command", "runs to its end here; frozen, it stays paused and loses its process", RUNNING, 1),
    Row("drain", "waiting", "goes to another agent, if that one was to have it", PENDING, 0),
)
