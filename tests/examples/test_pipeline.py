"""The pipeline: children, gathered results, a shared budget, cancels that cascade."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from mindswarm_exec.lifecycle import CANCELLED, COMPLETED, PAUSED, RUNNING
from mindswarm_exec.models.records import Execution
from tests.e2e.swarm import ROOT, Swarm
from tests.eventually import eventually
from tests.examples.conftest import Typed


@pytest.fixture(scope="module", autouse=True)
def _agents(swarm: Swarm) -> None:
    swarm.agent("conductor", "examples.pipeline:conductor")
    swarm.agent("reader", "examples.pipeline:reader")
    swarm.await_agents("conductor", "reader")


def shelf(books: int, pages: int, seconds_a_page: float) -> dict[str, Any]:
    book = {"pages": ["to be"] * pages, "seconds_a_page": seconds_a_page}
    return {"books": {f"book {number}": book for number in range(books)}}


def children(swarm: Swarm, parent_id: str) -> tuple[Execution, ...]:
    return swarm.run(swarm.executions.list(parent_id=parent_id)).executions


def await_children(swarm: Swarm, parent_id: str, status: str, count: int) -> tuple[Execution, ...]:
    def check() -> tuple[Execution, ...]:
        found = children(swarm, parent_id)
        assert [one.status for one in found].count(status) == count, [one.status for one in found]
        return found

    return eventually(check, 20_000)


def test_the_program_gathers_what_the_children_found(swarm: Swarm, api_url: str) -> None:
    command = [sys.executable, "examples/pipeline.py", "to be or not", "to be"]
    environment = {"PYTHONPATH": str(ROOT), "MINDSWARM_API_URL": api_url}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.stdout == "{'book 0': 4, 'book 1': 2}\n", ended.stderr


def test_a_cancel_of_the_parent_cancels_its_children(swarm: Swarm, typed: Typed) -> None:
    parent = swarm.start("shelf.read", shelf(3, 1000, 0.1))
    await_children(swarm, parent, RUNNING, 3)
    typed("cancel", parent)
    swarm.await_status(parent, CANCELLED)
    await_children(swarm, parent, CANCELLED, 3)


def test_the_budget_of_the_parent_binds_its_children(swarm: Swarm, typed: Typed) -> None:
    parent = swarm.start("shelf.read", shelf(2, 6, 0.2), resource_limits={"meters": {"pages": 5}})
    swarm.await_status(parent, PAUSED)
    await_children(swarm, parent, PAUSED, 2)
    typed("resume", parent, "--meter", "pages=100")
    ended = swarm.await_end(parent)
    assert (ended.status, ended.result) == (COMPLETED, {"book 0": 12, "book 1": 12})
    assert len(children(swarm, parent)) == 2, "the parent that began again has the same children"
