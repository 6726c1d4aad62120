"""`run`: one handler without a server, as an agent would run it."""

from __future__ import annotations

import os

import pytest
from pydantic import ValidationError

from mindswarm_exec import Agent, ExecutionContext
from mindswarm_exec.errors import ExecutionNotCompleted, InvalidRequest
from mindswarm_exec.logs import ConsoleLines
from mindswarm_exec.models.records import Execution
from mindswarm_exec.testing import run
from tests.testing_kit import agents_under_test as agents

TEXTS = {"texts": ["to be or not", "to be"]}
COUNTS = {"text 0": 4, "text 1": 2}


def test_a_run_shows_all_that_the_handler_did() -> None:
    seen = run(agents.count, TEXTS)
    assert (seen.status, seen.result) == ("completed", COUNTS)
    assert seen.progress == [(0.5, "counted 0"), (1.0, "counted 1")]
    assert seen.checkpoints == [{"text 0": 4}, COUNTS]
    assert seen.text() == "to be or notto be"


def test_a_payload_may_be_the_model_itself() -> None:
    assert run(agents.count, agents.Texts(**TEXTS)).result == COUNTS


def test_a_payload_that_does_not_fit_fails_as_it_would_on_an_agent() -> None:
    seen = run(agents.count, {"texts": 1})
    assert seen.error is not None
    assert (seen.status, seen.error.kind) == ("failed", "invalid_payload")
    assert "texts" in seen.error.message


def test_a_thread_handler_runs_too() -> None:
    seen = run(agents.digest, ["a", "b"])
    assert (seen.result, seen.output) == (2, [("log", "done")])


@pytest.mark.parametrize(("handler", "payload"), [(agents.count, TEXTS), (agents.digest, ["a", "b"])])
def test_a_pause_stops_it_at_that_checkpoint(handler: object, payload: object) -> None:
    seen = run(handler, payload, pause_at=1)  # type: ignore[arg-type]
    assert (seen.status, len(seen.checkpoints)) == ("paused", 1)
    with pytest.raises(ExecutionNotCompleted, match="paused"):
        seen.result  # noqa: B018


def test_a_run_goes_on_from_the_checkpoint_of_another() -> None:
    paused = run(agents.count, TEXTS, pause_at=1)
    resumed = run(agents.count, TEXTS, checkpoint=paused.checkpoints[-1])
    assert (resumed.result, resumed.text()) == (COUNTS, "to be")


@pytest.mark.parametrize(("handler", "payload"), [(agents.count, TEXTS), (agents.digest, ["a", "b"])])
def test_a_cancel_runs_the_hooks_of_the_agent(handler: object, payload: object) -> None:
    before = len(agents.cleaned)
    seen = run(handler, payload, cancel_at=1)  # type: ignore[arg-type]
    assert (seen.status, len(seen.checkpoints), len(agents.cleaned)) == ("cancelled", 1, before + 1)
    assert seen.text("log") == "cleaned up"


def test_what_a_handler_raises_is_kept_with_its_traceback() -> None:
    seen = run(agents.fail)
    assert seen.error is not None
    assert (seen.status, seen.error.type, seen.error.message) == ("failed", "Shaky", "it broke")
    assert isinstance(seen.exception, agents.Shaky)
    with pytest.raises(ExecutionNotCompleted, match="Shaky: it broke") as caught:
        seen.result  # noqa: B018
    assert caught.value.__cause__ is seen.exception


def test_the_log_has_the_lines_that_led_to_what_a_handler_raised(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="workers.calling"):
        run(agents.fail)
    [record] = [record for record in caplog.records if record.getMessage() == "a handler raised"]
    told = ConsoleLines({}).format(record)
    assert "agents_under_test.py" in told
    assert told.endswith("Shaky")
    assert "Shaky: it broke" not in told, "the message may quote data"


def test_a_retry_policy_is_heeded() -> None:
    seen = run(agents.fail, retry_policy={"max_attempts": 3, "initial_delay_seconds": 5, "jitter": 0})
    assert (seen.status, seen.retry_after_seconds) == ("pending", 5)
    assert run(agents.fail, attempt=3, retry_policy={"max_attempts": 3}).status == "failed"


