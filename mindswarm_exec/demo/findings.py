"""What the survey found, summed over all files. Pure: results of executions in, numbers out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mindswarm_exec.demo.metrics import FunctionMetrics
from mindswarm_exec.demo.overview import Overview
from mindswarm_exec.demo.plan import OVERVIEW, is_test
from mindswarm_exec.demo.survey import FileCoverage, FileLint, FileMetrics
from mindswarm_exec.models.records import Execution

#: A module with fewer public definitions says little about its author's habits.
MIN_DEFINITIONS = 8


@dataclass(frozen=True, slots=True)
class Results:
    """The results of a survey, by kind."""

    metrics: tuple[FileMetrics, ...]
    lint: tuple[FileLint, ...]
    coverage: tuple[FileCoverage, ...]
    overview: Overview | None

    @classmethod
    def of(cls, found: Iterable[Execution]) -> Results:
        """Read the results of completed executions; those without one are left out."""
        by_type: dict[str, list[object]] = defaultdict(list)
        for execution in found:
            if execution.result is not None:
                by_type[execution.task_type].append(execution.result)
        return cls(
            tuple(map(FileMetrics.model_validate, by_type["survey.metrics"])),
            tuple(map(FileLint.model_validate, by_type["survey.lint"])),
            tuple(map(FileCoverage.model_validate, by_type["survey.coverage"])),
            next(map(Overview.model_validate, by_type[OVERVIEW]), None),
        )


@dataclass(frozen=True, slots=True)
class Size:
    files: int
    lines: int
    code_lines: int
    comment_lines: int
    functions: int
    mean_complexity: float
    by_rank: dict[str, int]


@dataclass(frozen=True, slots=True)
class Place:
    """A function, and the file that it stands in."""

    file: str
    function: FunctionMetrics


@dataclass(frozen=True, slots=True)
class Rule:
    """A lint rule with its findings."""

    code: str
    name: str
    findings: int
    files: int


@dataclass(frozen=True, slots=True)
class Share:
    """A part of a whole; `name` is what it is measured on."""

    name: str
    part: int
    whole: int

    @property
    def fraction(self) -> float:
        return self.part / self.whole if self.whole else 1.0


@dataclass(frozen=True, slots=True)
class Copies:
    """One body of a function that stands in several places, as `file:line name`."""

    lines: int
    places: tuple[str, ...]


def size(metrics: Sequence[FileMetrics]) -> Size:
    functions = sum(file.functions for file in metrics)
    ranks: Counter[str] = Counter()
    for file in metrics:
        ranks.update(file.by_rank)
    return Size(
        files=len(metrics),
        lines=sum(file.lines for file in metrics),
        code_lines=sum(file.code_lines for file in metrics),
        comment_lines=sum(file.comment_lines for file in metrics),
        functions=functions,
        mean_complexity=sum(file.complexity for file in metrics) / functions if functions else 0.0,
        by_rank=dict(sorted(ranks.items())),
    )


def worst_functions(metrics: Sequence[FileMetrics], count: int) -> list[Place]:
    """The most complex functions, the deepest nested first among equals."""
    places = [Place(file.file, function) for file in metrics for function in file.worst]
    return sorted(places, key=_badness, reverse=True)[:count]


def docstrings(coverage: Sequence[FileCoverage]) -> Share:
    return _sum("docstrings", (Share("", f.coverage.documented, f.coverage.definitions) for f in coverage))


def type_hints(coverage: Sequence[FileCoverage]) -> Share:
    return _sum("type hints", (Share("", f.coverage.annotated, f.coverage.slots) for f in coverage))


def public_face(coverage: Sequence[FileCoverage]) -> list[FileCoverage]:
    """The modules that others import. Nobody documents tests, so they count only where there is nothing else."""
    return [file for file in coverage if not is_test(Path(file.file))] or list(coverage)


def least_documented(coverage: Sequence[FileCoverage], count: int) -> list[Share]:
    """The modules with the lowest share of docstrings; among equals those with more that lack one."""
    shares = [
        Share(file.file, file.coverage.documented, file.coverage.definitions)
        for file in coverage
        if file.coverage.definitions >= MIN_DEFINITIONS
    ]
    return sorted(shares, key=lambda share: (share.fraction, share.part - share.whole, share.name))[:count]


def rules(lint: Sequence[FileLint]) -> list[Rule]:
    """Every rule with findings, the most frequent first."""
    findings: Counter[str] = Counter()
    files: Counter[str] = Counter()
    names: dict[str, str] = {}
    for file in lint:
        findings.update(file.findings.by_rule)
        files.update(file.findings.by_rule.keys())
        names |= file.findings.names
    return [Rule(code, names.get(code, ""), count, files[code]) for code, count in findings.most_common()]


def copies(metrics: Sequence[FileMetrics], count: int) -> list[Copies]:
    """Bodies that stand in more than one place, those with the most repeated lines first."""
    places: dict[str, list[str]] = defaultdict(list)
    lines: dict[str, int] = {}
    for file in metrics:
        for fingerprint, (name, line, length) in file.bodies.items():
            places[fingerprint].append(f"{file.file}:{line} {name}")
            lines[fingerprint] = length
    found = [Copies(lines[key], tuple(sorted(where))) for key, where in places.items() if len(where) > 1]
    return sorted(found, key=lambda copy: (-copy.lines * (len(copy.places) - 1), copy.places))[:count]


def problems(results: Results) -> list[str]:
    """Files that could not be read or parsed, with the reason."""
    return sorted(f"{file.file}: {file.problem}" for file in results.metrics if file.problem)


def _badness(place: Place) -> tuple[int, int, int, str]:
    function = place.function
    return function.complexity, function.nesting, function.lines, place.file


def _sum(name: str, shares: Iterable[Share]) -> Share:
    known = list(shares)
    return Share(name, sum(share.part for share in known), sum(share.whole for share in known))
