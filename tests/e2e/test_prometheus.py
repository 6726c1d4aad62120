"""A running Prometheus scrapes two APIs while agents work: the rules are evaluated, and every panel shows data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from mindswarm_exec.cli.stack import free_port
from mindswarm_exec.lifecycle import FAILED, RUNNING
from tests.debian import required
from tests.e2e.swarm import ROOT, START_MS, Process, Swarm
from tests.eventually import eventually, must_be

pytestmark = pytest.mark.needs_program("prometheus")

DEPLOY = ROOT / "deploy"
#: What Grafana would put in for four scrapes.
RATE_INTERVAL = "20s"


class Prometheus:
    """Debian's Prometheus, scraping every second, with the project's alerts."""

    def __init__(self, swarm: Swarm, directory: Path, apis: list[str]) -> None:
        directory.mkdir()
        targets = [url.removeprefix("http://") for url in apis]
        told = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(DEPLOY / "prometheus" / "alerts.yml")],
            "scrape_configs": [{"job_name": "api", "static_configs": [{"targets": targets}]}],
        }
        config, port = directory / "prometheus.yml", free_port()
        config.write_text(yaml.safe_dump(told))
        options = [f"--config.file={config}", f"--storage.tsdb.path={directory}", "--log.level=warn"]
        command = [required("prometheus"), *options, f"--web.listen-address=127.0.0.1:{port}"]
        swarm.processes.append(Process("prometheus", command, {}, directory / "prometheus.log"))
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=10)

    def get(self, path: str, **params: str) -> Any:
        try:
            answer = self._http.get(path, params=params)
        except httpx.TransportError as error:
            raise AssertionError(f"Prometheus does not answer: {error!r}") from None
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def values(self, query: str) -> list[float]:
        """The present samples of an expression."""
        return [float(found["value"][1]) for found in self.get("/query", query=query)["result"]]


def queries() -> list[str]:
    dashboard = json.loads((DEPLOY / "grafana" / "mindswarm.json").read_text())
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swarm]:
    with Swarm(tmp_path_factory.mktemp("prometheus"), MINDSWARM_LEASE_SECONDS="15") as swarm:
        swarm.agent("busy")
        swarm.beat()
        swarm.dispatcher()
        swarm.await_agents("busy")
        yield swarm


@pytest.fixture(scope="module")
def prometheus(swarm: Swarm) -> Prometheus:
    """With two APIs scraped, and of every kind of work some: ended, failed, running, waiting and delayed."""
    prometheus = Prometheus(swarm, swarm.directory / "prometheus", [swarm.api("one"), swarm.api("two")])
    eventually(lambda: must_be(prometheus.values("up"), [1.0, 1.0]), START_MS)
    held = [swarm.start("wait.async", {"file": "end"}, on="busy") for _ in range(3)]
    for one in held:
        swarm.await_status(one, RUNNING)
    for _ in range(2):
        swarm.start("wait.async", {"file": "end"})
    soon = datetime.now(UTC) + timedelta(seconds=50)
    swarm.start("wait.async", {"file": "end"}, start_at=soon.isoformat())
    return prometheus


def test_scaling_asks_for_the_work_in_hand_once_however_many_apis_tell_of_it(prometheus: Prometheus) -> None:
    scaled = yaml.safe_load((DEPLOY / "kubernetes" / "scaling.yml").read_text())["spec"]["triggers"][0]["metadata"]
    eventually(lambda: must_be(prometheus.values("mindswarm_work_in_hand"), [6.0, 6.0]), START_MS)
    assert prometheus.values(scaled["query"]) == [6.0], "three run, two wait, one is due within a minute"


def test_every_panel_of_the_dashboard_shows_data(swarm: Swarm, prometheus: Prometheus) -> None:
    for query in queries():
        asked = query.replace("$__rate_interval", RATE_INTERVAL)
        eventually(lambda asked=asked: _some(prometheus.values(asked), asked), START_MS)


def test_every_alert_is_evaluated_and_none_goes_off_where_all_is_well(prometheus: Prometheus) -> None:
    def check() -> None:
        (group,) = prometheus.get("/rules")["groups"]
        assert {rule["health"] for rule in group["rules"]} == {"ok"}, group
        assert [rule["name"] for rule in group["rules"] if rule["state"] == "firing"] == []

    eventually(check, START_MS)
    expected = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"][0]["rules"]
    assert len(prometheus.get("/rules")["groups"][0]["rules"]) == len(expected)


def test_what_ends_is_counted_once(swarm: Swarm, prometheus: Prometheus) -> None:
    swarm.touch("end")
    assert swarm.await_end(swarm.start("fail", {"until": 9}, on="busy")).status is FAILED
    query = 'max(mindswarm_completions_total{outcome="failed"})'
    eventually(lambda: must_be(prometheus.values(query), [1.0]), START_MS)


def _some(found: list[float], asked: str) -> None:
    assert found, f"no data: {asked}"
    assert all(value == value for value in found), f"not a number: {asked}"