def test_an_asked_for_retry_says_when() -> None:
    seen = run(agents.later)
    assert (seen.status, seen.retry_after_seconds) == ("pending", 60)
    assert run(agents.later, attempt=3).result == 3


def test_meters_are_counted_and_a_spent_budget_pauses() -> None:
    assert run(agents.spend, [1.5, 2, 3]).meters == {"tokens": 6.5}
    seen = run(agents.spend, [1.5, 2, 3], resource_limits={"meters": {"tokens": 3}})
    assert (seen.status, seen.meters, len(seen.checkpoints)) == ("paused", {"tokens": 3.5}, 2)


def test_a_question_without_an_answer_parks_it() -> None:
    seen = run(agents.approve, "all")
    assert seen.question is not None
    assert (seen.status, seen.question.prompt) == ("paused", "May I delete all?")
    assert seen.question.answer_schema == {"type": "boolean"}


def test_a_question_is_answered_by_its_key() -> None:
    seen = run(agents.approve, "all", answers={"approval": True})
    assert (seen.result, seen.question, len(seen.questions)) == ("deleted", None, 1)


def test_an_answer_that_does_not_fit_is_refused() -> None:
    seen = run(agents.approve, "all", answers={"approval": "perhaps"})
    assert isinstance(seen.exception, InvalidRequest)


def test_children_end_as_the_test_says() -> None:
    seen = run(agents.gather, ["a b", "c"], children={"count": lambda payload: len(payload["texts"][0])})
    assert (seen.result, [child.task_type for child in seen.children]) == ([3, 1], ["count", "count"])
    failed = run(agents.gather, ["a"], children={"count": agents.Shaky("no")})
    assert isinstance(failed.exception, ExecutionNotCompleted)


def test_a_child_that_the_test_says_nothing_of_is_an_error() -> None:
    with pytest.raises(ExecutionNotCompleted, match=r"children=\{'count'"):
        run(agents.gather, ["a"]).result  # noqa: B018


def test_a_function_that_no_agent_offers_runs_by_itself() -> None:
    async def double(ctx: ExecutionContext, payload: int) -> int:
        await ctx.checkpoint({})
        return payload * 2

    assert run(double, 4).result == 8


def test_a_result_is_held_to_its_annotation() -> None:
    local = Agent("local")

    @local.task("wrong")
    def wrong(ctx: object) -> Execution:
        return object()  # type: ignore[return-value]

    seen = run(wrong)
    assert seen.error is not None
    assert (seen.status, seen.error.type) == ("failed", "TypeError")


def test_an_option_that_does_not_fit_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="priority"):
        run(agents.count, TEXTS, priority=12)
    assert not issubclass(InvalidRequest, ValidationError)


# --- in a process of its own -----------------------------------------------------------------------------


def test_a_process_handler_runs_in_a_process_of_its_own() -> None:
    seen = run(agents.pid, [1, 2, 3])
    assert seen.result != os.getpid()
    assert (seen.meters, seen.checkpoints[-1]) == ({"steps": 3}, {"next": 3})
    assert "hello from apart" in seen.text("stdout")


def test_a_process_handler_is_paused_and_goes_on() -> None:
    paused = run(agents.pid, [1, 2, 3], pause_at=2)
    assert (paused.status, paused.checkpoints) == ("paused", [{"next": 1}, {"next": 2}])
    assert run(agents.pid, [1, 2, 3], checkpoint=paused.checkpoints[-1]).meters == {"steps": 1}


def test_a_process_handler_is_held_to_its_limits() -> None:
    seen = run(agents.eat, resource_limits={"memory_mb": 100})
    assert seen.error is not None
    assert (seen.status, seen.error.kind) == ("failed", "memory_limit")


def test_a_command_runs_too() -> None:
    seen = run(agents.apart.handlers["python"], {"text": "said by a program"})
    assert seen.result["exit_code"] == 0
    assert "said by a program" in seen.text("stdout")


def test_a_process_handler_that_no_process_could_import_is_refused() -> None:
    local = Agent("local")

    @local.task("far", isolation="process")
    def far(ctx: object) -> None: ...

    with pytest.raises(InvalidRequest, match="a variable of a module"):
        run(local.handlers["far"])
