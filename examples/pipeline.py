"""A pipeline of agents: one hands parts of the work to others, gathers their results, and they share a budget.

    mindswarm-exec up --agent examples.pipeline:conductor --agent examples.pipeline:reader
    python examples/pipeline.py "to be or not" "to be" "that is the question"

- The children are executions of their own: placed, retried and shown like any other. `key` makes each of them once,
  also where the parent begins again after a crash or a pause.
- What a child spends counts for its parent too. When the parent's budget is spent, all of them pause at their next
  safe point, and `mindswarm-exec resume PARENT --meter pages=200` lets all of them go on.
- A cancel of the parent cancels what is left of its children.

A parent that waits keeps its slot. So the conductor is an agent of its own: were it to share its slots with the
readers, enough parents at once would leave none for the children that they wait for.
"""

from __future__ import annotations

import asyncio
import sys

from pydantic import BaseModel

from mindswarm_exec import Agent, ExecutionContext
from mindswarm_exec.children import AsyncChildExecution
from mindswarm_exec.client import ExecutionClient
from mindswarm_exec.errors import ResultNotReady

conductor = Agent("conductor", max_concurrent=20)
reader = Agent("reader", max_concurrent=4)


class Book(BaseModel):
    pages: list[str]
    seconds_a_page: float = 0.1


class Shelf(BaseModel):
    books: dict[str, Book]


@reader.task("pages.read")
async def read(ctx: ExecutionContext, payload: Book) -> int:
    """Count the words of a book, page by page."""
    state = {"page": 0, "words": 0} | ctx.checkpoint_state
    for page in payload.pages[state["page"] :]:
        await ctx.meter("pages", 1)
        await asyncio.sleep(payload.seconds_a_page)
        state = {"page": state["page"] + 1, "words": state["words"] + len(page.split())}
        await ctx.progress(state["page"] / len(payload.pages))
        await ctx.checkpoint(state)
    return state["words"]


@conductor.task("shelf.read")
async def read_all(ctx: ExecutionContext, payload: Shelf) -> dict[str, int]:
    """Have every book read at once, and gather the counts."""
    children = {
        title: await ctx.start_child("pages.read", book.model_dump(), key=title)
        for title, book in payload.books.items()
    }
    words: dict[str, int] = {}
    for title, child in children.items():
        words[title] = await gathered(ctx, child, dict(words))
        await ctx.progress(len(words) / len(children), f"{title} is read")
    return words


async def gathered(ctx: ExecutionContext, child: AsyncChildExecution, state: dict[str, int]) -> int:
    """The result of a child. Each second without it is a safe point, so that a pause need not wait for the child."""
    while True:
        try:
            return await child.result(timeout=1)
        except ResultNotReady:
            await ctx.checkpoint(state)


def main(pages: list[str]) -> None:
    books = {f"book {number}": {"pages": [page]} for number, page in enumerate(pages)}
    with ExecutionClient() as client:
        handle = client.start("shelf.read", {"books": books}, resource_limits={"meters": {"pages": 100}})
        print(handle.result(timeout=60))


if __name__ == "__main__":
    main(sys.argv[1:])
