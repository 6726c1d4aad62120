"""The overview: what one long execution over all files finds, and what its checkpoints hold."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from mindswarm_exec.demo.source import MAX_SOURCE_BYTES

#: Steps of an overview; a checkpoint follows each.
STEPS = 80
#: Seconds between two steps. It is paced: so there is time to pause it, and it takes little from the rest.
STEP_SECONDS = 0.1
#: Modules kept in the result, the most imported first.
MODULES_KEPT = 12

_NAME = rb"[A-Za-z_][\w.]*(?:[ \t]+as[ \t]+\w+)?"
_IMPORT = re.compile(
    rb"^[ \t]*(?:from[ \t]+([A-Za-z_][\w.]*)[ \t]+import\b|"
    rb"import[ \t]+(" + _NAME + rb"(?:[ \t]*,[ \t]*" + _NAME + rb")*)[ \t]*(?:[#;\r\n]|\Z))",
    re.MULTILINE,
)


class OverviewRequest(BaseModel):
    """The files to go over, below `root`, and what to call them together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    root: Path
    files: tuple[str, ...]
    shown_as: str


class Visit(BaseModel):
    """What one attempt did: `files` files, from number `first` on."""

    attempt: int
    agent_id: str
    first: int
    files: int = 0


class Overview(BaseModel):
    """Who is imported by how many files, and which attempt visited how many."""

    model_config = ConfigDict(frozen=True)

    files: int
    importers: dict[str, int] = {}  # module → files that import it, the most imported first
    visits: tuple[Visit, ...] = ()


class OverviewState(BaseModel):
    """How far an overview is: all that another attempt needs to go on. One attempt writes it."""

    steps: int = 0
    next_file: int = 0
    importers: dict[str, int] = {}
    visits: list[Visit] = []

    def begin(self, attempt: int, agent_id: str) -> None:
        """Note who goes on from here."""
        self.visits.append(Visit(attempt=attempt, agent_id=agent_id, first=self.next_file))

    def step(self, root: Path, files: Sequence[str]) -> None:
        """Visit the files of the next step; in a small tree that may be none."""
        self.steps += 1
        for name in files[self.next_file : len(files) * self.steps // STEPS]:
            for module in imported_by(root / name):
                self.importers[module] = self.importers.get(module, 0) + 1
            self.next_file += 1
            self.visits[-1].files += 1

    def result(self) -> Overview:
        most = dict(Counter(self.importers).most_common(MODULES_KEPT))
        return Overview(files=self.next_file, importers=most, visits=tuple(self.visits))


def imported_by(path: Path) -> set[str]:
    """The top-level modules that a file imports, as its lines tell; none if it cannot be read."""
    try:
        with path.open("rb") as file:
            return set(_modules(file.read(MAX_SOURCE_BYTES)))
    except OSError:  # told with the file's metrics
        return set()


def _modules(data: bytes) -> Iterator[str]:
    for one, several in _IMPORT.findall(data):
        for clause in (one or several).split(b","):
            yield clause.split()[0].split(b".")[0].decode()
