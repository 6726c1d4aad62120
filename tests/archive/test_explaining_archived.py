"""What has been archived is explained as it was before: its waiting, its choice and whom that passed over."""

from __future__ import annotations

import pytest

from mindswarm_exec.errors import UnknownExecution
from mindswarm_exec.identifiers import new_id
from tests.archive.archived_world import archive_all, ask, ended
from tests.ledger.world import World


def test_what_was_archived_is_explained_as_before(world: World) -> None:
    world.open_agent("bee", 1, task_types=["u"])
    execution_id = ended(world)
    before = ask(world, lambda on: on.executions.explain(execution_id))
    assert before.placement is not None
    assert [one.because for one in before.placement.ruled_out] == ["does not implement 't'"]
    archive_all(world)
    after = ask(world, lambda on: on.executions.explain(execution_id))
    assert after.model_dump(exclude={"as_of"}) == before.model_dump(exclude={"as_of"})


def test_what_is_neither_here_nor_there_is_not_explained(world: World) -> None:
    with pytest.raises(UnknownExecution):
        ask(world, lambda on: on.executions.explain(new_id()))
