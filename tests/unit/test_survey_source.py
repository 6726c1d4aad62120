"""Reading source: whatever bytes a file has, there is an answer and no exception."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindswarm_exec.demo.source import MAX_SOURCE_BYTES, count_lines, parse_source, read_source


def test_a_declared_encoding_is_honoured() -> None:
    source = parse_source("# coding: latin-1\nname = 'Zoë'\n".encode("latin-1"), "a.py")
    assert source.problem == ""
    assert "Zoë" in source.text


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"def f(:\n", "syntax error in line 1"),
        (b"x = '\xff'\n", "cannot be decoded"),
        (b"# coding: no-such-codec\n", "cannot be decoded"),
        (b"x = 1\x00\n", ""),  # worded by the parser: "cannot be parsed" or "syntax error"
        (b"x = " + b"(" * 5000 + b"1" + b")" * 5000, ""),
        (b"\xef\xbb\xbf# coding: latin-1\n", "cannot be decoded"),
    ],
)
def test_what_is_no_python_is_a_problem_and_no_exception(data: bytes, problem: str) -> None:
    source = parse_source(data, "broken.py")
    assert source.tree is None
    assert source.problem.startswith(problem)
    assert source.problem


def test_an_empty_file_parses() -> None:
    source = parse_source(b"", "empty.py")
    assert source.tree is not None
    assert source.tree.body == []


def test_a_byte_order_mark_and_foreign_newlines_do_not_matter() -> None:
    source = parse_source(b"\xef\xbb\xbfx = 1\r\ny = 2\rz = 3\n", "mixed.py")
    assert source.tree is not None
    assert len(source.tree.body) == 3


def test_a_huge_file_is_named_and_not_parsed() -> None:
    source = parse_source(b"#" * (MAX_SOURCE_BYTES + 1), "huge.py")
    assert source.problem.startswith("too large")


def test_a_missing_file_and_a_directory_are_problems(tmp_path: Path) -> None:
    assert read_source(tmp_path / "absent.py").problem.startswith("cannot be read")
    assert read_source(tmp_path).problem.startswith("cannot be read")


def test_lines_are_counted_by_what_stands_on_them() -> None:
    counts = count_lines('"""Two\nlines."""\n\nx = 1  # one\n# alone\ny = """\n\n"""\n')
    assert (counts.total, counts.code, counts.comment, counts.blank) == (8, 6, 1, 1)


@given(st.binary(max_size=400))
def test_any_bytes_get_an_answer(data: bytes) -> None:
    source = parse_source(data, "any.py")
    assert (source.tree is None) == bool(source.problem)


@given(st.text(max_size=200))
def test_any_text_gets_line_counts_that_fit_it(text: str) -> None:
    counts = count_lines(text)
    assert min(counts.code, counts.comment, counts.blank) >= 0
    assert counts.comment + counts.blank <= counts.total + text.count("\f") + 1
