"""The surveying agents: three roles, a handler each for one file, and one for the overview of all.

mindswarm-exec agent mindswarm_exec.demo.survey:metrics --name metrics-1
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from mindswarm_exec import Agent, ExecutionContext, SyncExecutionContext
from mindswarm_exec.demo.coverage import CoverageMetrics, measure_coverage
from mindswarm_exec.demo.lint import LintSummary, run_ruff, summarise
from mindswarm_exec.demo.metrics import FunctionMetrics, functions_of, measure, rank
from mindswarm_exec.demo.overview import STEP_SECONDS, STEPS, Overview, OverviewRequest, OverviewState
from mindswarm_exec.demo.source import count_lines, read_source

#: Functions between two signs of progress: a tenth of a second's work or less.
BATCH = 25
#: Functions kept in full per file, the most complex first; the counts are complete.
WORST_KEPT = 8
#: From here on a function is worth a line of output while the survey runs (rank D).
NOTABLE_COMPLEXITY = 21
#: From here on a file's findings are.
NOTABLE_FINDINGS = 40


class SurveyRequest(BaseModel):
    """Which file to look at, and what to call it in the report."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path
    shown_as: str


class FileMetrics(BaseModel):
    """Size and complexity of one file. `problem` says why there is none."""

    model_config = ConfigDict(frozen=True)

    file: str
    problem: str = ""
    lines: int = 0
    code_lines: int = 0
    comment_lines: int = 0
    functions: int = 0
    complexity: int = 0  # summed over the functions
    by_rank: dict[str, int] = {}
    worst: tuple[FunctionMetrics, ...] = ()
    bodies: dict[str, tuple[str, int, int]] = {}  # fingerprint → name, line, lines


class FileCoverage(BaseModel):
    """Docstrings and type hints of one file."""

    model_config = ConfigDict(frozen=True)

    file: str
    problem: str = ""
    coverage: CoverageMetrics = CoverageMetrics()


class FileLint(BaseModel):
    """Findings in one file."""

    model_config = ConfigDict(frozen=True)

    file: str
    findings: LintSummary = LintSummary()


metrics = Agent("metrics", capabilities={"python", "syntax-tree"}, labels={"role": "metrics"}, max_concurrent=3)
lint = Agent("lint", capabilities={"python", "ruff"}, labels={"role": "lint"}, max_concurrent=3)
coverage = Agent("coverage", capabilities={"python", "syntax-tree"}, labels={"role": "coverage"}, max_concurrent=3)


@metrics.task("survey.metrics", isolation="thread")
def survey_metrics(ctx: SyncExecutionContext, request: SurveyRequest) -> FileMetrics:
    """Measure size and complexity of a file, function by function."""
    ctx.progress(0.0, f"parsing {request.shown_as}")
    source = read_source(request.path, request.shown_as)
    if source.tree is None:
        ctx.output(f"{request.shown_as}: {source.problem}")
        return FileMetrics(file=request.shown_as, problem=source.problem)
    counts = count_lines(source.text)
    functions = functions_of(source.tree)
    measured: list[FunctionMetrics] = []
    for start in range(0, len(functions), BATCH):
        ctx.progress(start / len(functions), f"function {start} of {len(functions)}")
        batch = [measure(name, node) for name, node in functions[start : start + BATCH]]
        for function in filter(_is_notable, batch):
            ctx.output(f"{request.shown_as}:{function.line} {function.name} has complexity {function.complexity}")
        measured += batch
    return FileMetrics(
        file=request.shown_as,
        lines=counts.total,
        code_lines=counts.code,
        comment_lines=counts.comment,
        functions=len(measured),
        complexity=sum(function.complexity for function in measured),
        by_rank=_count_ranks(measured),
        worst=tuple(sorted(measured, key=lambda function: -function.complexity)[:WORST_KEPT]),
        bodies={f.fingerprint: (f.name, f.line, f.lines) for f in reversed(measured) if f.fingerprint},
    )


@metrics.task("survey.overview", isolation="async")
async def survey_overview(ctx: ExecutionContext, request: OverviewRequest) -> Overview:
    """Go over all files and count who imports what, from the latest checkpoint on."""
    state = OverviewState.model_validate(ctx.checkpoint_state)
    state.begin(ctx.attempt, ctx.agent_id)
    while state.steps < STEPS:
        await asyncio.sleep(STEP_SECONDS)
        state.step(request.root, request.files)
        await ctx.progress(state.steps / STEPS, f"overview: file {state.next_file} of {len(request.files)}")
        await ctx.checkpoint(state.model_dump(mode="json"))
    return state.result()


@lint.task("survey.lint", isolation="thread")
def survey_lint(ctx: SyncExecutionContext, request: SurveyRequest) -> FileLint:
    """Let ruff look at a file and summarise what it found."""
    ctx.progress(0.0, f"ruff reads {request.shown_as}")
    output = run_ruff(request.path)
    ctx.progress(0.6, "sorting findings")
    findings = summarise(output)
    if findings.total >= NOTABLE_FINDINGS:
        rule = next(iter(findings.by_rule))
        ctx.output(f"{request.shown_as}: {findings.total} findings, most often {rule} {findings.names[rule]}")
    return FileLint(file=request.shown_as, findings=findings)


@coverage.task("survey.coverage", isolation="thread")
def survey_coverage(ctx: SyncExecutionContext, request: SurveyRequest) -> FileCoverage:
    """Measure how much of a file's public face is documented and typed."""
    ctx.progress(0.0, f"parsing {request.shown_as}")
    source = read_source(request.path, request.shown_as)
    if source.tree is None:
        return FileCoverage(file=request.shown_as, problem=source.problem)
    ctx.progress(0.7, "looking for docstrings")
    return FileCoverage(file=request.shown_as, coverage=measure_coverage(source.tree))


def _is_notable(function: FunctionMetrics) -> bool:
    return function.complexity >= NOTABLE_COMPLEXITY


def _count_ranks(measured: list[FunctionMetrics]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for function in measured:
        name = rank(function.complexity)
        counts[name] = counts.get(name, 0) + 1
    return counts
