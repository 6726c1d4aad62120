"""The documentation says what the code says: rendered parts, numbers, names, links and examples."""

from __future__ import annotations

import ast
import asyncio
import importlib
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from docs import render, state_drawing
from docs.rendering import machine
from docs.state_drawing import drawing
from mindswarm_exec import Agent
from mindswarm_exec.cli.contents import ROWS
from mindswarm_exec.ledger.faces import AsyncLedger, SyncLedger, connect_async, connect_sync
from mindswarm_exec.ledger.replies import Wake
from mindswarm_exec.lifecycle import MOVES, PENDING
from mindswarm_exec.models.options import StartRequest
from mindswarm_exec.models.records import Execution
from mindswarm_exec.service.executions import ExecutionService
from mindswarm_exec.settings import PREFIX, Settings
from workers.engine import UnifiedTaskEngine
from workers.membership import Membership

PAGES = [pytest.param(page, id=page.name) for page in render.pages()]
#: Variables that are read elsewhere than in the settings.
OTHER_VARIABLES = {"MINDSWARM_AGENT", "MINDSWARM_AGENT_NAME", "MINDSWARM_TRACEBACK"}
BLOCK = re.compile(r"^```python( runnable)?\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def every_page() -> str:
    return "\n".join(map(text, render.pages()))


# --- rendered parts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_as_the_code_would_render_it(page: Path) -> None:
    assert render.rendered(text(page)) == text(page), "run `make docs`"


def test_the_drawing_of_the_states_is_as_the_table_of_moves_would_have_it() -> None:
    assert text(render.STATES) == drawing(), "run `make docs`"


def test_a_move_that_is_not_drawn_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_drawing, "ARROWS", state_drawing.ARROWS[1:])
    with pytest.raises(ValueError, match=r"differ in \[\('create', '', <Status\.PENDING"):
        drawing()


def test_every_rendered_part_stands_on_a_page() -> None:
    assert {found[2] for found in render.PART.finditer(every_page())} == set(render.PARTS)


@pytest.mark.parametrize("part", render.PARTS)
def test_a_part_that_was_edited_by_hand_is_noticed(part: str) -> None:
    page = next(page for page in map(text, render.pages()) if f"<!-- render: {part} -->" in page)
    edited = render.PART.sub(
        lambda found: found[0].replace("\n\n", "\n\nx", 1) if found[2] == part else found[0], page
    )
    assert edited != page
    assert render.rendered(edited) == page


@pytest.mark.parametrize("move", MOVES, ids=lambda move: move.name)
def test_a_change_of_any_move_changes_the_table(move: Any) -> None:
    changes = [
        {"name": "other"},
        {"sources": ()},
        {"target": "other"},
        {"event": "other"},
        {"fenced": not move.fenced},
    ]
    for change in [{"sources": (PENDING,)}] if not move.sources else changes:
        changed = [replace(row, **change) if row is move else row for row in MOVES]
        assert machine.moves(changed) != machine.moves()


def test_every_move_says_who_makes_it() -> None:
    assert set(machine._movers()) == {move.name for move in MOVES}


# --- numbers and names -----------------------------------------------------------------------------------


def test_every_default_told_in_passing_is_the_default() -> None:
    told = re.findall(rf"`{PREFIX}([A-Z_]+)` \(([0-9.]+)\)", every_page())
    assert told
    for name, number in told:
        assert float(number) == Settings.model_fields[name.lower()].default, name


def test_every_variable_named_is_a_setting() -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    assert set(re.findall(rf"\b{PREFIX}[A-Z_]+[A-Z]\b", every_page())) == known | OTHER_VARIABLES


def test_the_readme_names_every_command_and_no_other() -> None:
    readme = text(render.ROOT / "README.md")
    table = "".join(
        line for line in readme.splitlines() if re.match(r"\| (run|submit|control|look|administer) ", line)
    )
    assert set(re.findall(r"`([a-z-]+)`", table)) == set(ROWS) - {"demo"}
    assert set(re.findall(r"^    mindswarm-exec ([a-z-]+)", every_page(), re.MULTILINE)) <= set(ROWS)


