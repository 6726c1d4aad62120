"""The history leaves as lines, over all pages."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable

import pytest

from mindswarm_exec.cli import exporting
from tests.cli.conftest import Said


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_an_export_has_every_execution_once_whatever_the_page(
    run: Callable[..., Said], form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "PAGE", 1)
    ids = [run("start", f"nobody.exports.{form}", "--json").document["execution_id"] for _ in range(3)]
    for execution_id in ids:
        run("cancel", execution_id)
    assert exported(run, form) == ids[::-1]
    assert exported(run, form, "--limit", "2") == ids[:0:-1]


def exported(run: Callable[..., Said], form: str, *more: str) -> list[str]:
    said = run("history", "--task-type", f"nobody.exports.{form}", "--export", form, *more)
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    rows = list(csv.DictReader(lines)) if form == "csv" else [json.loads(line) for line in lines]
    return [row["execution_id"] for row in rows]
