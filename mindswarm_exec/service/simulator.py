"""Simulations of submissions: the looks at the ledger that they take, and what `start` would refuse."""

from __future__ import annotations

from mindswarm_exec.errors import InvalidRequest, UnknownAgent
from mindswarm_exec.ledger import reads
from mindswarm_exec.ledger.faces import AsyncLedger
from mindswarm_exec.ledger.looks import Look
from mindswarm_exec.ledger.replies import ParentOver, ParentUnknown
from mindswarm_exec.lifecycle import CANCEL, TERMINAL, Status
from mindswarm_exec.models.explanations import SimulateRequest, Simulation
from mindswarm_exec.service.explaining import Opens, moment_of
from mindswarm_exec.service.names import nearest
from mindswarm_exec.service.refusals import parent_refused
from mindswarm_exec.service.simulating import Thought
from mindswarm_exec.settings import Settings


class Simulator:
    """Answers what `start` would do, in the order in which `start` decides. Reads the ledger and writes nothing."""

    def __init__(self, ledger: AsyncLedger, settings: Settings) -> None:
        self._ledger = ledger
        self._settings = settings

    async def simulation(self, thought: Thought, request: SimulateRequest, opens: Opens) -> Simulation:
        """What would become of the submission.

        Raises:
            InvalidRequest: an agent of the sketch's name is registered.
            UnknownAgent, UnknownExecution, MoveRefused: as `start`.
        """
        await self._check_sketch(thought)
        if request.idempotency_key:
            earlier = await self._ledger.run(reads.idempotent(thought.project_id, request.idempotency_key))
            if earlier is not None:
                return await self._answered(thought, earlier)
        await self._check_agent(thought)
        await self._check_parent(request.parent_id)
        look = await self._look(thought, pinned=False)
        # a pre-assigned agent that cannot do it is as if not named
        if thought.suits_named(look):
            return thought.simulation(await self._look(thought, pinned=True), self._settings, opens, pinned=True)
        return thought.simulation(look, self._settings, opens, pinned=False)

    # --- steps -------------------------------------------------------------------------------------------

    async def _check_sketch(self, thought: Thought) -> None:
        sketch = thought.sketch
        if sketch is not None and sketch.agent_id in await self._ledger.run(reads.agent_ids()):
            raise InvalidRequest(
                f"with_agent: an agent '{sketch.agent_id}' is registered already. Give the one more another name.",
                field="with_agent.agent_id",
            )

    async def _answered(self, thought: Thought, execution_id: str) -> Simulation:
        return Simulation(
            as_of=moment_of(await self._look(thought, pinned=False)), would="answer", execution_id=execution_id
        )

    async def _check_agent(self, thought: Thought) -> None:
        named, sketch = thought.options.agent.agent_id, thought.sketch
        if named is None or (sketch is not None and named == sketch.agent_id):
            return
        known = await self._ledger.run(reads.agent_ids())
        if named not in known:
            raise UnknownAgent.of(named, nearest(named, known))

    async def _check_parent(self, parent_id: str | None) -> None:
        if parent_id is None:
            return
        parent = await self._ledger.run(reads.fields(parent_id, ("status", "intent_kind")))
        if not parent:
            raise parent_refused(parent_id, ParentUnknown())
        if Status(parent["status"]) in TERMINAL or parent.get("intent_kind") == CANCEL.name:
            raise parent_refused(parent_id, ParentOver(parent["status"]))

    async def _look(self, thought: Thought, *, pinned: bool) -> Look:
        look = await self._ledger.run(thought.look(pinned=pinned))
        assert look is not None, "what is only thought of is never absent"
        return look
