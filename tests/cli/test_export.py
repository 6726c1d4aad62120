"""The history leaves as lines, over all pages."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable

import pytest

from tests.cli.conftest import Said


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_an_export_has_every_execution_once_whatever_the_page(run: Callable[..., Said], form: str) -> None:
    ids = [run("start", f"nobody.exports.{form}", "--json").document["execution_id"] for _ in range(3)]
    for execution_id in ids:
        run("cancel", execution_id)
    said = run("history", "--task-type", f"nobody.exports.{form}", "--limit", "1", "--export", form)
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    rows = list(csv.DictReader(lines)) if form == "csv" else [json.loads(line) for line in lines]
    assert [row["execution_id"] for row in rows] == ids[::-1]
