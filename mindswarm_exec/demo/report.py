"""The report at the end of a survey: what was found, and how the engine did."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.rule import Rule as Line
from rich.table import Table
from rich.text import Text

from mindswarm_exec.cli import cells
from mindswarm_exec.demo import findings, timings
from mindswarm_exec.demo.handover import Handover
from mindswarm_exec.demo.metrics import rank
from mindswarm_exec.demo.overview import Overview
from mindswarm_exec.demo.plan import OVERVIEW, TASK_TYPES, Plan
from mindswarm_exec.demo.verdict import Moved
from mindswarm_exec.models.records import Execution

_RANK_STYLES = {"A": "green", "B": "green", "C": "yellow", "D": "yellow", "E": "red", "F": "bold red"}
#: Rows of each table; a screen's worth in all.
WORST, RULES, MODULES, COPIES = 10, 10, 6, 4
IMPORTED = 6


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that a survey leaves behind."""

    plan: Plan
    executions: tuple[Execution, ...]
    moved: tuple[Moved, ...]
    objections: tuple[str, ...]
    killed: str | None
    handover: Handover | None = None


def render(outcome: Outcome) -> RenderableType:
    """The report for people."""
    results = findings.Results.of(outcome.executions)
    return Group(*_code(outcome, results), *_engine(outcome), *_verdict(outcome))


def document(outcome: Outcome) -> dict[str, Any]:
    """The report for programs."""
    results = findings.Results.of(outcome.executions)
    worst = findings.worst_functions(results.metrics, WORST)
    public = findings.public_face(results.coverage)
    return {
        "root": str(outcome.plan.root),
        "files": len(outcome.plan.files),
        "files_found": outcome.plan.found,
        "size": asdict(findings.size(results.metrics)),
        "worst_functions": [{"file": place.file, **place.function.model_dump()} for place in worst],
        "docstrings": asdict(findings.docstrings(public)),
        "type_hints": asdict(findings.type_hints(public)),
        "least_documented": [asdict(share) for share in findings.least_documented(public, MODULES)],
        "rules": [asdict(rule) for rule in findings.rules(results.lint)],
        "copies": [asdict(copy) for copy in findings.copies(results.metrics, COPIES)],
        "most_imported": results.overview.importers if results.overview else {},
        "problems": findings.problems(results),
        "executions": len(outcome.executions),
        "span_ms": round(timings.span_ms(outcome.executions)) if outcome.executions else 0,
        "times": [asdict(times) for times in timings.times_by(_of_files(outcome), TASK_TYPES)],
        "by_agent": {name: count for name, count, _ in timings.work_by_agent(outcome.executions)},
        "killed_agent": outcome.killed,
        "moved": [asdict(moved) for moved in outcome.moved],
        "handover": outcome.handover.document() if outcome.handover else None,
        "objections": list(outcome.objections),
        "completed_exactly_once": not outcome.objections,
    }


# --- the code --------------------------------------------------------------------------------------------


def _code(outcome: Outcome, results: findings.Results) -> Iterator[RenderableType]:
    size = findings.size(results.metrics)
    yield Line(Text(f"{outcome.plan.root}", style="bold"), style="dim")
    yield Text(
        f"{size.files} files, {size.lines:,} lines ({size.code_lines:,} of code, {size.comment_lines:,} of comment), "
        f"{size.functions:,} functions of mean complexity {size.mean_complexity:.1f}"
    )
    yield _ranks(size)
    yield _titled("Most complex functions", _worst(findings.worst_functions(results.metrics, WORST)))
    yield _titled("Findings by rule", _rules(findings.rules(results.lint), results))
    public = findings.public_face(results.coverage)
    shares = (findings.docstrings(public), findings.type_hints(public))
    yield _titled("Public face, tests left out", _shares(shares))
    least = findings.least_documented(public, MODULES)
    if least:
        yield _titled("Least documented modules", _shares(least))
    if results.overview and results.overview.importers:
        yield _titled("Most imported modules", _imported(results.overview))
    copies = findings.copies(results.metrics, COPIES)
    if copies:
        yield _titled("Copied functions", _copies(copies))
    problems = findings.problems(results)
    if problems:
        shown = [cells.clean(problem, 140) for problem in problems[:5]]
        more = f"\n… and {len(problems) - 5} more" if len(problems) > 5 else ""
        yield _titled(f"Not parsed: {len(problems)}", Text("\n".join(shown) + more, style="yellow"))


