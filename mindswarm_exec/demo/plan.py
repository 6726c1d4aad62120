"""Which files are surveyed, and how urgent each is. Pure, but for looking at the tree."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from mindswarm_exec.demo.metrics import functions_of, measure
from mindswarm_exec.demo.source import count_lines, read_source
from mindswarm_exec.errors import InvalidRequest

T = TypeVar("T")

TASK_TYPES = ("survey.metrics", "survey.lint", "survey.coverage")
OVERVIEW = "survey.overview"
PROJECT = "survey"

#: Bounds of one survey, so that it ends within a minute on two cores.
MAX_FILES, MAX_BYTES = 600, 12 << 20
#: Seconds of CPU that the reference may take before a survey is made smaller; a machine of 2020 takes half.
REFERENCE_SECONDS = 0.35
LEAST_SHARE = 0.1

#: Bytes of JSON that the names of the files of an overview may take: half of what a payload may have.
OVERVIEW_BYTES = 1 << 19

#: Priorities by what a file is: the largest tenth first, tests last.
HIGH, NORMAL, LOW = 7, 5, 2

#: Directories with code of others, or none.
_SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages", "dist-packages"})


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """A file, what the report calls it, and its priority."""

    path: Path
    shown_as: str
    priority: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What is surveyed: some or all of the `found` files under `root`."""

    root: Path
    files: tuple[PlannedFile, ...]
    found: int

    @property
    def executions(self) -> int:
        """Three a file, and the overview."""
        return len(self.files) * len(TASK_TYPES) + 1

    @property
    def overview_files(self) -> tuple[str, ...]:
        """The files that the overview goes over: all of them, or evenly as many as one payload can name."""
        names = [file.shown_as for file in self.files]
        return tuple(spread(names, sum(len(json.dumps(name)) for name in names) / OVERVIEW_BYTES))


def plan_survey(root: Path, max_files: int = MAX_FILES, max_bytes: int = MAX_BYTES) -> Plan:
    """Plan the survey of a directory, or of one file.

    Raises:
        InvalidRequest: there is no Python under `root`.
    """
    sizes = dict(sorted(python_files(root)))
    if not sizes:
        raise InvalidRequest(f"there is no Python file under {root}. Name a directory that has some.")
    base = root.resolve() if root.is_dir() else root.resolve().parent
    chosen = choose(base, sizes, max_files, max_bytes)
    large = sorted(sizes[path] for path in chosen)[-max(1, len(chosen) // 10)]
    files = (
        PlannedFile(path, str(path.relative_to(base)), priority_of(path.relative_to(base), sizes[path] >= large))
        for path in chosen
    )
    return Plan(base, tuple(files), len(sizes))


def share_of_this_machine() -> float:
    """The share of a full survey that fits this machine, from LEAST_SHARE to 1: measured on one known file."""
    began = time.thread_time()
    source = read_source(Path(argparse.__file__))
    assert source.tree is not None
    count_lines(source.text)
    for name, function in functions_of(source.tree):
        measure(name, function)
    speed = REFERENCE_SECONDS / max(1e-6, time.thread_time() - began)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(LEAST_SHARE, min(1.0, speed * min(1.0, cores / 2)))


def choose(base: Path, sizes: Mapping[Path, int], max_files: int, max_bytes: int) -> list[Path]:
    """The files of a survey within both bounds: evenly over the tree, tests in a sixth or what the rest leaves."""
    code = [path for path in sizes if not is_test(path.relative_to(base))]
    tests = [path for path in sizes if is_test(path.relative_to(base))]
    share = 5 / 6 if tests else 1
    chosen = spread(code, _excess(sizes, code, max_files * share, max_bytes * share))
    files_left = max_files - len(chosen)
    bytes_left = max_bytes - sum(sizes[path] for path in chosen)
    return sorted(chosen + spread(tests, _excess(sizes, tests, max(1, files_left), max(1, bytes_left))))


def spread(paths: Sequence[T], ratio: float) -> list[T]:
    """One of every `ratio` paths, evenly over the sequence; all of them up to a ratio of 1."""
    if ratio <= 1 or not paths:
        return list(paths)
    return [paths[int(number * ratio)] for number in range(max(1, int(len(paths) / ratio)))]


def priority_of(path: Path, is_large: bool) -> int:
    """Tests can wait; the largest files go first, for the last to start decides when all is done."""
    if is_test(path):
        return LOW
    return HIGH if is_large else NORMAL


def is_test(path: Path) -> bool:
    name = path.name
    in_tests = any(part in ("test", "tests", "testing", "idle_test") for part in path.parts[:-1])
    return in_tests or name.startswith("test_") or name.endswith("_test.py") or name == "conftest.py"


def submissions(plan: Plan) -> list[dict[str, Any]]:
    """The params of `mindswarm.execution.start` of every execution that looks at one file, three a file."""
    return [
        {
            "task_type": task_type,
            "payload": {"path": str(file.path), "shown_as": file.shown_as},
            "project_id": PROJECT,
            # a submission repeated after a lost answer is the same execution
            "idempotency_key": _key(task_type, file.shown_as),
            "options": {"priority": file.priority, "tags": [task_type.partition(".")[2]]},
        }
        for file in plan.files
        for task_type in TASK_TYPES
    ]


def overview_submission(plan: Plan, agent_id: str) -> dict[str, Any]:
    """The params of `mindswarm.execution.start` of the overview, which is to begin on an agent if that is free."""
    files = plan.overview_files
    return {
        "task_type": OVERVIEW,
        "payload": {"root": str(plan.root), "files": list(files), "shown_as": f"of {len(files)} files"},
        "project_id": PROJECT,
        "idempotency_key": OVERVIEW,
        "options": {"priority": HIGH, "tags": ["overview"], "agent": {"preferred_agent_id": agent_id}},
    }


def python_files(root: Path) -> Iterator[tuple[Path, int]]:
    """Every Python file under `root` with its size; hidden directories and environments left out."""
    if root.is_file():
        yield root.resolve(), root.stat().st_size
        return
    for directory, names, files in os.walk(root.resolve()):
        here = Path(directory)
        names[:] = sorted(name for name in names if not _is_foreign(here / name))
        for name in files:
            path = here / name
            if name.endswith(".py") and _is_sendable(str(path)) and path.is_file() and not path.is_symlink():
                yield path, path.stat().st_size


def _excess(sizes: Mapping[Path, int], paths: Sequence[Path], max_files: float, max_bytes: float) -> float:
    """How many times over the bounds the files are."""
    return max(len(paths) / max_files, sum(sizes[path] for path in paths) / max_bytes)


def _is_sendable(name: str) -> bool:
    """Whether a name is text: what is not cannot be written in JSON."""
    return not any("\ud800" <= character <= "\udfff" for character in name)


def _is_foreign(directory: Path) -> bool:
    name = directory.name
    return name in _SKIPPED or not _is_sendable(name) or name.startswith(".") or (directory / "pyvenv.cfg").exists()


def _key(task_type: str, shown_as: str) -> str:
    """Short, whatever the file is called: names of files are bytes, and may be long or no text at all."""
    return f"{task_type}-{hashlib.sha256(os.fsencode(shown_as)).hexdigest()[:32]}"
