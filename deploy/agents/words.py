"""The agent of the README, for a first start of the deployments beside it. Put your own in its place."""

from __future__ import annotations

from pydantic import BaseModel

from mindswarm_exec import Agent, ExecutionContext

counter = Agent("counter", capabilities={"text"}, max_concurrent=3)


class Texts(BaseModel):
    texts: list[str]


@counter.task("words.count")
async def count(ctx: ExecutionContext, payload: Texts) -> dict[str, int]:
    """Count the words of each text. It can be paused, or moved to another agent, between two texts."""
    counts = dict(ctx.checkpoint_state)
    for number, text in enumerate(payload.texts[len(counts) :], start=len(counts)):
        counts[f"text {number}"] = len(text.split())
        await ctx.progress((number + 1) / len(payload.texts), f"counted text {number}")
        await ctx.checkpoint(counts)
    return counts
