"""The site is built from the documents without anything that leads nowhere, and says what the pages say."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from docs.render import ROOT
from docs.site_pages import on_page_markdown

NAMED_TEST = re.compile(r"`(test_\w+)`")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site. Whatever mkdocs warns of fails it."""
    directory = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(directory)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return directory


def pages() -> list[Path]:
    return sorted((ROOT / "docs").glob("*.md"))


def test_every_page_is_in_the_navigation() -> None:
    rows = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    assert sorted(named_in(rows)) == sorted([*(page.name for page in pages()), "changes.md"])


def named_in(part: Any) -> Iterator[str]:
    """The pages that a part of the navigation names."""
    match part:
        case str():
            yield part
        case list() | dict():
            for held in part.values() if isinstance(part, dict) else part:
                yield from named_in(held)


def test_every_page_is_built_and_no_fence_is_left_in_it(site: Path) -> None:
    for page in pages():
        built = (site / f"{page.stem}.html").read_text(encoding="utf-8")
        assert "```" not in built, page.name
        headings = re.findall(r"^# (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
        assert len(headings) >= 1
        assert "<h1 id=" in built, page.name


def test_programs_of_the_documents_are_no_part_of_the_site(site: Path) -> None:
    assert list(site.rglob("*.py")) == []


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    loaded = re.compile(r'<(?:script|link|img)[^>]+(?:src|href)="(https?:)?//')
    assert [page.name for page in site.rglob("*.html") if loaded.search(page.read_text(encoding="utf-8"))] == []


def test_the_search_runs_where_the_site_is_read_from_disk(site: Path) -> None:
    assert (site / "search" / "search_index.js").read_text(encoding="utf-8").startswith("var __index = {")
    assert '<script src="iframe-worker.js"' in (site / "index.html").read_text(encoding="utf-8")
    assert "IFrameWorker" in (site / "iframe-worker.js").read_text(encoding="utf-8")


def test_the_states_are_drawn_in_the_page_and_in_its_colours(site: Path) -> None:
    assert (ROOT / "docs" / "states.svg").read_text(encoding="utf-8") in (site / "architecture.html").read_text(
        "utf-8"
    )


def test_names_that_share_their_beginning_are_told_apart_in_the_contents(site: Path) -> None:
    contents = re.findall(
        r'<span class="md-ellipsis">\s*(.*?)\s*</span>', (site / "rpc.html").read_text("utf-8"), re.DOTALL
    )
    assert any("execution.start" in entry for entry in contents)
    assert not [entry for entry in contents if "mindswarm." in entry]


def test_words_after_the_language_of_a_fence_are_no_part_of_the_page() -> None:
    assert on_page_markdown("```python runnable\nx = 1\n```") == "```python\nx = 1\n```"


def test_every_test_that_a_guarantee_names_exists() -> None:
    named = set(NAMED_TEST.findall((ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")))
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    assert len(named) > 20
    assert {name for name in named if f"def {name}(" not in sources} == set()


def test_the_changes_are_a_page_that_others_link_to(site: Path) -> None:
    assert "<h1 id=" in (site / "changes.html").read_text(encoding="utf-8")
    assert on_page_markdown("[Changes](../CHANGELOG.md)") == "[Changes](changes.md)"
