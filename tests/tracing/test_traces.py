"""The spans of executions, in one process: who goes on from whom, and what they say."""

from __future__ import annotations

from pathlib import Path

import pytest
from opentelemetry import trace

from mindswarm_exec.errors import InvalidRequest, UnknownAgent
from mindswarm_exec.testing import Swarm, SwarmHandle
from tests.eventually import eventually
from tests.tracing import traced_agents
from tests.tracing.seen_spans import ProgramSpans, SeenSpan

AGENT = "tests.tracing.traced_agents:agent"
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def traced(spans: ProgramSpans, swarm: Swarm) -> Swarm:
    swarm.agent(AGENT)
    return swarm


def trace_id_of(handle: SwarmHandle) -> str:
    traceparent = handle.get().traceparent
    assert traceparent is not None
    return traceparent.split("-")[1]


def run_of(spans: ProgramSpans, handle: SwarmHandle, task_type: str) -> SeenSpan:
    return spans.await_one(f"run {task_type}", of=trace_id_of(handle))


# --- one trace -------------------------------------------------------------------------------------------


def test_submission_wait_and_attempt_are_one_trace(spans: ProgramSpans, traced: Swarm) -> None:
    handle = traced.start("look.thread", project_id="shop")
    handle.result()
    run = run_of(spans, handle, "look.thread")
    submitted, waited = (spans.await_one(f"{what} look.thread", of=run.trace_id) for what in ("submit", "wait"))
    assert (submitted.kind, waited.kind, run.kind) == ("PRODUCER", "INTERNAL", "CONSUMER")
    assert submitted.parent_id == ""
    assert waited.parent_id == run.parent_id == submitted.span_id
    assert handle.get().traceparent == submitted.traceparent
    assert waited.end_ns == run.start_ns
    assert not any(span.is_error for span in (submitted, waited, run))


def test_attributes_are_those_of_messaging(spans: ProgramSpans, traced: Swarm) -> None:
    handle = traced.start("look.thread", project_id="shop")
    handle.result()
    run = run_of(spans, handle, "look.thread")
    submitted = spans.await_one("submit look.thread", of=run.trace_id)
    both = {
        "messaging.system": "mindswarm",
        "messaging.destination.name": "look.thread",
        "messaging.message.id": handle.execution_id,
    }
    assert submitted.attributes == both | {
        "messaging.operation.name": "submit",
        "messaging.operation.type": "send",
    }
    assert run.attributes == both | {
        "messaging.operation.name": "run",
        "messaging.operation.type": "process",
        "messaging.client.id": "traced",
        "mindswarm.project_id": "shop",
        "mindswarm.attempt": 1,
        "mindswarm.outcome": "succeeded",
    }


def test_what_is_submitted_in_a_span_lies_under_it(spans: ProgramSpans, traced: Swarm) -> None:
    with trace.get_tracer("program").start_as_current_span("checkout") as span:
        handle = traced.start("look.async")
    handle.result()
    run = run_of(spans, handle, "look.async")
    submitted = spans.await_one("submit look.async", of=run.trace_id)
    assert submitted.parent_id == f"{span.get_span_context().span_id:016x}"
    assert run.parent_id == submitted.span_id


def test_a_span_that_is_named_goes_before_the_current_one(spans: ProgramSpans, traced: Swarm) -> None:
    with trace.get_tracer("program").start_as_current_span("checkout"):
        handle = traced.start("look.thread", traceparent=PARENT, tracestate="vendor=1")
    assert handle.result()["state"] == "vendor=1"
    record = handle.get()
    assert record.tracestate == "vendor=1"
    run = spans.await_one("run look.thread", of=TRACE_ID)
    assert spans.await_one("submit look.thread", of=TRACE_ID).parent_id == "00f067aa0ba902b7"
    assert record.traceparent == f"00-{TRACE_ID}-{run.parent_id}-01"


