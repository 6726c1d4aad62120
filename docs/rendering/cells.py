"""What the rendered parts are made of: tables and their cells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydantic_core import PydanticUndefined

Row = Sequence[str]


def table(head: Row, rows: Iterable[Row]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def code(text: str) -> str:
    """Text as code within a cell."""
    return f"`{text.replace('|', chr(92) + '|')}`"


def escaped(text: str) -> str:
    """Text that neither ends a cell nor passes for HTML."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def literal(value: object) -> str:
    """The default of a field as it would be written; empty where there is none."""
    if value is None or value is PydanticUndefined:
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:g}`" if isinstance(value, float) and value < 1e6 else f"`{value}`"
