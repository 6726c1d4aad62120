"""The parts of the documentation that say what the code says, rendered from the code.

    python -m docs.render       (or `make docs`)

A page marks such a part with two comments, `<!-- render: NAME -->` and `<!-- /render -->`. What stands between
them is replaced; everything else is written by hand. `tests/unit/test_docs.py` fails while a page is out of date.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

from docs.rendering import figures, machine, placing, reference, rpc
from docs.state_drawing import drawing

ROOT = Path(__file__).parents[1]
STATES = ROOT / "docs" / "states.svg"
PART = re.compile(r"(<!-- render: ([a-z_]+) -->\n)(.*?)(<!-- /render -->)", re.DOTALL)


def pages() -> list[Path]:
    """Every page that may have rendered parts."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def rendered(page: str) -> str:
    """The page with each marked part as the code would have it. Raises KeyError for a part nobody renders."""
    return PART.sub(lambda found: f"{found[1]}\n{PARTS[found[2]]()}\n\n{found[4]}", page)


PARTS: dict[str, Callable[[], str]] = {
    "control": machine.control,
    "deadlines": machine.deadlines,
    "error_table": reference.error_table,
    "exit_codes": reference.exit_codes,
    "figures": figures.figures,
    "ledger_keys": placing.ledger_keys,
    "methods": rpc.methods,
    "moves": machine.moves,
    "news_events": machine.news_events,
    "option_records": rpc.option_records,
    "protocol_errors": reference.protocol_errors,
    "result_records": rpc.result_records,
    "score_terms": placing.score_terms,
    "settings": reference.settings,
    "task_statuses": machine.task_statuses,
    "waiting_kinds": placing.waiting_kinds,
}


def main() -> None:
    """Bring every page and picture up to date, and name those that were not."""
    for page in pages():
        _write(page, rendered(page.read_text(encoding="utf-8")))
    _write(STATES, drawing())


def _write(path: Path, text: str) -> None:
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{path.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
