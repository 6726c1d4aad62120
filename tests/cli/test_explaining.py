"""What people read of an explanation and of a simulation."""

from __future__ import annotations

from collections.abc import Callable

from mindswarm_exec.settings import Settings
from tests.api.hand_agent import HandAgent
from tests.cli.conftest import Said

Ask = Callable[..., Said]


def test_a_placed_execution_shows_the_choice_with_its_terms_and_every_agent(ask: Ask, by_hand: HandAgent) -> None:
    execution_id = ask("start", "code.survey", "--json").document["execution_id"]
    said = ask("explain", execution_id)
    assert said.code == 0, said.err
    for words in ("On its way to agent coder, chosen", "it had the highest score", "115", "free slots 100"):
        assert words in said.out
    assert ask("explain", execution_id, "--json").document["placement"]["agent_id"] == "coder"


def test_the_others_that_were_free_are_shown_with_the_terms_of_their_scores_too(
    ask: Ask, by_hand: HandAgent, settings: Settings
) -> None:
    other = HandAgent(settings, "reader")
    chosen = [ask("start", "code.survey", "--prefer", "coder", "--json").document["execution_id"] for _ in range(3)]
    said = [" ".join(ask("explain", one).out.split()) for one in chosen]
    assert "free slots 100 + success 5 + affinity 0; level with the next" in said[0]
    assert (
        "with 2 of 50 slots taken: idle 0 + free slots 96 + success 5 + affinity 0; behind the best by 14" in said[2]
    )
    assert (
        "reader 115 free too, with 0 of 50 slots taken: idle 10 + free slots 100 + success 5 + affinity 0" in said[2]
    )
    by_score = ask("explain", ask("start", "code.survey", "--json").document["execution_id"])
    assert "ahead of the next by 16" in " ".join(by_score.out.split())
    other.close()


def test_what_waits_shows_its_one_cause_with_its_kind_and_its_place_in_line(ask: Ask, by_hand: HandAgent) -> None:
    first, second = (ask("start", "code.surve", "--json").document["execution_id"] for _ in range(2))
    said = ask("explain", second)
    answer, step, *_ = said.out.splitlines()
    assert answer.startswith("Never as things are: no agent can ever run 'code.surve'")
    assert answer.endswith("(did you mean 'code.survey'?).")
    assert step.startswith("→ start an agent that does")
    assert ask("explain", second, "--json").document["lane"]["just_ahead"] == [first]
    assert "does not implement 'code.surve'" in said.out
    assert "for an agent" in said.out
    assert ask("pause", first).code == 0
    assert ask("explain", first).out.startswith("Held on purpose: it was paused by client (cli")


def test_simulate_takes_the_options_of_start_and_one_more_agent(ask: Ask, by_hand: HandAgent) -> None:
    assert "It would start at once on agent coder" in ask("simulate", "code.survey", '{"path": "."}').out
    said = ask("simulate", "code.survey", "--require", "gpu")
    assert "It would wait." in said.out
    assert "lacks the capability gpu" in said.out
    more = ("--with-agent", '{"capabilities": ["gpu"]}')
    assert "on agent one-more" in ask("simulate", "code.survey", "--require", "gpu", *more).out
    assert ask("simulate", "code.survey", "--require", "gpu", *more, "--json").document["agent_id"] == "one-more"
    assert ask("list", "--json").document["executions"] == []


def test_an_agent_that_cannot_be_is_exit_code_2(ask: Ask, by_hand: HandAgent) -> None:
    for sketch in ("no json", '{"max_concurrent": 0}', '{"agent_id": "coder"}'):
        said = ask("simulate", "code.survey", "--with-agent", sketch)
        assert (said.code, said.out) == (2, ""), said
        assert said.err.startswith("mindswarm-exec: ")