def test_many_that_are_submitted_at_once_share_one_span_of_submission(spans: ProgramSpans, traced: Swarm) -> None:
    handles = traced.client.start_many("look.thread", [None] * 3, traceparent=PARENT)
    for handle in handles:
        handle.result(10)
    runs = spans.await_named("run look.thread", of=TRACE_ID, count=3)
    submitted = spans.await_one("submit look.thread", of=TRACE_ID)
    assert submitted.attributes["messaging.batch.message_count"] == 3
    assert {run.parent_id for run in runs} == {submitted.span_id}
    assert {run.attributes["messaging.message.id"] for run in runs} == {handle.execution_id for handle in handles}


def test_an_earlier_submission_with_the_same_key_is_named(spans: ProgramSpans, traced: Swarm) -> None:
    first = traced.start("look.thread", idempotency_key="once")
    first.result()
    again = traced.start("look.thread", idempotency_key="once", traceparent=PARENT)
    assert again.execution_id == first.execution_id
    submitted = spans.await_one("submit look.thread", of=TRACE_ID)
    assert submitted.attributes["messaging.message.id"] == first.execution_id
    assert submitted.attributes["mindswarm.existing"] is True
    assert len(spans.await_named("run look.thread", of=trace_id_of(first))) == 1


def test_a_submission_that_is_refused_has_a_span_that_says_so(spans: ProgramSpans, traced: Swarm) -> None:
    with pytest.raises(UnknownAgent):
        traced.start("look.thread", agent={"agent_id": "nobody"}, traceparent=PARENT)
    submitted = spans.await_one("submit look.thread", of=TRACE_ID)
    assert submitted.is_error
    assert submitted.attributes["error.type"] == "UnknownAgent"


def test_a_name_that_is_refused_is_the_name_of_no_span(spans: ProgramSpans, traced: Swarm) -> None:
    with pytest.raises(InvalidRequest):
        traced.start("no such\x00name")
    assert spans.all() == []


# --- what handlers see -----------------------------------------------------------------------------------


@pytest.mark.parametrize("task_type", ["look.thread", "look.async"])
def test_the_span_of_the_attempt_is_the_current_one_of_its_handler(
    spans: ProgramSpans, traced: Swarm, task_type: str
) -> None:
    handle = traced.start(task_type)
    seen = handle.result()
    run = run_of(spans, handle, task_type)
    assert seen == {"ctx": run.traceparent, "state": None, "current": run.traceparent}


def test_a_process_finds_the_trace_in_its_context_and_its_environment(spans: ProgramSpans, traced: Swarm) -> None:
    handle = traced.start("look.process", traceparent=PARENT, tracestate="vendor=1")
    seen = handle.result()
    run = spans.await_one("run look.process", of=TRACE_ID)
    traceparent = f"00-{TRACE_ID}-{run.span_id}-01"
    assert seen == {"ctx": traceparent, "state": "vendor=1", "TRACEPARENT": traceparent, "TRACESTATE": "vendor=1"}


def test_a_command_finds_the_trace_in_its_environment(spans: ProgramSpans, traced: Swarm) -> None:
    handle = traced.start("look.command", {})
    printed = handle.result()["stdout"].strip()
    assert printed == run_of(spans, handle, "look.command").traceparent


@pytest.mark.parametrize("kind", ["async", "process"])
def test_children_lie_under_the_attempt_that_started_them(spans: ProgramSpans, traced: Swarm, kind: str) -> None:
    handle = traced.start(f"parent.{kind}", "look.thread")
    handle.result()
    run = run_of(spans, handle, f"parent.{kind}")
    submitted = spans.await_one("submit look.thread", of=run.trace_id)
    child = spans.await_one("run look.thread", of=run.trace_id)
    assert submitted.parent_id == run.span_id
    assert child.parent_id == submitted.span_id


# --- how attempts end ------------------------------------------------------------------------------------


