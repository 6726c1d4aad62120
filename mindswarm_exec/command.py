"""A program with arguments that stands for a handler: how a payload becomes its argument list."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictFloat, StrictInt, StrictStr, create_model

from mindswarm_exec.errors import InvalidRequest

Word = StrictStr | StrictInt | StrictFloat

#: `{name}` is filled from the payload; `{{` and `}}` stand for the braces themselves; other braces are plain text.
_PART = re.compile(r"\{\{|\}\}|\{([A-Za-z][A-Za-z0-9_]*)\}")


class CommandNotFound(Exception):
    """The program, or the directory that it should run in, does not exist on the agent's machine."""


class CommandResult(BaseModel):
    """What a command that succeeded leaves: `stdout` and `stderr` are the last 64 kB of each."""

    exit_code: int
    stdout: str
    stderr: str


def _plain(value: Word) -> Word:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number has to be finite")
    text = str(value)
    if "\0" in text or text != text.encode("utf-8", "ignore").decode():
        raise ValueError("an argument of a program holds neither NUL nor half a surrogate pair")
    return value


def _no_option(value: Word) -> Word:
    if str(value).startswith("-"):
        raise ValueError("it begins with '-', which the program would take for an option")
    return value


@dataclass(frozen=True)
class Command:
    """An argument list with placeholders; no shell ever reads it.

    Args:
        argv: program and arguments. The program is fixed: it takes no placeholder.
        ok_codes: exit codes that complete the execution.
        cwd: the directory it runs in; None: the agent's.
        env: variables set beside those of the agent.
    """

    argv: tuple[str, ...]
    ok_codes: frozenset[int] = frozenset({0})
    cwd: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def checked(cls, task_type: str, argv: Sequence[str], ok_codes: Sequence[int], **where: Any) -> Command:
        """The command of a task type. Raises InvalidRequest for an argv that cannot be run safely."""
        if isinstance(argv, str) or not argv or not all(isinstance(word, str) for word in argv):
            raise InvalidRequest(f"the command of '{task_type}' takes a list of words, such as ['ls', '{{path}}'].")
        if not argv[0] or _names(argv[0]):
            raise InvalidRequest(f"the program of '{task_type}' is '{argv[0]}'; name it without placeholders.")
        if not ok_codes:
            raise InvalidRequest(f"the command of '{task_type}' could never succeed; name at least one ok code.")
        return cls(tuple(argv), frozenset(ok_codes), **where)

    @cached_property
    def payload(self) -> type[BaseModel]:
        """The model of the payload: a field for each placeholder, no others."""
        exposed = self._exposed()
        names = dict.fromkeys(name for word in self.argv for name in _names(word))
        # field names of our own: a placeholder may be called `copy` or `json`, which a model has already
        fields: dict[str, Any] = {
            f"word_{index}": (_checked_by(_plain, *([_no_option] if name in exposed else [])), Field(alias=name))
            for index, name in enumerate(names)
        }
        return create_model("CommandPayload", __config__=ConfigDict(extra="forbid"), **fields)

    def fill(self, payload: BaseModel | None) -> list[str]:
        """The argument list for a payload that the model has accepted."""
        values = payload.model_dump(by_alias=True) if payload is not None else {}

        def filled(part: re.Match[str]) -> str:
            return str(values[part[1]]) if part[1] else part[0][0]

        return [_PART.sub(filled, word) for word in self.argv]

    def _exposed(self) -> set[str]:
        """Placeholders that may begin an argument which the program could take for an option."""
        before_dashes = self.argv[: self.argv.index("--")] if "--" in self.argv else self.argv
        return {name for word in before_dashes for name in _leading(word)}


def _checked_by(*checks: Callable[[Word], Word]) -> Any:
    annotation: Any = Word
    for check in checks:
        annotation = Annotated[annotation, AfterValidator(check)]
    return annotation


def _names(word: str) -> list[str]:
    return [part[1] for part in _PART.finditer(word) if part[1]]


def _leading(word: str) -> list[str]:
    """The placeholders before which a word has no text of its own: any of them may come to begin it."""
    found, end = [], 0
    for part in _PART.finditer(word):
        if part.start() != end or not part[1]:
            break
        found.append(part[1])
        end = part.end()
    return found
