"""Submitting a survey over the API, and reading it back from there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

from mindswarm_exec.client import ExecutionClient
from mindswarm_exec.demo.plan import PROJECT
from mindswarm_exec.models.records import Execution, ExecutionHistory, ExecutionPage, HistoryEntry

T = TypeVar("T")

#: Calls in one JSON-RPC batch.
BATCH = 100
#: Executions in one page of the listing; each brings its result.
PAGE = 200


def submit(client: ExecutionClient, params: Sequence[dict[str, Any]]) -> Iterator[dict[str, str]]:
    """Submit executions batch by batch; yield each batch's ids with their subjects.

    Raises:
        MindSwarmError: what the API answered to the first that it refused.
    """
    for batch in batched(params, BATCH):
        answers = client.batch([("mindswarm.execution.start", one) for one in batch])
        subjects = (f"{one['task_type'].partition('.')[2]} {one['payload']['shown_as']}" for one in batch)
        yield {_read(answer)["execution_id"]: subject for answer, subject in zip(answers, subjects, strict=True)}


def executions(client: ExecutionClient) -> list[Execution]:
    """Every execution of the survey, as the ledger has it."""
    found: list[Execution] = []
    cursor: dict[str, str] = {}
    while True:
        answer = client.call("mindswarm.execution.list", project_id=PROJECT, limit=PAGE, **cursor)
        page = ExecutionPage.model_validate(answer)
        found += page.executions
        if page.next_cursor is None:
            return found
        cursor = {"cursor": page.next_cursor}


def histories(client: ExecutionClient, execution_ids: Sequence[str]) -> dict[str, tuple[HistoryEntry, ...]]:
    """The record of each execution, as the ledger has it."""
    found: dict[str, tuple[HistoryEntry, ...]] = {}
    for batch in batched(execution_ids, BATCH):
        answers = client.batch([("mindswarm.execution.getHistory", {"execution_id": name}) for name in batch])
        for name, answer in zip(batch, answers, strict=True):
            found[name] = ExecutionHistory.model_validate(_read(answer)).entries
    return found


def batched(items: Sequence[T], size: int) -> Iterator[list[T]]:
    """Yield the items in lists of `size`; the last may be shorter."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def _read(answer: Any) -> Any:
    if isinstance(answer, Exception):
        raise answer
    return answer
