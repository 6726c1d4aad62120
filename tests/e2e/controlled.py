"""The agent of the tests of control: a handler of each kind of isolation for each thing that can be asked of it."""

from __future__ import annotations

from mindswarm_exec import Agent
from tests.e2e import asking_handlers, failing_handlers, stoppable_handlers

agent = Agent("controlled", max_concurrent=12)
#: The same handlers behind many slots.
wide = Agent("wide", max_concurrent=20)

for part in (stoppable_handlers.agent, asking_handlers.agent, failing_handlers.agent):
    for whole in (agent, wide):
        assert not whole.handlers.keys() & part.handlers.keys()
        whole.handlers.update(part.handlers)
agent.cancel_hooks += stoppable_handlers.agent.cancel_hooks
