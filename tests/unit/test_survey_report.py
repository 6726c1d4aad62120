"""The report: sums and orders that a reader can check by hand, and a verdict that lets nothing slip."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from mindswarm_exec.demo import findings, report, timings, verdict
from mindswarm_exec.demo.plan import Plan
from mindswarm_exec.identifiers import new_id
from mindswarm_exec.lifecycle import Status
from mindswarm_exec.models.records import Execution, HistoryEntry

START = datetime(2026, 1, 1, tzinfo=UTC)


def execution(task_type: str = "survey.lint", file: str = "a.py", **given: Any) -> Execution:
    fields: dict[str, Any] = {
        "execution_id": new_id(),
        "status": Status.COMPLETED,
        "task_type": task_type,
        "project_id": "survey",
        "agent_id": "lint-1",
        "attempt": 1,
        "priority": 5,
        "payload": {"shown_as": file},
        "created_at": START,
        "started_at": START + timedelta(milliseconds=100),
        "finished_at": START + timedelta(milliseconds=350),
    }
    return Execution.model_validate(fields | given)


def history(*types: str, **data: Any) -> list[HistoryEntry]:
    return [
        HistoryEntry(event_id=f"{n}-0", seq=n, event_type=f"execution.{name}", timestamp=START, data=data)
        for n, name in enumerate(types, 1)
    ]


def metrics_of(file: str, **given: Any) -> dict[str, Any]:
    return {"file": file, "lines": 10, "functions": 2, "complexity": 6, "by_rank": {"A": 2}, **given}


def function(name: str, complexity: int, nesting: int = 0) -> dict[str, Any]:
    return {"name": name, "line": 1, "lines": 9, "complexity": complexity, "nesting": nesting, "arguments": 0}


def results(*found: Execution) -> findings.Results:
    return findings.Results.of(found)


def test_worst_functions_are_ordered_over_all_files_and_the_deeper_of_equals_is_worse() -> None:
    found = results(
        execution("survey.metrics", result=metrics_of("a.py", worst=[function("f", 9), function("g", 30, 1)])),
        execution("survey.metrics", result=metrics_of("b.py", worst=[function("h", 30, 4)])),
    )
    worst = findings.worst_functions(found.metrics, 2)
    assert [(place.file, place.function.name) for place in worst] == [("b.py", "h"), ("a.py", "g")]


def test_sizes_and_ranks_are_summed() -> None:
    one = execution("survey.metrics", result=metrics_of("a.py"))
    two = execution("survey.metrics", result=metrics_of("b.py", functions=1, complexity=12, by_rank={"C": 1}))
    size = findings.size(results(one, two).metrics)
    assert (size.files, size.lines, size.functions) == (2, 20, 3)
    assert size.mean_complexity == 6
    assert size.by_rank == {"A": 2, "C": 1}


def test_rules_count_findings_and_files() -> None:
    def lint(**by_rule: int) -> Execution:
        summary = {"total": sum(by_rule.values()), "by_rule": by_rule, "names": dict.fromkeys(by_rule, "a-name")}
        return execution(result={"file": "x.py", "findings": summary})

    rules = findings.rules(results(lint(F401=2, E711=9), lint(F401=8)).lint)
    assert [(rule.code, rule.findings, rule.files) for rule in rules] == [("F401", 10, 2), ("E711", 9, 1)]


def test_small_modules_are_not_blamed_for_missing_docstrings() -> None:
    def covered(file: str, definitions: int, documented: int) -> Execution:
        coverage = {"definitions": definitions, "documented": documented}
        return execution("survey.coverage", result={"file": file, "coverage": coverage})

    found = results(covered("tiny.py", 2, 0), covered("bare.py", 20, 1), covered("good.py", 20, 20))
    assert [share.name for share in findings.least_documented(found.coverage, 5)] == ["bare.py", "good.py"]
    assert findings.docstrings(found.coverage).fraction == 0.5


def test_tests_are_no_public_face_unless_there_is_nothing_else() -> None:
    files = [execution("survey.coverage", result={"file": name}) for name in ("a.py", "tests/b.py", "test_c.py")]
    found = results(*files).coverage
    assert [file.file for file in findings.public_face(found)] == ["a.py"]
    assert findings.public_face(found[1:]) == list(found[1:])


def test_copies_are_bodies_in_more_than_one_place() -> None:
    one = metrics_of("a.py", bodies={"same": ["f", 1, 12], "own": ["g", 20, 30]})
    two = metrics_of("b.py", bodies={"same": ["h", 5, 12]})
    found = results(execution("survey.metrics", result=one), execution("survey.metrics", result=two))
    (copy,) = findings.copies(found.metrics, 5)
    assert copy.places == ("a.py:1 f", "b.py:5 h")


def test_the_spread_is_of_values_that_were_measured() -> None:
    spread = timings.Spread.of([float(number) for number in range(1, 101)])
    assert (spread.median_ms, spread.p95_ms, spread.max_ms) == (50, 95, 100)
    assert timings.Spread.of([]).max_ms == 0


def test_nothing_speaks_against_executions_that_completed_once() -> None:
    found = execution()
    record = {found.execution_id: history("created", "queued", "started", "completed")}
    assert verdict.objections([found.execution_id], [found], record) == []


@pytest.mark.parametrize(
    ("given", "types", "words"),
    [
        ({"status": Status.FAILED}, ("created", "failed"), "(a.py) is failed, not completed"),
        (
            {"status": Status.FAILED, "error": {"kind": "handler_error", "type": "OSError", "message": "disk full"}},
            ("created", "failed"),
            "is failed, not completed: OSError disk full",
        ),
        ({}, ("created", "completed", "completed"), "2 completed events"),
        ({}, (), "0 completed events"),
        ({"attempt": 2}, ("created", "completed"), "2 attempts, of which 0 were given up"),
    ],
)
def test_whatever_is_not_one_completion_is_objected_to(given: dict[str, Any], types: Any, words: str) -> None:
    found = execution(**given)
    told = verdict.objections([found.execution_id], [found], {found.execution_id: history(*types)})
    assert any(words in objection for objection in told)


def test_what_is_missing_foreign_or_doubled_is_objected_to() -> None:
    found = execution()
    record = {found.execution_id: history("completed")}
    assert "not in the record" in verdict.objections([found.execution_id, new_id()], [found], record)[0]
    assert "never submitted" in verdict.objections([], [found], record)[0]
    assert "stands for 2" in verdict.objections([found.execution_id] * 2, [found], record)[0]


def test_moved_work_names_who_lost_it_and_where_it_ended() -> None:
    found = execution(agent_id="metrics-2", attempt=2, lost_attempts=1)
    entries = history("created", "queued", "started", "released", agent_id="metrics-1")
    (moved,) = verdict.moved([found], {found.execution_id: entries})
    assert (moved.from_agent, moved.to_agent, moved.subject) == ("metrics-1", "metrics-2", "a.py")


def test_foreign_names_in_the_report_reach_the_terminal_as_text() -> None:
    name = "[bold]\x1b[31mevil[/nope].py"
    found = execution("survey.metrics", file=name, result=metrics_of(name, worst=[function("f", 50)]))
    outcome = report.Outcome(Plan(Path("/tree"), (), 1), (found,), (), (f"{name} is odd",), None)
    screen = Console(file=StringIO(), width=160, markup=False, emoji=False, highlight=False)
    screen.print(report.render(outcome))
    assert isinstance(screen.file, StringIO)
    shown = screen.file.getvalue()
    assert "\x1b" not in shown
    assert "[bold]" in shown


def test_the_report_of_a_survey_without_results_still_says_what_is_wrong() -> None:
    outcome = report.Outcome(Plan(Path("/tree"), (), 0), (), (), ("x is not in the record",), "metrics-1")
    screen = Console(file=StringIO(), width=160, markup=False)
    screen.print(report.render(outcome))
    assert report.document(outcome)["completed_exactly_once"] is False
