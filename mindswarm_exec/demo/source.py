"""Reading Python source as it is found: any encoding, broken syntax, empty or huge files."""

from __future__ import annotations

import ast
import io
import threading
import tokenize
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

#: Bytes. A syntax tree takes about forty times its source; above this size stand generated tables.
MAX_SOURCE_BYTES = 4 << 20

#: Tokens that are no code: layout, comments and what the tokenizer adds.
_LAYOUT = frozenset(
    {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENCODING,
        tokenize.ENDMARKER,
    }
)


@dataclass(frozen=True, slots=True)
class Source:
    """One file: its text, and its syntax tree unless `problem` says why there is none."""

    path: str
    text: str = ""
    tree: ast.Module | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class LineCounts:
    """Lines by what stands on them. A line with code and a comment counts as code, a docstring as code."""

    total: int = 0
    code: int = 0
    comment: int = 0
    blank: int = 0


def read_source(path: Path, shown_as: str | None = None) -> Source:
    """Read and parse a file. What cannot be read or parsed is a `problem`, never an exception."""
    name = shown_as or str(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        return Source(name, problem=f"cannot be read: {error.strerror or error}")
    return parse_source(data, name)


#: One file at a time: early versions of CPython 3.11 count the depth of a tree over all threads together, and fail
#: where two meet (python/cpython#106905).
_PARSING = threading.Lock()


def parse_source(data: bytes, path: str) -> Source:
    """Decode and parse the bytes of a file named `path`."""
    if len(data) > MAX_SOURCE_BYTES:
        return Source(path, problem=f"too large: {len(data)} bytes, the limit is {MAX_SOURCE_BYTES}")
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        # Universal newlines, as the compiler reads them
        text = io.TextIOWrapper(io.BytesIO(data), encoding).read()
    except (SyntaxError, UnicodeDecodeError, LookupError) as error:
        return Source(path, problem=f"cannot be decoded: {error}")
    try:
        with _PARSING:
            return Source(path, text, ast.parse(text, filename=path))
    except SyntaxError as error:
        return Source(path, text, problem=f"syntax error in line {error.lineno}: {error.msg}")
    except ValueError as error:  # NUL bytes, before Python 3.12
        return Source(path, text, problem=f"cannot be parsed: {error}")
    except (RecursionError, MemoryError):  # how the parser answers to absurd nesting
        return Source(path, text, problem="nested too deeply for the parser")


def count_lines(text: str) -> LineCounts:
    """Count the lines of a text by kind. Text that stops being Python is counted up to there as such."""
    kinds: dict[int, str] = {}
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT:
                kinds.setdefault(token.start[0], "comment")
            elif token.type not in _LAYOUT:
                kinds.update(dict.fromkeys(range(token.start[0], token.end[0] + 1), "code"))
    except (tokenize.TokenError, SyntaxError):
        pass  # the lines seen so far stand; the parse problem is reported by `parse_source`
    lines = text.splitlines()
    blank = sum(not line.strip() and kinds.get(number) is None for number, line in enumerate(lines, 1))
    seen = Counter(kinds.values())
    return LineCounts(len(lines), seen["code"], seen["comment"], blank)
