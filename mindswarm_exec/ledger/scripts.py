"""The Lua scripts: read from the package, rendered with the table of moves and the settings, named by SHA."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import sha1
from importlib import resources

from mindswarm_exec.lifecycle import MOVES, TASK_STATUS, WATCHED, Move
from mindswarm_exec.settings import Settings

#: Scripts that take in new work. They are refused when the server is at its memory limit; all others may
#: still write then, so that what runs can finish and be controlled.
TAKING_IN = frozenset({"start", "retry", "restore", "put_task"})
#: Scripts that the server holds to writing nothing.
LOOKING = frozenset({"look", "look_at_queue"})

_LUA = resources.files(__package__).joinpath("lua")

SCRIPT_NAMES = tuple(sorted(file.name.removesuffix(".lua") for file in _LUA.iterdir() if file.name.endswith(".lua")))

#: What every script shares stands before it, in this order: each part uses only those before it.
PRELUDE = (
    "clock",
    "events",
    "execution",
    "agent",
    "matching",
    "waiting",
    "slots",
    "attempt",
    "cancelling",
    "budgets",
    "resuming",
)


@dataclass(frozen=True)
class Script:
    """One rendered script."""

    name: str
    text: str

    @cached_property
    def sha(self) -> str:
        return sha1(self.text.encode(), usedforsecurity=False).hexdigest()


def source(name: str) -> str:
    """The text of `lua/<name>.lua` as it stands in the package; of "prelude", all its parts."""
    if name == "prelude":
        return "\n".join(source(f"prelude/{part}") for part in PRELUDE)
    return _LUA.joinpath(f"{name}.lua").read_text(encoding="utf-8")


@lru_cache(maxsize=512)
def script(name: str, settings: Settings, test_clock: bool = False) -> Script:
    """Render one script: shebang, constants, prelude, body. Different settings give different scripts."""
    body = _needed(source("prelude"), source(name)) + source(name)
    flags = "" if name in TAKING_IN else " flags=no-writes" if name in LOOKING else " flags=allow-oom"
    return Script(name, f"#!lua{flags}\n{_constants(body, settings, test_clock)}{body}")


#: A function of the prelude: on one line, or up to an `end` at the margin.
_FUNCTION = re.compile(r"^local function (\w+)\((?:[^\n]* end$|.*?^end$)", re.MULTILINE | re.DOTALL)


def _needed(prelude: str, body: str) -> str:
    """The prelude without the functions that the script does not reach.

    A script makes its functions anew at every call, and each costs about as much as a command: measured, all of
    the prelude's together are a third of an arrival. A function uses only those before it, so one pass from the
    end finds what is reached.
    """
    reached, kept = _code(body), []
    parts = list(_FUNCTION.finditer(prelude))
    end = len(prelude)
    for part in reversed(parts):
        between = prelude[part.end() : end]
        kept.append(between)
        reached += _code(between)
        if re.search(rf"\b{part.group(1)}\b", reached):
            kept.append(part.group(0))
            reached += _code(part.group(0))
        end = part.start()
    return "".join([prelude[:end], *reversed(kept)])


def _code(text: str) -> str:
    """Lua without its comments, whose words reach nothing."""
    return re.sub(r"--\[\[.*?\]\]|--[^\n]*", "", text, flags=re.DOTALL)


def _constants(body: str, settings: Settings, test_clock: bool) -> str:
    values: dict[str, object] = {
        "DELIVERY_MS": round(settings.delivery_seconds * 1000),
        "GRACE_MS": round(settings.enforcement_grace_seconds * 1000),
        "PAUSE_ACK_MS": round(settings.pause_ack_seconds * 1000),
        "CANCEL_GRACE_MS": round(settings.cancel_grace_seconds * 1000),
        "LEASE_MS": round(settings.lease_seconds * 1000),
        "WAKE_MS": round(settings.wake_seconds * 1000),
        "WAKE_PRIORITY": settings.wake_priority,
        "HEAD_START_MS": round(settings.head_start_seconds * 1000),
        "IDLE_BONUS": settings.idle_bonus,
        "FREE_SLOT_WEIGHT": settings.free_slot_weight,
        "SUCCESS_WEIGHT": settings.success_weight,
        "AFFINITY_BONUS": settings.affinity_bonus,
        "WEIGHTS": _quoted(f"{settings.idle_bonus:.6g}/{settings.free_slot_weight:.6g}"),
        "SUCCESS_SMOOTHING": settings.success_smoothing,
        "TEST_CLOCK": str(test_clock).lower(),
    }
    lines = [f"local {name} = {value}" for name, value in values.items()]
    lines.append(f"local MOVES = {{ {', '.join(_row(move) for move in _rows_needed(body))} }}")
    watched = ", ".join(f"{status} = {{ {', '.join(map(_quoted, names))} }}" for status, names in WATCHED.items())
    lines.append(f"local WATCHED = {{ {watched} }}")
    statuses = ", ".join(f"{status} = {_quoted(task)}" for status, task in TASK_STATUS.items())
    lines.append(f"local TASK_STATUS = {{ {statuses} }}")
    return "\n".join(lines) + "\n"


def _rows_needed(body: str) -> list[Move]:
    """The rows a script names, or all if it takes the row as an argument: building tables costs time."""
    if "MOVES[" in body:
        return list(MOVES)
    named = set(re.findall(r"MOVES\.(\w+)", body))
    return [move for move in MOVES if move.name in named]


def _row(move: Move) -> str:
    sources = ", ".join(f"{status} = true" for status in move.sources)
    return (
        f"{move.name} = {{ name = {_quoted(move.name)}, sources = {{ {sources} }}, "
        f"target = {_quoted(move.target)}, event = {_quoted(move.event)} }}"
    )


def _quoted(text: str) -> str:
    return f"'{text}'"
