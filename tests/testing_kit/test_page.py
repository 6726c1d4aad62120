"""The files that docs/testing.md shows are run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

from tests.testing_kit.test_plugin import pytest_in

PAGE = Path(__file__).parents[2] / "docs" / "testing.md"
TITLED = re.compile(r'^```python title="([a-z_]+\.py)"\n(.*?)^```$', re.DOTALL | re.MULTILINE)


def test_the_files_of_the_page_pass(tmp_path: Path) -> None:
    files = dict(TITLED.findall(PAGE.read_text(encoding="utf-8")))
    assert set(files) == {"words.py", "test_words.py", "conftest.py"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    ended = pytest_in(tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "7 passed" in ended.stdout
