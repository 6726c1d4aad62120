"""Where output goes: documents and records on stdout, notes and errors on stderr, for people or for programs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

from rich.console import Console, RenderableType

from mindswarm_exec.cli import cells
from mindswarm_exec.cli.exits import Exit, exit_of
from mindswarm_exec.errors import MindSwarmError

#: Columns where stdout is no terminal: wide enough that no table is cut on its way into a file or `grep`.
PIPED_WIDTH = 240


class ReaderLeft(Exception):
    """Whoever reads our output has stopped: `| head` has its lines."""


class Screen:
    """Standard output and error of one command."""

    def __init__(self, as_json: bool = False) -> None:
        self.as_json = as_json
        self.out = console()
        self.err = console(stderr=True)

    def document(self, value: Any, shown: Callable[[], RenderableType]) -> None:
        """Print the one answer of a command: the JSON value, or what people see of it."""
        if self.as_json:
            _write(json.dumps(value, indent=2, ensure_ascii=False))
        else:
            self.out.print(shown())

    def record(self, value: Any, shown: Callable[[], RenderableType]) -> None:
        """Print one of many, at once: a line of JSON, or what people see of it."""
        if self.as_json:
            _write(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
        else:
            self.out.print(shown(), soft_wrap=True)

    def note(self, text: RenderableType) -> None:
        """Tell people something beside the answer; programs are not told."""
        if not self.as_json:
            self.err.print(text, soft_wrap=True)

    def fail(self, error: BaseException, sentence: str = "") -> Exit:
        """Print an error and name the exit that it leads to."""
        row = exit_of(error)
        message = sentence or str(error) or type(error).__name__
        if self.as_json:
            facts = error.data if isinstance(error, MindSwarmError) else {"code": _code_word(row)}
            described = {"error": {"message": message, "exit_code": row.code, "data": facts}}
            sys.stderr.write(json.dumps(described, ensure_ascii=False, default=str) + "\n")
        else:
            self.err.print(f"mindswarm-exec: {cells.clean(message)}", style="red", soft_wrap=True)
        return row


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise ReaderLeft


def console(*, stderr: bool = False) -> Console:
    """A console that takes text as it is: what others wrote is no markup and no emoji code."""
    made = _Console(stderr=stderr, markup=False, emoji=False, highlight=False)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = PIPED_WIDTH
    return made


def _code_word(row: Exit) -> str:
    return {2: "invalid_request", 130: "interrupted"}.get(row.code, "internal_error")


def _write(line: str) -> None:
    try:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        raise ReaderLeft from None
