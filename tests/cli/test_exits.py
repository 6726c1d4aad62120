"""Exit codes: every error has one, and the help tells them all."""

from __future__ import annotations

import pytest

from mindswarm_exec import errors
from mindswarm_exec.cli import exits


@pytest.mark.parametrize("cls", errors.error_classes().values())
def test_every_error_leads_to_an_exit_other_than_ok(cls: type[errors.MindSwarmError]) -> None:
    assert exits.exit_of(cls("sentence")) in exits.EXITS[1:]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ExecutionNotCompleted("x"), 1),
        (errors.PayloadTooLarge("x"), 2),
        (errors.UnknownAgent("x"), 3),
        (errors.MoveRefused("x"), 4),
        (errors.LedgerFull("x"), 5),
        (errors.ApiUnavailable("x"), 5),
        (errors.Forbidden("x"), 6),
        (KeyboardInterrupt(), 130),
        (RuntimeError("x"), 5),
    ],
)
def test_the_nearest_class_decides(error: BaseException, code: int) -> None:
    assert exits.exit_of(error).code == code


def test_codes_are_unique_and_all_in_the_help() -> None:
    assert len({row.code for row in exits.EXITS}) == len(exits.EXITS)
    assert all(row.meaning in exits.help_text() for row in exits.EXITS)
