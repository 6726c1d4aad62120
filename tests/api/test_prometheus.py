"""/metrics says what happens, in a form that Prometheus takes; dashboard and alerts ask for what is there."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from mindswarm_exec.api.prometheus import MOST_TASK_TYPES, OPEN_METRICS
from mindswarm_exec.client import ExecutionClient
from mindswarm_exec.ledger.faces import SyncLedger, connect_sync
from mindswarm_exec.service.monitoring import OUTCOMES
from mindswarm_exec.service.sweeps import sweep
from tests.api.hand_agent import HandAgent
from tests.api.running_api import RunningApi
from tests.debian import program

DEPLOY = Path(__file__).parents[2] / "deploy"
ALERTS = DEPLOY / "prometheus" / "alerts.yml"
DASHBOARD = DEPLOY / "grafana" / "mindswarm.json"


def scraped(api: RunningApi) -> str:
    answer = httpx.get(f"{api.url}/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return answer.text


def by_name(families: Iterable[Metric]) -> dict[str, float]:
    """Every sample by its name and labels."""
    return {
        f"{sample.name}{json.dumps(sample.labels) if sample.labels else ''}": sample.value
        for family in families
        for sample in family.samples
    }


def samples(api: RunningApi) -> dict[str, float]:
    """Every sample as Prometheus' own parser reads it."""
    return by_name(text_string_to_metric_families(scraped(api)))


def families(api: RunningApi) -> set[str]:
    return {line.split()[2] for line in scraped(api).splitlines() if line.startswith("# TYPE ")}