def test_a_failed_attempt_is_an_error_without_what_the_error_says(spans: ProgramSpans, traced: Swarm) -> None:
    handle = traced.start("fail.once", "a secret")
    handle.await_status("failed")
    run = run_of(spans, handle, "fail.once")
    assert run.is_error
    assert (run.attributes["error.type"], run.attributes["mindswarm.outcome"]) == ("ValueError", "handler_error")
    assert "secret" not in repr(spans.all())


def test_attempts_after_a_failure_are_siblings_each_after_its_wait(spans: ProgramSpans, traced: Swarm) -> None:
    policy = {"max_attempts": 2, "initial_delay_seconds": 0}
    handle = traced.start("fail.once", "", retry_policy=policy)
    traced.sweep()
    assert handle.result() == 2
    runs = spans.await_named("run fail.once", of=trace_id_of(handle), count=2)
    waits = spans.await_named("wait fail.once", of=trace_id_of(handle), count=2)
    assert [run.attributes["mindswarm.attempt"] for run in runs] == [1, 2]
    assert [run.is_error for run in runs] == [True, False]
    assert len({span.parent_id for span in (*runs, *waits)}) == 1
    assert runs[0].start_ns < waits[1].end_ns <= runs[1].start_ns


def test_what_goes_on_after_a_pause_belongs_to_the_same_trace(spans: ProgramSpans, traced: Swarm) -> None:
    handle = traced.start("steps")
    eventually(lambda: _has_checkpoint(handle))
    handle.pause()
    handle.await_status("paused")
    handle.resume()
    assert handle.result() == 2
    before, after = spans.await_named("run steps", of=trace_id_of(handle), count=2)
    assert before.parent_id == after.parent_id
    assert (before.attributes["mindswarm.outcome"], before.is_error) == ("paused", False)
    assert before.events == ["mindswarm.pause"]


def _has_checkpoint(handle: SwarmHandle) -> None:
    assert handle.get().checkpoint is not None


def test_a_cancel_is_an_event_of_the_attempt_and_no_error(spans: ProgramSpans, traced: Swarm) -> None:
    handle = traced.start("wait", "never")
    handle.await_status("running")
    handle.cancel()
    handle.await_status("cancelled")
    run = run_of(spans, handle, "wait")
    assert run.events == ["mindswarm.cancel"]
    assert (run.attributes["mindswarm.outcome"], run.is_error) == ("cancelled_by", False)


def test_a_forced_cancel_leaves_the_span_of_the_attempt_too(spans: ProgramSpans, traced: Swarm) -> None:
    handle = traced.start("wait", "never")
    spans.await_one("run look.thread", of=trace_id_of(handle))  # its handler has started the child, and waits
    handle.cancel(force=True)
    assert run_of(spans, handle, "wait").attributes["mindswarm.outcome"] == "cancelled_by"


def test_a_lost_attempt_has_one_span_from_whoever_finds_it_and_its_children_lie_under_it(
    spans: ProgramSpans, swarm: Swarm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traced_agents, "FILES", tmp_path)
    lost = swarm.agent(AGENT, "lost")
    handle = swarm.start("wait", "let-go")
    spans.await_one("run look.thread", of=trace_id_of(handle))
    lost.cut_off()
    swarm.agent(AGENT, "other")
    swarm.clock.advance(swarm.settings.lease_seconds + 1)
    swarm.sweep()
    (tmp_path / "let-go").touch()
    assert handle.result() == "other"
    lost.reconnect()
    assert lost.drain()
    first, second = spans.await_named("run wait", of=trace_id_of(handle), count=2)
    assert (first.is_error, first.attributes["error.type"]) == (True, "agent_lost")
    assert (first.attributes["messaging.client.id"], second.attributes["messaging.client.id"]) == ("lost", "other")
    assert second.attributes["mindswarm.attempt"] == 2
    child, *_ = spans.named("submit look.thread", of=first.trace_id)
    assert child.parent_id == first.span_id
