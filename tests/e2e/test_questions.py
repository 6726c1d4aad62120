"""Questions that handlers ask of people: parked without a slot, answered once, and gone on with."""

from __future__ import annotations

import pytest

from mindswarm_exec.errors import AlreadyAnswered, InvalidRequest, MoveRefused
from mindswarm_exec.lifecycle import CANCELLED, COMPLETED, FAILED, PAUSED
from mindswarm_exec.models.records import Execution, Question
from tests.e2e.controlled_swarm import ControlledSwarm
from tests.eventually import eventually

YES = {"approved": True, "by": "ann"}


def parked(swarm: ControlledSwarm, execution_id: str) -> tuple[Execution, Question]:
    """Wait until it is parked on a question."""
    found = swarm.await_status(execution_id, PAUSED)
    assert found.question is not None
    return found, found.question


@pytest.mark.parametrize("kind", ["async", "thread", "process"])
def test_a_question_parks_without_a_slot_and_its_answer_comes_back_in_its_type_where_it_was(
    swarm: ControlledSwarm, kind: str
) -> None:
    execution_id = swarm.start(f"ask.{kind}", {}, on="two")
    found, question = parked(swarm, execution_id)
    assert (found.pause_reason, found.is_frozen, swarm.agent_record("two").load) == ("input_required", False, 0)
    assert question.prompt == "May it go on?"
    assert question.answer_schema is not None
    assert question.answer_schema["required"] == ["approved", "by"]
    told = swarm.told(execution_id, "paused")[-1]
    assert (told["reason"], told["question_id"]) == ("input_required", question.question_id)
    swarm.answer(execution_id, YES)
    ended = swarm.await_end(execution_id)
    assert (ended.status, ended.result) == (COMPLETED, {"agent": "two", "attempt": 2, "by": "ann"})
    assert (ended.question, ended.failed_attempts) == (None, 0)


@pytest.mark.parametrize("answer", [{"approved": True}, {"approved": True, "by": "eve"}, "yes", None])
def test_an_answer_that_does_not_fit_is_refused_and_changes_nothing(swarm: ControlledSwarm, answer: object) -> None:
    execution_id = swarm.start("ask.thread", {})
    before, question = parked(swarm, execution_id)
    with pytest.raises(InvalidRequest, match="does not fit the question") as refused:
        swarm.answer(execution_id, answer)
    assert refused.value.facts["question_id"] == question.question_id
    assert refused.value.facts["answer_schema"] == question.answer_schema
    assert swarm.get(execution_id) == before
    swarm.answer(execution_id, YES)
    assert swarm.await_end(execution_id).status is COMPLETED


def test_of_two_answers_the_first_counts_and_the_other_is_refused_by_name(swarm: ControlledSwarm) -> None:
    execution_id = swarm.start("ask.async", {})
    _, question = parked(swarm, execution_id)
    answers = [{"approved": True, "by": name} for name in ("ann", "bob")]
    both = swarm.at_once(
        *(swarm.executions.provide_input(execution_id, one, question.question_id) for one in answers)
    )
    refused = [one for one in both if isinstance(one, AlreadyAnswered)]
    assert len(refused) == 1, both
    assert refused[0].facts["question_id"] == question.question_id
    ended = swarm.await_end(execution_id)
    assert ended.result["by"] == ("bob" if isinstance(both[0], AlreadyAnswered) else "ann")
    assert swarm.event_types(execution_id).count("resumed") == 1
    with pytest.raises(AlreadyAnswered):
        swarm.answer(execution_id, YES, question_id=question.question_id)


def test_a_resume_is_no_answer(swarm: ControlledSwarm) -> None:
    execution_id = swarm.start("ask.async", {})
    parked(swarm, execution_id)
    with pytest.raises(MoveRefused, match="it waits for an answer"):
        swarm.resume(execution_id)
    swarm.answer(execution_id, YES)
    assert swarm.await_end(execution_id).status is COMPLETED


def test_a_question_asked_again_after_a_checkpoint_is_a_new_one(swarm: ControlledSwarm) -> None:
    execution_id = swarm.start("ask.again", 3)
    for answer in ("a", "b", "c"):
        parked(swarm, execution_id)
        swarm.answer(execution_id, answer)
        swarm.await_status(execution_id, PAUSED, COMPLETED)
        _leaves(swarm, execution_id, answer)
    ended = swarm.await_end(execution_id)
    assert (ended.result, ended.attempt) == (["a", "b", "c"], 4)


def _leaves(swarm: ControlledSwarm, execution_id: str, answer: str) -> None:
    """Wait until the answer is part of its state."""

    def check() -> None:
        state = swarm.get(execution_id).checkpoint
        assert isinstance(state, dict)
        assert answer in state["answers"]

    eventually(check)


def test_keys_tell_questions_with_one_prompt_apart(swarm: ControlledSwarm) -> None:
    execution_id = swarm.start("ask.two", None)
    _, first = parked(swarm, execution_id)
    swarm.answer(execution_id, 1)
    second = first
    while second.question_id == first.question_id:
        _, second = parked(swarm, execution_id)
    assert (first.prompt, second.prompt) == ("Which?", "Which?")
    with pytest.raises(AlreadyAnswered):
        swarm.answer(execution_id, 3, question_id=first.question_id)
    swarm.answer(execution_id, 2)
    assert swarm.await_end(execution_id).result == [1, 2]


def test_what_is_parked_can_be_cancelled_and_asks_no_more(swarm: ControlledSwarm) -> None:
    execution_id = swarm.start("ask.process", {})
    parked(swarm, execution_id)
    ended = swarm.cancel(execution_id)
    assert (ended.status, ended.question) == (CANCELLED, None)
    with pytest.raises(MoveRefused, match="waits for no input"):
        swarm.answer(execution_id, YES)


def test_a_question_whose_schema_is_none_fails_the_handler(swarm: ControlledSwarm) -> None:
    ended = swarm.await_end(swarm.start("ask.nonsense"))
    assert ended.error is not None
    assert (ended.status, ended.error.type) == (FAILED, "InvalidRequest")
    assert "no JSON Schema" in ended.error.message


def test_a_question_outlives_the_agent_that_it_was_asked_on(swarm: ControlledSwarm) -> None:
    asker = swarm.controlled("asker")
    swarm.await_agents("asker")
    execution_id = swarm.start("ask.thread", {}, on="asker")
    parked(swarm, execution_id)
    asker.terminate()
    assert asker.exit_code() == 0
    swarm.answer(execution_id, YES)
    ended = swarm.await_end(execution_id)
    assert ended.result["agent"] in ("one", "two")