def promtool(*arguments: str, given: str = "") -> str:
    """Run promtool, which must find nothing to say against it; "" where it is not installed and need not be."""
    path = program("promtool")
    if path is None:
        return ""
    done = subprocess.run([path, *arguments], input=given, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_numbers_follow_executions_from_submission_to_end(api: RunningApi) -> None:
    assert samples(api)["mindswarm_submissions_total"] == samples(api)["mindswarm_work_in_hand"] == 0
    with ExecutionClient(api.url) as client:
        first, second = (client.start("code.survey", priority=7).execution_id for _ in range(2))
        client.start("code.survey", start_at="2999-01-01T00:00:00Z")
        waiting = samples(api)
        assert waiting['mindswarm_executions{"state": "pending"}'] == 3
        assert waiting['mindswarm_waiting{"priority": "7"}'] == 2
        assert waiting['mindswarm_waiting_for_task_type{"task_type": "code.survey"}'] == 2
        assert (waiting["mindswarm_delayed"], waiting["mindswarm_work_in_hand"]) == (1, 2)
        with contextlib.closing(HandAgent(api.settings)) as agent:
            agent.fail(agent.begin(second), "no luck")
            held = samples(api)
            agent.run(first, "done")
    assert (held["mindswarm_slots_taken"], held["mindswarm_slots"], held["mindswarm_work_in_hand"]) == (1, 50, 1)
    assert held['mindswarm_agents{"state": "awake"}'] == 1
    ended = samples(api)
    assert (ended["mindswarm_submissions_total"], ended["mindswarm_work_in_hand"]) == (3, 0)
    outcomes = {name: ended[f'mindswarm_completions_total{{"outcome": "{name}"}}'] for name in OUTCOMES}
    assert outcomes == {"completed": 1, "failed": 1, "cancelled": 0, "timed_out": 0}
    assert ended['mindswarm_events_total{"type": "execution.progress"}'] == 1


def test_delayed_work_is_in_hand_when_it_is_due_within_a_minute(api: RunningApi) -> None:
    with ExecutionClient(api.url) as client:
        for minutes in (0.5, 2):
            client.start("code.survey", start_at=(datetime.now(UTC) + timedelta(minutes=minutes)).isoformat())
    found = samples(api)
    assert (found["mindswarm_delayed"], found["mindswarm_work_in_hand"]) == (2, 1)


def test_the_age_of_the_latest_sweep_is_told_once_there_was_one(api: RunningApi) -> None:
    assert "mindswarm_sweep_age_seconds" not in samples(api)
    assert api.settings.redis_url is not None
    with contextlib.closing(SyncLedger(connect_sync(api.settings.redis_url, api.settings), api.settings)) as ledger:
        sweep(ledger)
    assert 0 <= samples(api)["mindswarm_sweep_age_seconds"] < 30


def test_who_takes_open_metrics_gets_the_same_numbers_as_open_metrics(api: RunningApi) -> None:
    with ExecutionClient(api.url) as client:
        client.start("code.survey")
    asks = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,*/*;q=0.1"
    answer = httpx.get(f"{api.url}/metrics", headers={"Accept": asks})
    assert answer.headers["content-type"] == OPEN_METRICS
    told, found = by_name(openmetrics.text_string_to_metric_families(answer.text)), samples(api)
    for grown in (told, found):
        assert grown.pop("mindswarm_oldest_wait_seconds") > 0
    assert told == found
    assert found["mindswarm_submissions_total"] == 1


def test_a_scrape_stays_small_whatever_callers_invent(api: RunningApi) -> None:
    most = MOST_TASK_TYPES + 3
    with ExecutionClient(api.url) as client:
        for number in range(most):
            client.start(f"invented.{number:03}")
        client.start("invented.052")
    found = {
        name: value for name, value in samples(api).items() if name.startswith("mindswarm_waiting_for_task_type")
    }
    assert len(found) == MOST_TASK_TYPES + 1
    assert found['mindswarm_waiting_for_task_type{"task_type": "(others)"}'] == 3
    assert found['mindswarm_waiting_for_task_type{"task_type": "invented.052"}'] == 2
    assert sum(found.values()) == most + 1


def test_promtool_finds_no_fault_with_the_metrics(api: RunningApi) -> None:
    text = scraped(api)
    promtool("check", "metrics", given=text)
    assert all(family.documentation for family in text_string_to_metric_families(text))


def test_promtool_finds_no_fault_with_the_alerts_and_they_go_off_when_they_should() -> None:
    promtool("check", "rules", str(ALERTS))
    promtool("test", "rules", str(ALERTS.with_name("alerts_test.yml")))
    rules = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]
    tested = ALERTS.with_name("alerts_test.yml").read_text()
    assert all(f'alertname="{rule["alert"]}"' in tested for rule in rules)


def asked(expression: str) -> set[str]:
    return set(re.findall(r"\bmindswarm_\w+", expression))


def test_every_alert_asks_for_metrics_that_exist(api: RunningApi) -> None:
    rules = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]
    names = set().union(*(asked(rule["expr"]) for rule in rules))
    assert names
    assert names <= families(api)


def queries() -> list[str]:
    dashboard: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


def test_every_panel_of_the_dashboard_asks_for_metrics_that_exist(api: RunningApi) -> None:
    assert all(asked(query) for query in queries())
    names = set().union(*map(asked, queries()))
    assert names <= families(api)
    assert families(api) - names == set(), "a metric that the dashboard does not show"


def test_the_guide_to_operating_names_every_metric_and_no_other(api: RunningApi) -> None:
    guide = (DEPLOY.parent / "docs" / "operating.md").read_text(encoding="utf-8")
    assert asked(guide) == families(api)


def test_every_query_of_the_dashboard_is_one_that_prometheus_takes(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": query.replace("$__rate_interval", "5m")}
        for number, query in enumerate(queries())
    ]
    path = tmp_path / "queries.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", str(path))


@pytest.mark.needs_program("promtool")
@pytest.mark.parametrize(
    "text", ["mindswarm_x 1\n", "# HELP mindswarm_x x\n# TYPE mindswarm_x counter\nmindswarm_x 1\n"]
)
def test_the_check_sees_a_fault(text: str) -> None:
    with pytest.raises(AssertionError, match="mindswarm_x"):
        promtool("check", "metrics", given=text)