def _ranks(size: findings.Size) -> Text:
    line = Text("complexity  ", style="dim")
    for name, count in size.by_rank.items():
        share = count / size.functions
        line.append(f"{name} {count:,} ", style=_RANK_STYLES.get(name, ""))
        line.append(f"({share:.1%})   ", style="dim")
    return line


def _worst(places: Sequence[findings.Place]) -> Table:
    table = _table("FUNCTION", "COMPLEXITY", "DEPTH", "LINES", "ARGUMENTS", "WHERE", right=(1, 2, 3, 4))
    for place in places:
        function = place.function
        grade = rank(function.complexity)
        table.add_row(
            cells.clean(function.name, 44),
            Text(f"{function.complexity} {grade}", style=_RANK_STYLES[grade]),
            str(function.nesting),
            str(function.lines),
            str(function.arguments),
            Text(cells.clean(f"{place.file}:{function.line}", 60), style="dim"),
        )
    return table


def _rules(rules: Sequence[findings.Rule], results: findings.Results) -> RenderableType:
    if not rules:
        return Text("none", style="green")
    total = sum(rule.findings for rule in rules)
    fixable = sum(file.findings.fixable for file in results.lint)
    table = _table("RULE", "", "FINDINGS", "FILES", "", right=(2, 3))
    for rule in rules[:RULES]:
        bar = Text(cells.bar(rule.findings / rules[0].findings, 20), style="yellow")
        table.add_row(
            rule.code, Text(cells.clean(rule.name), style="dim"), f"{rule.findings:,}", str(rule.files), bar
        )
    rest = f", {len(rules) - RULES} rules more" if len(rules) > RULES else ""
    return Group(table, Text(f"{total:,} findings in all{rest}; ruff can fix {fixable:,} of them", style="dim"))


def _shares(shares: Sequence[findings.Share]) -> Table:
    table = Table.grid(padding=(0, 2))
    for share in shares:
        style = "green" if share.fraction >= 0.8 else "yellow" if share.fraction >= 0.4 else "red"
        counted = Text(f"{share.part:,} of {share.whole:,}", style="dim")
        bar = Text(cells.bar(share.fraction, 24), style=style)
        table.add_row(cells.clean(share.name, 50), bar, f"{share.fraction:4.0%}", counted)
    return table


def _imported(overview: Overview) -> Table:
    table = Table.grid(padding=(0, 2))
    most = max(overview.importers.values())
    for module, files in list(overview.importers.items())[:IMPORTED]:
        bar = Text(cells.bar(files / most, 24), style="cyan")
        table.add_row(cells.clean(module, 50), bar, Text(f"by {files:,} of {overview.files:,} files", style="dim"))
    return table


def _copies(copies: Sequence[findings.Copies]) -> Table:
    table = Table.grid(padding=(0, 2))
    for copy in copies:
        shown = ", ".join(copy.places[:3]) + (f" and {len(copy.places) - 3} more" if len(copy.places) > 3 else "")
        table.add_row(f"{copy.lines} lines", Text(f"{len(copy.places)}×", style="bold"), cells.clean(shown, 150))
    return table


# --- the engine ------------------------------------------------------------------------------------------


def _engine(outcome: Outcome) -> Iterator[RenderableType]:
    found = outcome.executions
    if not found:
        return
    span = timings.span_ms(found)
    rate = len(found) / (span / 1000) if span else 0.0
    yield Line(Text("How the engine did", style="bold"), style="dim")
    yield Text(f"{len(found):,} executions in {cells.duration(span)}, {rate:.0f} a second")
    of_files = _of_files(outcome)
    yield _titled("By task type", _times(timings.times_by(of_files, TASK_TYPES), str))
    yield _titled("By priority", _times(timings.times_by_priority(of_files), lambda name: cells.priority(int(name))))
    yield _titled("By agent", _agents(timings.work_by_agent(found), outcome.killed, span))
    if outcome.killed:
        yield _titled(f"Work taken back from {outcome.killed}, and where it was done", _moved(outcome.moved))
    if outcome.handover:
        yield _titled(f"Control: {OVERVIEW}, paused and resumed", _control(outcome.handover))


