"""Which files a survey takes, and how urgent they are."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from mindswarm_exec.demo.overview import OverviewRequest
from mindswarm_exec.demo.plan import (
    HIGH,
    LOW,
    NORMAL,
    Plan,
    PlannedFile,
    is_test,
    overview_submission,
    plan_survey,
    spread,
    submissions,
)
from mindswarm_exec.errors import InvalidRequest
from mindswarm_exec.models.options import StartRequest
from mindswarm_exec.settings import Settings


def tree(root: Path, **sizes: int) -> Path:
    for name, size in sizes.items():
        path = root / (name.replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"#" * size)
    return root


def shown(plan: Plan) -> dict[str, int]:
    return {file.shown_as: file.priority for file in plan.files}


def test_tests_are_low_the_largest_files_high_and_the_rest_normal(tmp_path: Path) -> None:
    plan = plan_survey(tree(tmp_path, big=900, small=10, tests__other=800, test_small=5))
    assert shown(plan) == {"big.py": HIGH, "small.py": NORMAL, "tests/other.py": LOW, "test_small.py": LOW}


def test_three_executions_a_file_each_a_valid_request_with_a_key_of_its_own(tmp_path: Path) -> None:
    plan = plan_survey(tree(tmp_path, a=1, b=1))
    requests = [StartRequest.model_validate(params) for params in submissions(plan)]
    assert len(requests) == plan.executions - 1 == 6  # the last is the overview
    assert len({request.idempotency_key for request in requests}) == 6


def test_the_overview_is_one_valid_request_that_names_every_file(tmp_path: Path) -> None:
    params = overview_submission(plan_survey(tree(tmp_path, a=1, code__b=1)), "metrics-1")
    request = StartRequest.model_validate(params)
    assert OverviewRequest.model_validate(request.payload).files == ("a.py", "code/b.py")
    assert request.options.agent.preferred_agent_id == "metrics-1"


def test_an_overview_names_no_more_files_than_a_payload_can_hold(tmp_path: Path) -> None:
    files = tuple(PlannedFile(tmp_path, f"{number}{'ü' * 100}", NORMAL) for number in range(5000))
    payload = overview_submission(Plan(tmp_path, files, len(files)), "metrics-1")["payload"]
    assert len(payload["files"]) > 500
    assert len(json.dumps(payload)) < Settings().max_payload_bytes


def test_a_single_file_is_a_tree_of_one(tmp_path: Path) -> None:
    plan = plan_survey(tree(tmp_path, only=3) / "only.py")
    assert [file.shown_as for file in plan.files] == ["only.py"]


def test_environments_caches_and_hidden_directories_are_left_out(tmp_path: Path) -> None:
    tree(tmp_path, mine=1, venv__theirs=1)
    (tmp_path / "venv" / "pyvenv.cfg").touch()
    for name in (".git", "__pycache__", "node_modules", "site-packages"):
        tree(tmp_path / name, other=1)
    assert list(shown(plan_survey(tmp_path))) == ["mine.py"]


def test_links_are_not_followed(tmp_path: Path) -> None:
    tree(tmp_path, mine=1)
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "same.py").symlink_to(tmp_path / "mine.py")
    (tmp_path / "gone.py").symlink_to(tmp_path / "absent.py")
    assert list(shown(plan_survey(tmp_path))) == ["mine.py"]


def test_a_name_that_is_no_text_is_left_out(tmp_path: Path) -> None:
    tree(tmp_path, mine=1)
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.py")).touch()
    assert list(shown(plan_survey(tmp_path))) == ["mine.py"]


def test_a_tree_without_python_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="no Python file under"):
        plan_survey(tmp_path)


def test_a_tree_too_large_is_thinned_evenly_and_tests_give_way_first(tmp_path: Path) -> None:
    names = {f"code__m{number:03}": 10 for number in range(90)} | {f"tests__t{number:03}": 10 for number in range(90)}
    plan = plan_survey(tree(tmp_path, **names), max_files=60)
    tests = [file for file in plan.files if file.priority == LOW]
    assert plan.found == 180
    assert (len(plan.files), len(tests)) == (60, 10)
    assert len(plan_survey(tmp_path, max_bytes=600).files) <= 60


def test_spread_keeps_all_up_to_a_ratio_of_one_and_never_none() -> None:
    paths = [Path(str(number)) for number in range(10)]
    assert spread(paths, 0.5) == paths
    assert [path.name for path in spread(paths, 5)] == ["0", "5"]
    assert len(spread(paths, 1000)) == 1


@pytest.mark.parametrize(
    ("name", "answer"),
    [("test_a.py", True), ("a_test.py", True), ("tests/a.py", True), ("conftest.py", True), ("contest.py", False)],
)
def test_what_a_test_is(name: str, answer: bool) -> None:
    assert is_test(Path(name)) is answer
