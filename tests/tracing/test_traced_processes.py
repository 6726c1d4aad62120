"""Traces across real processes, as a collector receives them: the door, queues, agents, and an agent's death."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from mindswarm_exec.client import ExecutionClient
from mindswarm_exec.lifecycle import COMPLETED
from tests.e2e.celery_program import CeleryProgram
from tests.e2e.swarm import Swarm
from tests.eventually import eventually
from tests.tracing.seen_spans import Collector, ProgramSpans, SeenSpan

AGENT = "tests.tracing.traced_agents:agent"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[Swarm]:
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    with Swarm(tmp_path_factory.mktemp("traced"), **settings) as swarm:
        swarm.agent("one", AGENT)
        swarm.dispatcher()
        swarm.beat()
        swarm.await_agents("one")
        swarm.await_dispatcher()
        yield swarm


@pytest.fixture(scope="module")
def url(swarm: Swarm) -> str:
    return swarm.api()


def ids(number: int) -> tuple[str, str, str]:
    """A trace of the test's own: trace id, span id and traceparent."""
    trace_id, span_id = f"{number:032x}", f"{number:016x}"
    return trace_id, span_id, f"00-{trace_id}-{span_id}-01"


def post(url: str, headers: dict[str, str], **params: object) -> dict[str, object]:
    asked = {"jsonrpc": "2.0", "id": 1, "method": "mindswarm.execution.start", "params": params}
    answer: dict[str, object] = httpx.post(f"{url}/rpc", json=asked, headers=headers).json()
    return answer


def sender(span: SeenSpan) -> object:
    """The process that sent a span: for an agent its name, else the kind of process."""
    name = span.resource["service.name"]
    return span.resource["service.instance.id"] if name == "mindswarm-agent" else name


def test_a_header_at_the_door_begins_a_trace_that_goes_down_to_the_children(
    swarm: Swarm, collector: Collector, url: str
) -> None:
    trace_id, span_id, traceparent = ids(0xA1)
    headers = {"traceparent": traceparent, "tracestate": "vendor=1"}
    answer = post(url, headers, task_type="parent.async", payload="look.thread")
    assert "error" not in answer, answer
    run = collector.await_one("run parent.async", of=trace_id)
    submitted = collector.await_one("submit parent.async", of=trace_id)
    waited = collector.await_one("wait parent.async", of=trace_id)
    child_submitted = collector.await_one("submit look.thread", of=trace_id)
    child = collector.await_one("run look.thread", of=trace_id)
    assert submitted.parent_id == span_id
    assert waited.parent_id == run.parent_id == submitted.span_id
    assert child_submitted.parent_id == run.span_id
    assert child.parent_id == child_submitted.span_id
    assert submitted.start_ns <= run.start_ns <= child.start_ns <= child.end_ns <= run.end_ns
    assert sender(submitted) == "mindswarm-api"
    assert sender(run) == sender(child_submitted) == "one"
    assert run.resource["service.namespace"] == "swarm"


def test_a_header_that_is_none_is_ignored_and_a_field_that_is_none_is_refused(
    swarm: Swarm, collector: Collector, url: str
) -> None:
    answer = post(url, {"traceparent": "nonsense"}, task_type="look.thread")
    traceparent = str(answer["result"]["traceparent"])  # type: ignore[index]
    assert collector.await_one("submit look.thread", of=traceparent.split("-")[1]).parent_id == ""
    refused = post(url, {}, task_type="look.thread", traceparent="nonsense")["error"]
    assert (refused["code"], refused["data"]["code"]) == (-32602, "invalid_request")  # type: ignore[index]
    assert "32 hex digits" in refused["message"]  # type: ignore[index]


def test_a_client_of_the_api_hands_on_the_span_of_its_program(
    swarm: Swarm, collector: Collector, url: str, spans: ProgramSpans
) -> None:
    tracer = spans.provider.get_tracer("program")
    with ExecutionClient(url) as client, tracer.start_as_current_span("checkout") as span:
        client.start("look.thread").result(timeout=20)
        client.start("look.async", traceparent=ids(0xB2)[2]).result(timeout=20)
    context = span.get_span_context()
    submitted = collector.await_one("submit look.thread", of=f"{context.trace_id:032x}")
    assert submitted.parent_id == f"{context.span_id:016x}"
    assert collector.await_one("submit look.async", of=ids(0xB2)[0]).parent_id == ids(0xB2)[1]


