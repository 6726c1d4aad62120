"""Programs of Debian packages that some tests run: a machine without them passes over these tests, CI does not."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

#: The package of each program.
PACKAGES = {
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "rabbitmq-server": "rabbitmq-server",
    "redis-server": "redis-server",
    "postgres": "postgresql",
}
#: Set by .ci/run: every program has to be there.
DEMANDED = os.environ.get("MINDSWARM_CI_SERVERS") == "1"


def program(name: str) -> str | None:
    """Where the program is; None if it is missing and may be.

    Raises:
        AssertionError: it is missing and MINDSWARM_CI_SERVERS=1 demands it.
    """
    # Debian keeps each version of PostgreSQL in a directory of its own
    apart = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)
    places = [os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", *apart]
    found = shutil.which(name, path=":".join(places))
    assert found or not DEMANDED, f"{name} is missing: apt-get install {PACKAGES[name]}"
    return found


def may_run(item: pytest.Item) -> bool:
    """Whether the programs that a test is marked to need are there; in CI it runs in any case, and fails."""
    needed = [name for mark in item.iter_markers("needs_program") for name in mark.args]
    return DEMANDED or all(program(name) for name in needed)


def required(name: str) -> str:
    """Where a program is that the test is marked to need."""
    found = program(name)
    assert found is not None, f"mark the test with needs_program({name!r})"
    return found