def _of_files(outcome: Outcome) -> list[Execution]:
    """The executions that look at one file. The overview, paused on the way, would only blur their times."""
    return [execution for execution in outcome.executions if execution.task_type != OVERVIEW]


def _times(rows: Sequence[timings.Times], shown: Any) -> Table:
    names = ("", "EXECUTIONS", "WAITED p50", "p95", "MAX", "RAN p50", "p95", "MAX")
    table = _table(*names, right=range(1, 8))
    for row in rows:
        spreads = (row.waiting, row.running)
        durations = [each for s in spreads for each in (s.median_ms, s.p95_ms, s.max_ms)]
        table.add_row(shown(row.name), f"{row.executions:,}", *map(cells.duration, durations))
    return table


def _agents(rows: Sequence[tuple[str, int, float]], killed: str | None, span: float) -> Table:
    table = _table("AGENT", "COMPLETED", "MEAN SLOTS IN USE", "", right=(1, 2))
    for name, count, busy_ms in rows:
        note = Text("killed with -9", style="red") if name == killed else Text("")
        table.add_row(cells.clean(name), f"{count:,}", f"{busy_ms / span:.1f}" if span else "–", note)
    return table


def _moved(moved: Sequence[Moved]) -> RenderableType:
    if not moved:
        return Text("none: it held nothing when it was killed", style="dim")
    table = Table.grid(padding=(0, 2))
    for one in moved:
        path = Text.assemble((one.from_agent, "red"), " → ", (one.to_agent or "?", "green"))
        table.add_row(Text(one.execution_id, style="dim"), cells.clean(one.subject, 60), path)
    return table


def _control(way: Handover) -> Table:
    """The receipt of the pause, and what followed: when, on which agent, what."""
    receipt, here, there = way.receipt, way.paused_on or "?", way.resumed_on or "?"
    checkpoint = f"checkpoint {(receipt.checkpoint_id or '–')[:8]} at file {way.paused_at} of {way.files}"
    table = _table("", "AFTER", "AGENT", "", right=(1,))
    for name, at, agent, note in (
        ("pause requested", receipt.requested_at, here, receipt.reason),
        ("acknowledged", receipt.acknowledged_at, here, checkpoint),
        ("slot released", receipt.slot_released_at, here, ""),
        ("resume requested", way.resumed_at, "", way.resume_reason),
        ("resumed", way.started_again_at, there, f"from file {_second_start(way)}"),
        ("completed", way.finished_at, there, f"{way.attempts} attempts: {_sum_of_visits(way)}"),
    ):
        style = "green" if agent == there else "yellow"
        table.add_row(name, cells.duration(way.after_ms(at)), Text(cells.clean(agent), style), Text(note, "dim"))
    return table


def _second_start(way: Handover) -> str:
    return str(way.visits[1].first) if len(way.visits) > 1 else "?"


def _sum_of_visits(way: Handover) -> str:
    """The files that each attempt visited, added up: `240 + 360 = 600 files, none twice`."""
    done = sum(visit.files for visit in way.visits)
    told = f"{' + '.join(str(visit.files) for visit in way.visits) or '?'} = {done} files"
    return told + (", none twice" if done == way.files else f" of {way.files}")


def _verdict(outcome: Outcome) -> Iterator[RenderableType]:
    yield Text("")
    count = len(outcome.executions)
    if not outcome.objections:
        lost = f", {len(outcome.moved)} of them on a second attempt" if outcome.moved else ""
        lost += f", the overview on {outcome.handover.resumed_on} after its pause" if outcome.handover else ""
        yield Text(f"✔ all {count:,} executions completed exactly once{lost}", style="bold green")
        return
    yield Text(
        f"✘ not every execution completed exactly once ({len(outcome.objections)} objections):", style="bold red"
    )
    for objection in outcome.objections[:12]:
        yield Text(f"  {cells.clean(objection)}", style="red")


def _titled(title: str, body: RenderableType) -> Group:
    return Group(Text(""), Text(title, style="bold"), body)


def _table(*names: str, right: Sequence[int] = ()) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim", show_edge=False)
    for number, name in enumerate(names):
        table.add_column(name, justify="right" if number in right else "left")
    return table
