"""The status of the queue: what waits where, since when, and how fast it moves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from mindswarm_exec.ledger.queue_facts import ClassFacts
from mindswarm_exec.models.options import AgentSelectionCriteria, Constraint
from mindswarm_exec.models.records import DepthOfClass, QueueStatus
from mindswarm_exec.service.queue import depth_of
from tests.api.hand_agent import HandAgent


def only_class(found: QueueStatus) -> DepthOfClass:
    (one,) = found.by_class
    return one


def test_what_is_delayed_or_held_back_is_counted_and_leaves_the_count(door: Any, agent: HandAgent) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    delayed = [door.start("code.survey", start_at=later).execution_id for _ in range(3)]
    first, *held = (door.start("code.survey", concurrency_key="k").execution_id for _ in range(3))
    door.start("code.survey", start_at=later, project_id="other")
    found = door.get_queue_status()
    assert (found.delayed, found.held_by_concurrency, found.waiting) == (4, 2, 0)
    ours = door.get_queue_status("default")
    assert (ours.delayed, ours.held_by_concurrency) == (3, 2)
    door.pause(delayed[0])
    door.cancel(delayed[1])
    door.pause(held[0])
    ours = door.get_queue_status("default")
    assert (ours.delayed, ours.held_by_concurrency) == (1, 1)
    door.resume(delayed[0])
    agent.run(first, None)
    ours = door.get_queue_status("default")
    assert (ours.delayed, ours.held_by_concurrency) == (2, 0)


def test_a_class_tells_its_oldest_wait_and_its_pace(door: Any, agent: HandAgent) -> None:
    for _ in range(50):
        door.start("code.survey")
    assert door.get_queue_status().by_class == ()
    oldest = door.get(door.start("code.survey", priority=0).execution_id)
    door.start("code.survey", priority=9)
    found = only_class(door.get_queue_status())
    now = datetime.now(UTC)
    assert found.waiting == 2
    assert found.oldest_wait_ms is not None
    assert abs((now - oldest.created_at).total_seconds() * 1000 - found.oldest_wait_ms) < 1000
    assert found.arrivals_per_minute > found.services_per_minute > 0
    assert 52 / 5 <= found.arrivals_per_minute <= 52 / 4
    assert found.predicted_start_seconds is not None


def test_of_a_class_that_nobody_serves_no_start_is_predicted(door: Any) -> None:
    door.start("nobody.does")
    found = only_class(door.get_queue_status())
    assert (found.suitable_agents, found.services_per_minute, found.predicted_start_seconds) == (0, 0, None)
    assert found.arrivals_per_minute > 0


def test_a_class_says_all_that_it_asks_for(door: Any) -> None:
    wide = Constraint(label="gpu_mb", op=">=", value=16000)
    criteria = AgentSelectionCriteria(
        required_capabilities=frozenset({"gpu"}), constraints=(wide,), excluded_agents=frozenset({"slow"})
    )
    door.start("code.survey", agent=criteria)
    found = only_class(door.get_queue_status())
    assert found.needs == ("gpu", "gpu_mb >= 16000", "not slow")


def test_rates_are_over_the_last_five_minutes_and_predict_the_next_start() -> None:
    facts = ClassFacts('{"task_type":"t"}', 3, 1, 0, since_ms=10_000, came=18, went=9)
    depth = depth_of(facts, now_ms=30_000)
    assert (depth.arrivals_per_minute, depth.services_per_minute) == (4.0, 2.0)
    assert (depth.predicted_start_seconds, depth.oldest_wait_ms) == (30.0, 20_000)
