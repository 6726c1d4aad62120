"""The rows: ours beside the peer's, and which way is better."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Row:
    """One figure. `ratio` is above 1 where ours is better; `peer` and `ratio` are None where nothing compares."""

    row: str
    ours: float
    peer: float | None
    unit: str
    ratio: float | None


def row(name: str, ours: Iterable[float], peer: Iterable[float] | None, unit: str, *, more_is_better: bool) -> Row:
    """The medians of both sides' runs."""
    mine = median(ours)
    theirs = None if peer is None else median(peer)
    if theirs is None or not mine or not theirs:
        return Row(name, mine, theirs, unit, None)
    return Row(name, mine, theirs, unit, mine / theirs if more_is_better else theirs / mine)


def show(rows: Iterable[Row]) -> None:
    """Print the rows as a table."""
    table = Table("row", "ours", "plain Celery", "unit", "ratio (>1: ours is better)")
    for one in rows:
        peer = "-" if one.peer is None else f"{one.peer:,.4g}"
        table.add_row(one.row, f"{one.ours:,.4g}", peer, one.unit, "-" if one.ratio is None else f"{one.ratio:.2f}")
    Console(width=120).print(table)


def write(rows: Iterable[Row], path: Path) -> None:
    """Write the rows as JSON: {"rows": [...]}."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"rows": [asdict(one) for one in rows]}, indent=2) + "\n")


def markdown(rows: Iterable[Row]) -> str:
    """The rows as the table of the README."""
    lines = ["| row | ours | plain Celery | unit | ratio |", "| --- | ---: | ---: | --- | ---: |"]
    for one in rows:
        peer = "" if one.peer is None else f"{one.peer:,.4g}"
        ratio = "" if one.ratio is None else f"{one.ratio:.2f}"
        lines.append(f"| {one.row} | {one.ours:,.4g} | {peer} | {one.unit} | {ratio} |")
    return "\n".join(lines)


if __name__ == "__main__":  # the latest results, for the README
    print(markdown(Row(**one) for one in json.loads(Path(".bench/results.json").read_text())["rows"]))
