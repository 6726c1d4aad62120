"""Submitting from a web service and from a Celery program, each as a process of its own."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import httpx
import pytest

from mindswarm_exec.cli.stack import free_port
from mindswarm_exec.lifecycle import COMPLETED
from tests.e2e.swarm import ROOT, Swarm
from tests.eventually import eventually

#: Whether a program has imported nothing of ours.
UNTOUCHED = "not any(name.startswith('mindswarm') for name in sys.modules)"


@pytest.fixture(scope="module", autouse=True)
def _reader(swarm: Swarm) -> None:
    swarm.agent("reader", "examples.pipeline:reader")
    swarm.await_agents("reader")


@pytest.fixture(scope="module")
def service(swarm: Swarm, api_url: str) -> str:
    """The URL of the web service, once it answers."""
    port = free_port()
    words = ("-m", "uvicorn", "examples.fastapi_submit:app", "--port", str(port))
    swarm.process("service", *words, MINDSWARM_API_URL=api_url)
    url = f"http://127.0.0.1:{port}"
    eventually(lambda: answers(url), 30_000)
    return url


def answers(url: str) -> None:
    try:
        assert httpx.get(f"{url}/openapi.json").status_code == 200
    except httpx.TransportError as error:
        raise AssertionError("it does not listen yet") from error


def ended(url: str, execution_id: str) -> dict[str, Any]:
    def check() -> dict[str, Any]:
        found: dict[str, Any] = httpx.get(f"{url}/readings/{execution_id}").json()
        assert found["status"] in ("completed", "cancelled"), found
        return found

    return eventually(check, 20_000)


def test_a_browser_submits_and_looks(service: str) -> None:
    posted = httpx.post(f"{service}/readings", json={"pages": ["to be", "or not"]})
    assert posted.status_code == 202
    found = ended(service, posted.json()["execution_id"])
    assert (found["status"], found["result"]) == ("completed", 4)


def test_a_browser_that_posts_twice_has_one_execution(service: str) -> None:
    posts = [
        httpx.post(f"{service}/readings", json={"pages": ["a"]}, headers={"Idempotency-Key": "order-17"})
        for _ in range(2)
    ]
    assert posts[0].json() == posts[1].json()


def test_a_browser_cancels(service: str) -> None:
    posted = httpx.post(f"{service}/readings", json={"pages": ["a"] * 600}).json()
    assert httpx.delete(f"{service}/readings/{posted['execution_id']}").status_code == 202
    assert ended(service, posted["execution_id"])["status"] == "cancelled"


def test_a_browser_is_told_what_is_wrong(service: str) -> None:
    unknown = httpx.get(f"{service}/readings/00000000-0000-7000-8000-000000000000")
    assert (unknown.status_code, "unknown execution" in unknown.json()["detail"]) == (404, True)
    assert httpx.get(f"{service}/readings/nonsense").status_code == 422


def test_a_celery_program_is_told_what_is_wrong(swarm: Swarm) -> None:
    code = (
        "import sys; from examples.celery_submit import submit; submit(sys.argv[1], ['x' * 2_000_000], sys.argv[2])"
    )
    command = [sys.executable, "-c", code, swarm.server.url, "swarm.executions"]
    sent = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (sent.returncode, "the limit is 1048576" in sent.stderr) == (1, True), sent.stderr


def test_a_celery_program_submits(swarm: Swarm) -> None:
    """With its own default queue renamed, because this swarm has a namespace of its own."""
    code = "import sys; from examples.celery_submit import submit; "
    code += f"print(submit(sys.argv[1], sys.argv[2:], 'swarm.executions')['execution_id'], {UNTOUCHED})"
    command = [sys.executable, "-c", code, swarm.server.url, "to be", "or not"]
    sent = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert sent.returncode == 0, sent.stderr
    execution_id, is_untouched = sent.stdout.split()
    assert is_untouched == "True", "it needs nothing of ours"
    found = swarm.await_end(execution_id)
    assert (found.status, found.result, found.priority) == (COMPLETED, 4, 7)