def test_a_celery_message_brings_its_trace_through_the_front_door(swarm: Swarm, collector: Collector) -> None:
    trace_id, span_id, traceparent = ids(0xC3)
    with CeleryProgram(swarm) as program:
        started = program.start({"task_type": "look.thread"}, headers={"traceparent": traceparent})
        program.start({"task_type": "look.thread"}, headers={"traceparent": "nonsense"})
        refused = program.start({"task_type": "look.thread", "traceparent": "nonsense"})
    assert refused["error"]["code"] == -32602
    ended = swarm.await_end(started["execution_id"])
    submitted = collector.await_one("submit look.thread", of=trace_id)
    assert submitted.parent_id == span_id
    assert sender(submitted) == "mindswarm-dispatcher"
    run = collector.await_one("run look.thread", of=trace_id)
    assert ended.result["current"] == f"00-{trace_id}-{run.span_id}-01"


def test_an_agent_that_is_killed_leaves_the_span_of_its_attempt_to_a_sweep(
    swarm: Swarm, collector: Collector, url: str
) -> None:
    trace_id, _, traceparent = ids(0xD4)
    doomed = swarm.agent("doomed", AGENT)
    swarm.await_agents("doomed")
    options = {"agent": {"preferred_agent_id": "doomed"}}
    answer = post(url, {"traceparent": traceparent}, task_type="wait", payload="killed", options=options)
    execution_id = str(answer["result"]["execution_id"])  # type: ignore[index]
    collector.await_one("submit look.thread", of=trace_id)
    doomed.kill()
    swarm.touch("killed")
    ended = swarm.await_end(execution_id)
    assert (ended.status, ended.result, ended.attempt) == (COMPLETED, "one", 2)
    first, second = collector.await_named("run wait", of=trace_id, count=2)
    assert first.parent_id == second.parent_id == collector.await_one("submit wait", of=trace_id).span_id
    assert (first.is_error, first.attributes["error.type"], first.attributes["mindswarm.attempt"]) == (
        True,
        "agent_lost",
        1,
    )
    assert first.attributes["messaging.client.id"] == "doomed"
    assert sender(first) != "doomed"
    assert (second.is_error, second.attributes["mindswarm.attempt"]) == (False, 2)
    children = collector.named("submit look.thread", of=trace_id)
    assert {child.parent_id for child in children} == {first.span_id, second.span_id}


def test_what_goes_on_elsewhere_after_a_drain_belongs_to_the_same_trace_and_nothing_is_left_unsent(
    swarm: Swarm, collector: Collector, url: str
) -> None:
    trace_id, _, traceparent = ids(0xE5)
    # it would send its spans in a minute, if the drain did not
    leaving = swarm.agent("leaving", AGENT, OTEL_BSP_SCHEDULE_DELAY="60000")
    swarm.await_agents("leaving")
    options = {"agent": {"preferred_agent_id": "leaving"}}
    answer = post(url, {"traceparent": traceparent}, task_type="steps", options=options)
    execution_id = str(answer["result"]["execution_id"])  # type: ignore[index]
    eventually(lambda: _has_checkpoint(swarm, execution_id), 20_000)
    leaving.terminate()
    assert leaving.exit_code() == 0
    assert swarm.await_end(execution_id).result == 2
    before, after = collector.await_named("run steps", of=trace_id, count=2)
    assert (before.attributes["mindswarm.outcome"], before.is_error) == ("handed_back", False)
    assert before.parent_id == after.parent_id
    assert before.events == ["mindswarm.hand_back"]


def test_an_api_and_a_dispatcher_send_their_last_spans_when_they_are_stopped(
    tmp_path: Path, collector: Collector
) -> None:
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "60000"}
    with Swarm(tmp_path, **settings) as swarm:
        dispatcher = swarm.dispatcher()
        post(swarm.api(), {"traceparent": ids(0xE6)[2]}, task_type="look.thread")
        with CeleryProgram(swarm) as program:
            program.start({"task_type": "look.thread"}, headers={"traceparent": ids(0xE7)[2]})
        for process in (dispatcher, swarm.named("api")):
            process.terminate()
            assert process.exit_code() == 0
    assert sender(collector.await_one("submit look.thread", of=ids(0xE6)[0])) == "mindswarm-api"
    assert sender(collector.await_one("submit look.thread", of=ids(0xE7)[0])) == "mindswarm-dispatcher"


def _has_checkpoint(swarm: Swarm, execution_id: str) -> None:
    assert swarm.get(execution_id).checkpoint is not None


def test_no_payload_result_or_message_of_an_error_is_sent(swarm: Swarm, collector: Collector, url: str) -> None:
    """Runs last: it looks at all that was sent."""
    canary, (trace_id, _, traceparent) = "canary-9d1c", ids(0xF6)
    post(url, {"traceparent": traceparent}, task_type="fail.once", payload=canary, idempotency_key=canary)
    assert collector.await_one("run fail.once", of=trace_id).is_error
    post(url, {"traceparent": traceparent}, task_type="look.thread", payload={"of": canary}, **{canary: canary})
    assert [body for body in collector.bodies if canary.encode() in body] == []
    assert json.dumps([span.attributes for span in collector.of(trace_id)]).count("ValueError") == 1
