"""An agent's hooks and its idle time, as it declares them."""

from __future__ import annotations

import pytest

from mindswarm_exec import Agent
from mindswarm_exec.errors import InvalidRequest


def test_a_function_may_be_several_hooks_and_stays_a_function() -> None:
    agent = Agent("a")

    @agent.on_start
    @agent.on_wake
    def load() -> None: ...

    @agent.on_sleep
    async def unload() -> None: ...

    assert (agent.start_hooks, agent.wake_hooks, agent.sleep_hooks) == ([load], [load], [unload])


@pytest.mark.parametrize("kind", ["on_start", "on_sleep", "on_wake"])
def test_a_hook_that_takes_arguments_is_refused_by_name(kind: str) -> None:
    def greedy(model: str) -> None: ...

    with pytest.raises(InvalidRequest, match="'greedy' is a hook of agent 'a': it takes no arguments"):
        getattr(Agent("a"), kind)(greedy)


@pytest.mark.parametrize("seconds", [0, -1.0, float("nan"), float("inf")])
def test_an_idle_time_that_is_none_is_refused(seconds: float) -> None:
    with pytest.raises(InvalidRequest, match="sleep_after_seconds of agent 'a' must be above 0"):
        Agent("a", sleep_after_seconds=seconds)
