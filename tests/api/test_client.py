"""ExecutionClient and AsyncExecutionClient, against a real API: they keep the same promises."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from mindswarm_exec.client import AsyncExecutionClient, ExecutionClient
from mindswarm_exec.client.calling import Dropped, Post, make
from mindswarm_exec.client.wire import Address, any_call, parse
from mindswarm_exec.errors import (
    ApiUnavailable,
    ExecutionNotCompleted,
    InvalidRequest,
    MoveRefused,
    ResultNotReady,
    Unauthenticated,
    UnknownExecution,
)
from mindswarm_exec.models.events import Gap
from mindswarm_exec.models.options import ExecutionOptions, RetryPolicy
from tests.api.hand_agent import HandAgent
from tests.api.running_api import RunningApi

WHOLE_LIFE = [
    "execution.created",
    "execution.queued",
    "execution.started",
    "execution.progress",
    "execution.completed",
]


@pytest.fixture
def client(api: RunningApi) -> Iterator[ExecutionClient]:
    with ExecutionClient(api.url) as client:
        yield client


def in_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


# --- submit and control ----------------------------------------------------------------------------------


def test_options_go_as_keywords_and_as_a_record(client: ExecutionClient) -> None:
    options = ExecutionOptions(timeout_seconds=5, retry_policy=RetryPolicy(max_attempts=3))
    handle = client.start("code.survey", {"a": 1}, options=options, priority="high", project_id="red")
    execution = client.get(handle.execution_id)
    assert (execution.priority, execution.project_id, execution.payload) == (7, "red", {"a": 1})
    assert (execution.options.timeout_seconds, execution.options.retry_policy.max_attempts) == (5, 3)


def test_a_payload_may_be_a_record(client: ExecutionClient) -> None:
    class Survey(BaseModel):
        files: list[str]

    assert client.get(client.start("code.survey", Survey(files=["a"])).execution_id).payload == {"files": ["a"]}


def test_every_submission_has_an_idempotency_key(client: ExecutionClient) -> None:
    one = client.start("code.survey", idempotency_key="k")
    assert client.start("code.survey", idempotency_key="k").execution_id == one.execution_id
    assert client.start("code.survey").execution_id != client.start("code.survey").execution_id


def test_many_are_started_in_order(client: ExecutionClient) -> None:
    client_batch = [client.get(handle.execution_id).payload for handle in client.start_many("a", range(10))]
    assert client_batch == list(range(10))


def test_an_execution_is_controlled_by_its_handle(client: ExecutionClient) -> None:
    handle = client.start("code.survey")
    assert handle.status() == "pending"
    assert handle.pause("lunch").status == "paused"
    assert handle.resume(checkpoint={"n": 1}).checkpoint == {"n": 1}
    assert handle.cancel("enough").status == "cancelled"
    assert handle.retry().status == "pending"


def test_everything_else_has_a_method(client: ExecutionClient, agent: HandAgent) -> None:
    handle = client.start("code.survey")
    assert [each.agent_id for each in client.agents()] == ["coder"]
    assert client.sleep_agent("coder").state == "waking", "work waits that only it can do"
    assert client.wake_agent("coder").state == "waking"
    agent.open()
    assert client.agent("coder").load == 1
    task = client.create_task("t", task_type="code.survey")
    assert client.update_task(task.task_id, title="u").title == "u"
    assert client.assign_task(task.task_id, "anna").assignee == "anna"
    assert client.get_task(task.task_id).title == "u"
    assert [each.task_id for each in client.list_tasks().tasks] == [task.task_id]
    assert [each.execution_id for each in client.list(status="queued").executions] == [handle.execution_id]
    assert client.get_history(handle.execution_id).entries[0].event_type == "execution.created"
    assert client.get_metrics(handle.execution_id).attempts >= 1
    assert client.get_window_metrics("1h").groups == ()
    assert client.get_queue_status().slots_taken == 1
    assert client.event_history(event_types=["execution.created"]).events[0].seq == 1
    assert len(client.call("rpc.discover")["methods"]) >= 25


def test_a_batch_answers_each_call_by_itself(client: ExecutionClient) -> None:
    first, second = client.batch(
        [("mindswarm.execution.start", {"task_type": "a"}), ("mindswarm.execution.get", {"execution_id": "7"})]
    )
    assert first["status"] == "pending"
    assert isinstance(second, InvalidRequest)
    assert client.batch([]) == []


# --- errors ----------------------------------------------------------------------------------------------


def test_the_client_raises_what_the_server_raised(client: ExecutionClient) -> None:
    with pytest.raises(UnknownExecution) as unknown:
        client.get("00000000-0000-7000-8000-000000000000")
    assert unknown.value.facts["execution_id"] == "00000000-0000-7000-8000-000000000000"
    with pytest.raises(MoveRefused, match="Only paused executions can be resumed"):
        client.start("code.survey").resume()
    with pytest.raises(InvalidRequest, match="did you mean 'priority'"):
        client.start("code.survey", prioritty=3)
    with pytest.raises(InvalidRequest, match="Method not found"):
        client.call("mindswarm.execution.stop")


def test_an_api_that_is_not_there_is_named_with_the_way_to_start_it() -> None:
    with (
        ExecutionClient("http://127.0.0.1:1") as client,
        pytest.raises(ApiUnavailable, match=r"http://127.0.0.1:1 .*mindswarm-exec up"),
    ):
        client.get_queue_status()
    with ExecutionClient("http://127.0.0.1:1") as client, pytest.raises(ApiUnavailable):
        next(client.events())


def test_a_key_opens_the_guarded_api_and_its_lack_is_a_typed_error(guarded_api: RunningApi) -> None:
    key = guarded_api.run(lambda services: services.keys.create_key(["red"], "test"))
    with ExecutionClient(guarded_api.url, api_key=key) as client:
        handle = client.start("code.survey")
        handle.cancel()
        assert [event.event_type for event in handle.events()] == ["execution.created", "execution.cancelled"]
    with ExecutionClient(guarded_api.url) as client:
        with pytest.raises(Unauthenticated):
            client.get_queue_status()
        with pytest.raises(Unauthenticated):
            next(client.events())


def test_only_what_may_be_repeated_is_repeated() -> None:
    address = Address("http://127.0.0.1:1")

    def effects(method: str, params: dict[str, Any]) -> Iterator[Post]:
        """What is sent while every answer is lost."""
        script = make(any_call(method, params), address)
        effect = next(script)
        while True:
            assert isinstance(effect, Post)
            yield effect
            try:
                effect = script.throw(Dropped("ReadError"))
            except ApiUnavailable:
                return

    sent = {}
    for verb, params in {"execution.get": {}, "execution.start": {"task_type": "a"}, "execution.cancel": {}}.items():
        posts = list(effects(f"mindswarm.{verb}", params))
        assert len(set(posts)) == 1  # the same request, with the same key
        sent[verb] = len(posts)
    assert sent == {"execution.get": 3, "execution.start": 3, "execution.cancel": 1}


def test_a_lost_answer_to_a_submission_leaves_one_execution(client: ExecutionClient, api: RunningApi) -> None:
    script = make(any_call("mindswarm.execution.start", {"task_type": "a"}), Address(api.url))
    first = next(script)
    assert isinstance(first, Post)
    with client._line() as line:
        line._carry_out(first)  # arrives, but its answer is lost
        again = script.throw(Dropped("ReadError"))
        with pytest.raises(StopIteration) as done:
            script.send(line._carry_out(again))
    executions = client.list().executions
    assert [each.execution_id for each in executions] == [done.value.value["execution_id"]]


def test_what_is_no_json_rpc_is_no_api() -> None:
    assert parse("<html>") is None
    assert parse('{"detail": "Not Found"}') is None


# --- results and events ----------------------------------------------------------------------------------


def test_a_result_is_waited_for(client: ExecutionClient, agent: HandAgent) -> None:
    handle = client.start("code.survey")
    worker = in_thread(lambda: agent.run(handle.execution_id, {"lines": 3}))
    assert handle.result(timeout=30) == {"lines": 3}
    assert handle.result() == {"lines": 3}
    worker.join()


def test_many_waits_share_few_connections(client: ExecutionClient, agent: HandAgent) -> None:
    for n in range(20):
        handle = client.start("code.survey")
        agent.run(handle.execution_id, n)
        assert handle.result(timeout=30) == n
    assert len(client._idle) == 1


def test_an_execution_that_fails_says_why(client: ExecutionClient, agent: HandAgent) -> None:
    handle = client.start("code.survey")
    agent.fail(agent.begin(handle.execution_id), "no such file")
    with pytest.raises(ExecutionNotCompleted, match="ended as failed: ValueError: no such file") as failed:
        handle.result(timeout=30)
    assert failed.value.facts["error"]["type"] == "ValueError"


def test_a_wait_ends_at_its_timeout_and_the_execution_goes_on(client: ExecutionClient) -> None:
    handle = client.start("code.survey")
    with pytest.raises(ResultNotReady, match=r"has not ended within 0\.05 s; it goes on"):
        handle.result(timeout=0.05)
    with pytest.raises(TimeoutError):
        handle.result(timeout=0)
    assert handle.status() == "pending"


def test_a_wait_for_what_does_not_exist_ends_at_once(client: ExecutionClient) -> None:
    with pytest.raises(UnknownExecution):
        client.handle("00000000-0000-7000-8000-000000000000").result(timeout=30)


def test_a_wait_survives_a_restart_of_the_api(client: ExecutionClient, api: RunningApi, agent: HandAgent) -> None:
    handle = client.start("code.survey")
    results: list[Any] = []
    waiting = in_thread(lambda: results.append(handle.result(timeout=20)))
    attempt = agent.begin(handle.execution_id)
    api.stop()
    agent.complete(attempt, "done meanwhile")
    api.start()
    waiting.join(timeout=20)
    assert results == ["done meanwhile"]


def test_the_events_of_an_execution_come_from_the_first_to_the_last(
    client: ExecutionClient, agent: HandAgent
) -> None:
    handle = client.start("code.survey")
    agent.run(handle.execution_id, 1)
    other = client.start("code.survey")
    agent.run(other.execution_id, 2)
    events = list(handle.events())
    assert [event.event_type for event in events] == WHOLE_LIFE
    assert [event.seq for event in events] == [1, 2, 3, 4, 5]


def test_events_are_followed_while_they_happen(client: ExecutionClient, agent: HandAgent) -> None:
    handle = client.start("code.survey")
    following = handle.events()
    assert next(following).event_type == "execution.created"
    attempt = agent.begin(handle.execution_id)
    for n in range(5):
        agent.progress(attempt, n / 5)
    agent.complete(attempt, 1)
    assert [event.event_type for event in following] == [*WHOLE_LIFE[1:3], *["execution.progress"] * 5, WHOLE_LIFE[4]]


def test_an_end_before_a_retry_is_not_the_end_of_its_events(client: ExecutionClient, agent: HandAgent) -> None:
    handle = client.start("code.survey")
    agent.fail(agent.begin(handle.execution_id), "once")
    handle.retry()
    agent.run(handle.execution_id, 1)
    kinds = [event.event_type for event in handle.events()]
    assert kinds.count("execution.failed") == 1
    assert kinds[-1] == "execution.completed"


def test_following_survives_restarts_of_the_api_without_gap_or_double(
    client: ExecutionClient, api: RunningApi, agent: HandAgent
) -> None:
    handle = client.start("code.survey")
    following = handle.events()
    seen = [next(following).seq]
    attempt = agent.begin(handle.execution_id)
    for _ in range(2):
        api.stop()
        agent.progress(attempt, 0.5)
        api.start()
        agent.progress(attempt, 0.6)
        seen.append(next(following).seq)
    agent.complete(attempt, 1)
    seen += [event.seq for event in following]
    assert seen == list(range(1, len(seen) + 1))
    assert len(seen) == 8


def test_all_events_are_followed_from_now_or_from_a_cursor(client: ExecutionClient) -> None:
    first = client.start("code.survey")
    following = client.events(event_types=["execution.created"])
    heard: list[str | None] = []
    listening = in_thread(lambda: heard.append(next(following).context.execution_id))
    while listening.is_alive():  # begins at an instant of its own: whatever is created after that is heard
        last = client.start("code.survey").execution_id
        listening.join(timeout=0.05)
    assert first.execution_id not in heard
    assert heard
    replayed = client.events("0", event_types=["execution.created"])
    assert next(replayed).context.execution_id == first.execution_id
    assert last is not None


def test_lost_events_are_told(client: ExecutionClient) -> None:
    gaps: list[Gap] = []
    client.start("code.survey")
    following = client.events("99999999999999-0", on_gap=gaps.append)
    assert next(following).event_type == "execution.created"
    assert [gap.reason for gap in gaps] == ["reset"]


# --- the async twin --------------------------------------------------------------------------------------


def test_the_async_client_keeps_the_same_promises(api: RunningApi, agent: HandAgent) -> None:
    async def use() -> None:
        async with AsyncExecutionClient(api.url) as client:
            handles = [await client.start("code.survey", n) for n in range(3)]
            waits = [asyncio.create_task(handle.result(timeout=30)) for handle in handles]
            for n, handle in enumerate(handles):
                await asyncio.to_thread(agent.run, handle.execution_id, n)
            assert await asyncio.gather(*waits) == [0, 1, 2]
            assert [event.event_type async for event in handles[0].events()] == WHOLE_LIFE
            pending = await client.start("other")
            assert await pending.status() == "pending"
            with pytest.raises(ResultNotReady):
                await pending.result(timeout=0.05)
            assert (await pending.pause()).status == "paused"
            assert (await pending.cancel()).status == "cancelled"
            with pytest.raises(ExecutionNotCompleted):
                await pending.result(timeout=5)
            with pytest.raises(MoveRefused):
                await pending.resume()
            assert len(await client.start_many("other", range(3))) == 3
            assert isinstance((await client.batch([("nope", {})]))[0], InvalidRequest)
            async for event in client.events("0"):
                assert event.event_type == "agent.registered"
                break

    asyncio.run(use())


def test_an_async_wait_survives_a_restart_of_the_api(api: RunningApi, agent: HandAgent) -> None:
    async def use() -> None:
        async with AsyncExecutionClient(api.url) as client:
            handle = await client.start("code.survey")
            waiting = asyncio.create_task(handle.result(timeout=20))
            attempt = await asyncio.to_thread(agent.begin, handle.execution_id)
            await asyncio.to_thread(api.stop)
            await asyncio.to_thread(agent.complete, attempt, "done meanwhile")
            await asyncio.to_thread(api.start)
            assert await waiting == "done meanwhile"

    asyncio.run(use())


def test_both_clients_have_the_same_methods() -> None:
    assert {name for name in dir(ExecutionClient) if not name.startswith("_")} == {
        name for name in dir(AsyncExecutionClient) if not name.startswith("_")
    }
