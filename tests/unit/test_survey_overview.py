"""The overview: what it finds, and that it goes on from any checkpoint without doing anything twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from mindswarm_exec.demo.overview import STEPS, Overview, OverviewState, Visit, imported_by


def modules(tmp_path: Path, source: str) -> set[str]:
    path = tmp_path / "module.py"
    path.write_text(source)
    return imported_by(path)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import os\n", {"os"}),
        ("import os.path as p, sys # both\n", {"os", "sys"}),
        ("from collections.abc import Mapping\n", {"collections"}),
        ("try:\n    import json\nexcept ImportError:\n\tfrom simplejson import loads\n", {"json", "simplejson"}),
        ("from . import sibling\nfrom .. import parent\n", set()),
        ('"""import the module before use"""\nimport_me = 1\n', set()),
        ("import os; import sys\r\nimport re", {"os", "re"}),
    ],
)
def test_imports_are_told_by_how_a_line_begins(tmp_path: Path, source: str, found: set[str]) -> None:
    assert modules(tmp_path, source) == found


def test_a_file_that_cannot_be_read_imports_nothing(tmp_path: Path) -> None:
    assert imported_by(tmp_path / "absent.py") == set()
    assert imported_by(tmp_path) == set()


def visited(root: Path, files: list[str], paused_after: int | None = None) -> Overview:
    """The overview of some files, done at one go or stopped after some steps and gone on with by another agent."""
    state = OverviewState()
    state.begin(1, "m-1")
    for step in range(STEPS):
        if step == paused_after:
            state = OverviewState.model_validate(state.model_dump(mode="json"))
            state.begin(2, "m-2")
        state.step(root, files)
    return state.result()


@pytest.mark.parametrize("count", [1, 7, STEPS, 3 * STEPS + 5])
@pytest.mark.parametrize("paused_after", [1, STEPS // 3, STEPS - 1])
def test_an_overview_that_was_stopped_finds_the_same_and_visits_each_file_once(
    tmp_path: Path, count: int, paused_after: int
) -> None:
    files = [f"m{number}.py" for number in range(count)]
    for number, name in enumerate(files):
        (tmp_path / name).write_text("import os\n" + "import re\n" * (number % 2))
    whole, parts = visited(tmp_path, files), visited(tmp_path, files, paused_after)
    assert parts.importers == whole.importers
    assert whole.importers["os"] == whole.files == count
    first, second = parts.visits
    assert (first.agent_id, second.agent_id) == ("m-1", "m-2")
    assert second.first == first.files == count * paused_after // STEPS
    assert first.files + second.files == count


def test_nobody_has_visited_anything_before_the_first_step() -> None:
    state = OverviewState()
    state.begin(1, "m-1")
    assert state.result() == Overview(files=0, visits=(Visit(attempt=1, agent_id="m-1", first=0),))
