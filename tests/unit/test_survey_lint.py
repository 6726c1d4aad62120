"""Ruff's findings, from the real ruff."""

from __future__ import annotations

from pathlib import Path

from mindswarm_exec.demo.lint import MAX_NAMED, LintSummary, rule_name, run_ruff, summarise


def lint(tmp_path: Path, data: bytes, name: str = "module.py") -> LintSummary:
    path = tmp_path / name
    path.write_bytes(data)
    return summarise(run_ruff(path))


def test_a_clean_file_has_no_findings(tmp_path: Path) -> None:
    assert lint(tmp_path, b'"""Nothing."""\n').total == 0


def test_findings_are_counted_by_rule_and_named(tmp_path: Path) -> None:
    found = lint(tmp_path, b"import os\nimport sys\ntry:\n    pass\nexcept:\n    pass\n")
    assert found.by_rule["F401"] == 2
    assert found.names["F401"] == "unused-import"
    assert found.total == sum(found.by_rule.values())
    assert found.fixable >= 2
    assert found.first[0].line == 1


def test_broken_syntax_is_a_finding_and_no_failure(tmp_path: Path) -> None:
    assert "invalid-syntax" in lint(tmp_path, b"def f(:\n").by_rule


def test_undecodable_bytes_are_no_failure(tmp_path: Path) -> None:
    assert lint(tmp_path, b"x = '\xff\xfe'\n").total >= 0


def test_a_name_that_looks_like_an_option_is_a_file(tmp_path: Path) -> None:
    assert lint(tmp_path, b"import os\n", "--fix.py").by_rule == {"F401": 1}


def test_only_the_first_findings_are_kept_in_full(tmp_path: Path) -> None:
    found = lint(tmp_path, b"".join(b"import m%d\n" % number for number in range(50)))
    assert found.total >= 50
    assert len(found.first) == MAX_NAMED


def test_a_rule_is_named_by_its_page_where_ruff_gives_no_name() -> None:
    assert rule_name({"url": "https://docs.astral.sh/ruff/rules/unused-import"}) == "unused-import"
    assert rule_name({"url": None}) == "invalid-syntax"
