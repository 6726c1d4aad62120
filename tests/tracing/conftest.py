"""What the tests of traces share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.tracing.seen_spans import ProgramSpans, traced_program


@pytest.fixture
def spans() -> Iterator[ProgramSpans]:
    """The test's process traces, and these are its spans."""
    with traced_program() as seen:
        yield seen