def test_every_make_target_named_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", text(render.ROOT / "Makefile"), re.MULTILINE))
    named = set(re.findall(r"(?:`|^    )make ([a-z]+)", every_page(), re.MULTILINE))
    assert {"demo", "test", "docs"} <= named <= targets


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text(page)):
        name, _, anchor = target.partition("#")
        linked = (page.parent / name) if name else page
        assert linked.is_file(), target
        if anchor:
            assert anchor in _anchors(text(linked)), target


def _anchors(page: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


# --- examples --------------------------------------------------------------------------------------------


def run_examples(page: Path) -> dict[str, Any]:
    """Run the page's runnable blocks one after the other, as one module; returns its names."""
    names: dict[str, Any] = {"__name__": f"examples_of_{page.stem}"}
    for found in BLOCK.finditer(text(page)):
        if found[1]:
            exec(compile(found[2], str(page), "exec"), names)
    return names


@pytest.mark.parametrize("page", PAGES)
def test_every_example_is_python_and_imports_what_exists(page: Path) -> None:
    for found in BLOCK.finditer(text(page)):
        for node in ast.walk(ast.parse(found[2], str(page))):
            if isinstance(node, ast.ImportFrom):
                module = importlib.import_module(node.module or "")
                assert all(hasattr(module, name.name) for name in node.names), ast.unparse(node)


@pytest.mark.parametrize("page", [page for page in PAGES if "```python runnable" in text(page.values[0])])
def test_every_example_marked_runnable_runs(page: Path) -> None:
    assert run_examples(page)


def test_the_agent_of_the_readme_does_its_work(valkey_url: str, namespace: str) -> None:
    agent = run_examples(render.ROOT / "README.md")["counter"]
    ended = run_on(agent, "words.count", ["to be or not", "to be"], valkey_url, namespace)
    assert (ended.status, ended.result) == ("completed", [4, 2])
    assert ended.progress.fraction == 1.0


def test_the_readme_and_the_quickstart_have_the_same_agent() -> None:
    first = [BLOCK.findall(text(render.ROOT / name))[0] for name in ("README.md", "docs/index.md")]
    assert first[0] == first[1]


def test_the_agent_of_the_guide_does_its_work(valkey_url: str, namespace: str) -> None:
    agent = run_examples(render.ROOT / "docs/writing-agents.md")["coder"]
    ended = run_on(agent, "code.survey", {"files": {"a.py": "x = 1\n"}}, valkey_url, namespace)
    assert (ended.status, ended.result) == ("completed", {"lines": {"a.py": 1}})


def test_the_hooks_of_the_guide_do_their_work() -> None:
    names = run_examples(render.ROOT / "docs/writing-agents.md")
    for hook in names["translator"].start_hooks:
        hook()
    assert list(names["models"]) == ["de"]
    for hook in names["translator"].sleep_hooks:
        asyncio.run(hook())
    assert not names["models"]


def run_on(agent: Agent, task_type: str, payload: Any, url: str, namespace: str) -> Execution:
    """Run one execution to its end, on this thread, with the real engine and the real ledger."""
    settings = Settings(namespace=namespace)
    ledger = SyncLedger(connect_sync(url, settings), settings)
    engine = UnifiedTaskEngine(agent, agent.name, ledger, settings)
    membership = Membership(agent, agent.profile(), engine, ledger, settings, None, lambda: None)
    engine.start()
    membership.join()
    try:
        return asyncio.run(_start_and_run(engine, StartRequest(task_type=task_type, payload=payload), url, settings))
    finally:
        membership.drain(1.0)
        engine.stop()


async def _start_and_run(engine: UnifiedTaskEngine, request: StartRequest, url: str, settings: Settings) -> Execution:
    ledger = AsyncLedger(connect_async(url, settings), settings)
    woken = Woken()
    service = ExecutionService(ledger, settings, woken)
    try:
        accepted = await service.start(request)
        for wake in woken.wakes:
            await asyncio.to_thread(engine.run, wake.execution_id, wake.nonce)
        return await service.get(accepted.execution_id)
    finally:
        await ledger.close()


class Woken:
    """Takes the messages that would go to the agent's queue."""

    def __init__(self) -> None:
        self.wakes: list[Wake] = []

    async def publish(self, wakes: Any) -> None:
        self.wakes += wakes
