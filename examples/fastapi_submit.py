"""Submit from FastAPI: a web service hands its long work over, and lets browsers look after it.

    pip install 'mindswarm-exec[client]' fastapi uvicorn
    mindswarm-exec up --agent examples.pipeline:reader      # in another terminal
    uvicorn examples.fastapi_submit:app

    curl -X POST localhost:8000/readings -H 'Idempotency-Key: order-17' -d '{"pages": ["to be", "or not"]}' \
         -H 'Content-Type: application/json'
    curl localhost:8000/readings/EXECUTION_ID
    curl -X DELETE localhost:8000/readings/EXECUTION_ID

The service keeps nothing: the execution id is all that a browser needs, and any replica can answer it. Where the
answer to a POST is lost, the browser posts again with the same key and gets the same execution.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, Header, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from mindswarm_exec.client import AsyncExecutionClient
from mindswarm_exec.errors import ApiUnavailable, InvalidRequest, MindSwarmError, MoveRefused, NotFound

#: What a caller of this service is told, by what the engine said; the most special first.
HTTP_STATUS = {NotFound: 404, MoveRefused: 409, InvalidRequest: 422, ApiUnavailable: 503}


class Reading(BaseModel):
    pages: list[str]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with AsyncExecutionClient() as client:  # one for the process; MINDSWARM_API_URL says where
        app.state.client = client
        yield


app = FastAPI(lifespan=lifespan)


@app.exception_handler(MindSwarmError)
async def told(request: Request, error: MindSwarmError) -> JSONResponse:
    status = next((code for kind, code in HTTP_STATUS.items() if isinstance(error, kind)), 500)
    return JSONResponse({"detail": str(error)}, status)


@app.post("/readings", status_code=202)
async def submit(
    reading: Reading, request: Request, idempotency_key: Annotated[str | None, Header()] = None
) -> dict[str, Any]:
    handle = await request.app.state.client.start(
        "pages.read", reading.model_dump(), idempotency_key=idempotency_key, tags=["web"], queue_timeout_seconds=3600
    )
    return {"execution_id": handle.execution_id}


@app.get("/readings/{execution_id}")
async def look(execution_id: str, request: Request) -> dict[str, Any]:
    found = await request.app.state.client.get(execution_id)
    return found.model_dump(mode="json", include={"status", "progress", "result", "error"})


@app.delete("/readings/{execution_id}", status_code=202)
async def cancel(execution_id: str, request: Request) -> dict[str, Any]:
    found = await request.app.state.client.cancel(execution_id, reason="asked for by the browser")
    return {"status": found.status}
