"""An agent that writes with a language model: streamed output, a budget of tokens, nothing written twice.

    pip install 'mindswarm-exec[all]'                       # httpx comes with it
    export OPENAI_BASE_URL=http://127.0.0.1:11434/v1 OPENAI_API_KEY=none OPENAI_MODEL=llama3.2
    mindswarm-exec up --agent examples.llm_agent:writer

    mindswarm-exec start article.write '{"topic": "ants", "headings": ["Roads", "Wars"]}' --watch \
        --options '{"resource_limits": {"meters": {"tokens": 20000}}}' --max-attempts 5

It speaks to any endpoint that is compatible with OpenAI's chat completions. Each section is one call: its text goes
out as it comes, its tokens count against the budget, and the checkpoint after it is where a pause takes effect, where
a spent budget stops it, and where it goes on after a crash. A cancel closes the stream in the middle of a sentence.

An endpoint that says 429 is asked again when it said. Where it fails otherwise, or breaks off, that attempt has
failed; the next one goes on from the sections that are there.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator

import httpx
from pydantic import BaseModel, Field

from mindswarm_exec import Agent, ExecutionContext

writer = Agent("writer", capabilities={"llm"}, max_concurrent=8)


class Assignment(BaseModel):
    topic: str
    headings: list[str] = Field(min_length=1)


class Article(BaseModel):
    sections: dict[str, str] = {}


class BrokenStream(Exception):
    """The endpoint stopped in the middle of an answer."""


@writer.task("article.write")
async def write(ctx: ExecutionContext, payload: Assignment) -> Article:
    article = Article.model_validate(ctx.checkpoint_state or {})
    async with endpoint() as http:
        for heading in payload.headings:
            if heading in article.sections:
                continue
            prompt = f"Write the section '{heading}' of an article on {payload.topic}."
            article.sections[heading], tokens = await completed(ctx, http, prompt)
            await ctx.meter("tokens", tokens)
            await ctx.progress(len(article.sections) / len(payload.headings), heading)
            await ctx.checkpoint(article.model_dump())
    return article


def endpoint() -> httpx.AsyncClient:
    key = os.environ.get("OPENAI_API_KEY", "")
    return httpx.AsyncClient(
        base_url=os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1"),
        headers={"Authorization": f"Bearer {key}"},
        timeout=httpx.Timeout(10, read=120),
    )


async def completed(ctx: ExecutionContext, http: httpx.AsyncClient, prompt: str) -> tuple[str, int]:
    """The answer to one prompt, streamed to whoever watches, and the tokens that it took."""
    text, tokens = [], 0
    request = {
        "model": os.environ.get("OPENAI_MODEL", "gpt-4o-mini"),
        "messages": [{"role": "user", "content": prompt}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    async with http.stream("POST", "/chat/completions", json=request) as response:
        if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            ctx.retry_after(patience(response), "the endpoint asks for a pause")
        response.raise_for_status()
        async for chunk in chunks(response):
            for choice in chunk.get("choices", ()):
                piece = choice["delta"].get("content") or ""
                text.append(piece)
                await ctx.output(piece)
            tokens = (chunk.get("usage") or {}).get("total_tokens", tokens)
    return "".join(text), tokens


async def chunks(response: httpx.Response) -> AsyncIterator[dict]:
    """The objects of a stream of server-sent events. Half an answer would pass for a section: it ends in an error."""
    async for line in response.aiter_lines():
        data = line.removeprefix("data:").strip() if line.startswith("data:") else ""
        if data == "[DONE]":
            return
        if data:
            yield json.loads(data)
    raise BrokenStream(f"{response.url} ended its answer before [DONE]")


def patience(response: httpx.Response) -> float:
    """Seconds that the endpoint asks for; ten where it names none, or a date."""
    try:
        return float(response.headers["Retry-After"])
    except (KeyError, ValueError):
        return 10
