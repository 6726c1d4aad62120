"""The agent that asks before it removes files, driven by the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mindswarm_exec.lifecycle import COMPLETED, PAUSED
from tests.e2e.swarm import Swarm
from tests.examples.conftest import Typed


@pytest.fixture(scope="module", autouse=True)
def _steward(swarm: Swarm) -> None:
    swarm.agent("steward", "examples.approval:steward")
    swarm.await_agents("steward")


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    files = [tmp_path / "a.log", tmp_path / "b.log"]
    for file in files:
        file.write_text("old")
    return [str(file) for file in files]


def asked(swarm: Swarm, typed: Typed, paths: list[str]) -> str:
    """An execution that waits for its answer, and holds no slot."""
    execution_id: str = typed("start", "files.remove", json.dumps(paths))["execution_id"]
    found = swarm.await_status(execution_id, PAUSED)
    assert found.question is not None
    assert found.question.prompt.startswith("Remove 2 files")
    swarm.await_load("steward", 0)
    return execution_id


def test_what_a_person_approves_is_removed(swarm: Swarm, typed: Typed, paths: list[str]) -> None:
    execution_id = asked(swarm, typed, paths)
    typed("provide-input", execution_id, '{"approved": true, "by": "ada"}')
    ended = swarm.await_end(execution_id)
    assert (ended.status, ended.result) == (COMPLETED, {"removed": paths, "approved_by": "ada"})
    assert [Path(path).exists() for path in paths] == [False, False]


def test_what_a_person_refuses_stays(swarm: Swarm, typed: Typed, paths: list[str]) -> None:
    execution_id = asked(swarm, typed, paths)
    typed("provide-input", execution_id, '{"approved": false, "by": "ada"}')
    assert swarm.await_end(execution_id).result == {"removed": [], "approved_by": None}
    assert [Path(path).exists() for path in paths] == [True, True]


def test_an_answer_that_does_not_fit_leaves_the_question_open(swarm: Swarm, typed: Typed, paths: list[str]) -> None:
    execution_id = asked(swarm, typed, paths)
    with pytest.raises(AssertionError, match="does not fit the question"):
        typed("provide-input", execution_id, '"yes"')
    assert swarm.get(execution_id).status is PAUSED
