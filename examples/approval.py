"""An agent that asks a person before it does what cannot be undone.

    mindswarm-exec up --agent examples.approval:steward
    mindswarm-exec start files.remove '["/srv/old/a.log", "/srv/old/b.log"]'

    mindswarm-exec list --status paused                     # what waits for somebody
    mindswarm-exec get EXECUTION_ID                         # the question, and what an answer has to look like
    mindswarm-exec provide-input EXECUTION_ID '{"approved": true, "by": "ada"}'

Nothing runs and no slot is taken while a question waits, be it for a week. When the answer comes, the handler begins
again from its latest checkpoint, perhaps on another agent, and `ask` returns at once. So what stands before `ask` is
done twice: here it only looks. An answer that does not fit the schema is refused. Of two answers the first counts.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel

from mindswarm_exec import Agent, SyncExecutionContext

steward = Agent("steward", capabilities={"files"})


class Approval(BaseModel):
    approved: bool
    by: str


class Removal(BaseModel):
    removed: list[str]
    approved_by: str | None


@steward.task("files.remove")
def remove(ctx: SyncExecutionContext, payload: list[str]) -> Removal:
    found = [path for path in payload if Path(path).is_file()]
    if not found and not ctx.checkpoint_state:
        return Removal(removed=[], approved_by=None)
    state = ctx.checkpoint_state or {"paths": found, "by": None}
    if state["by"] is None:
        answer: Approval = ctx.ask(f"Remove {len(found)} files: {', '.join(found)}?", schema=Approval)
        if not answer.approved:
            return Removal(removed=[], approved_by=None)
        state = {"paths": found, "by": answer.by}
        ctx.checkpoint(state)  # what was approved is now fixed, whatever happens from here on
    for path in state["paths"]:
        Path(path).unlink(missing_ok=True)  # it may be a second attempt
        ctx.log(f"removed {path}")
    return Removal(removed=state["paths"], approved_by=state["by"])
