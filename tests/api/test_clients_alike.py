"""Every client asks alike and refuses alike: also the one that speaks to the ledger itself, with no wire between."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from mindswarm_exec.direct import DirectClient
from mindswarm_exec.errors import InvalidRequest
from mindswarm_exec.settings import Settings

ID = "01890000-0000-7000-8000-000000000000"
HOSTILE = "two words\n"


#: Verbs and arguments that do not fit.
REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("list", {"limit": 0}),
    ("list", {"limit": 501}),
    ("list", {"nonsense": 1}),
    ("list", {"since": "yesterday"}),
    ("list", {"since": "2026-01-31T12:00:00Z", "until": "2026-01-31T11:00:00Z"}),
    ("list", {"tag": 'a"b'}),
    ("list", {"status": "lost"}),
    ("list", {"cursor": "²:x"}),
    ("get_history", {"limit": -1}),
    ("get_history", {"until": 3.5, "task_id": HOSTILE}),
    ("get_history", {"execution_id": ID, "status": "failed"}),
    ("event_history", {"event_types": ["X!"]}),
    ("event_history", {"cursor": "last"}),
    ("event_history", {"limit": 0}),
    ("start", {}),
    ("start", {"task_type": ["a.b"]}),
    ("start", {"task_type": HOSTILE}),
    ("start", {"task_type": "a.b", "project_id": HOSTILE}),
    ("start", {"task_type": "a.b", "task_id": HOSTILE}),
    ("start", {"task_type": "a.b", "parent_id": "nobody"}),
    ("start", {"task_type": "a.b", "idempotency_key": ""}),
    ("start", {"task_type": "a.b", "idempotency_key": "x" * 256}),
    ("create_task", {"title": ""}),
    ("create_task", {"title": "x", "project_id": HOSTILE}),
    ("create_task", {"title": "x", "nonsense": 1}),
    ("list_tasks", {"limit": 0}),
    ("list_tasks", {"status": HOSTILE}),
    ("list_tasks", {"status": "completed"}),
    ("update_task", {"task_id": "x", "nonsense": 1}),
    ("update_task", {"task_id": "x", "title": None}),
    ("update_task", {"task_id": "x", "status": None}),
    ("assign_task", {"task_id": "x", "assignee": HOSTILE}),
    ("cancel", {"execution_id": ID, "reason": "x" * 1001}),
    ("start_many", {"task_type": HOSTILE, "payloads": [1]}),
]


def test_what_does_not_fit_is_refused_in_a_sentence(door: Any) -> None:
    assert [asked for asked in REFUSED if not _is_refused(door, *asked)] == []
    assert not door.list().executions


def _is_refused(door: Any, verb: str, arguments: dict[str, Any]) -> bool:
    try:
        getattr(door, verb)(**arguments)
    except InvalidRequest:
        return True
    return False


def test_what_is_not_said_of_a_tasks_execution_is_as_the_task_says(door: Any) -> None:
    task = door.create_task("survey it", task_type="code.survey", payload={"a": 1}, project_id="red")
    started = door.get(door.start(task_id=task.task_id, priority="high").execution_id)
    assert (started.task_type, started.payload, started.project_id) == ("code.survey", {"a": 1}, "red")
    assert (started.task_id, started.priority) == (task.task_id, 7)
    other = door.get(door.start("code.review", {"b": 2}, task_id=task.task_id).execution_id)
    assert (other.task_type, other.payload, other.project_id) == ("code.review", {"b": 2}, "red")


def test_what_is_changed_to_null_is_null(door: Any) -> None:
    task = door.create_task("survey it", task_type="code.survey", payload={"a": 1}, assignee="anna")
    changed = door.update_task(task.task_id, task_type=None, payload=None, assignee=None)
    assert (changed.task_type, changed.payload, changed.assignee) == (None, None, None)
    assert door.get_task(task.task_id) == changed


def test_a_page_of_events_may_begin_with_the_newest(door: Any) -> None:
    door.start("a.b")
    (event,) = door.event_history(limit=1, newest_first=True).events
    assert event.event_type == "execution.created"


def test_events_that_do_not_fit_are_refused_before_any_is_awaited(settings: Settings) -> None:
    assert settings.redis_url is not None
    with DirectClient(settings.redis_url, settings) as client:
        for wrong in ({"event_types": ["X!"]}, {"nonsense": 1}, {"from_event_id": "last"}):
            with pytest.raises(InvalidRequest):
                next(client.events(**wrong))


def test_a_client_that_cannot_open_its_services_says_so_each_time_and_leaves_no_thread(settings: Settings) -> None:
    assert settings.redis_url is not None
    wrong = settings.model_copy(update={"archive_url": "nonsense"})
    with DirectClient(settings.redis_url, wrong) as client:
        for _ in range(2):
            with pytest.raises(InvalidRequest, match="MINDSWARM_ARCHIVE_URL cannot be used"):
                client.get(ID)
    for thread in threading.enumerate():
        if thread.name == "direct-client":
            thread.join(5)
            assert not thread.is_alive()
