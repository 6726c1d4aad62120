"""deploy/kubernetes: what the manifests say fits together, and fits the code."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from mindswarm_exec.api.prometheus import exposition
from mindswarm_exec.cli.contents import ROWS
from mindswarm_exec.models.records import QueueStatus
from mindswarm_exec.service.monitoring import Readings
from mindswarm_exec.settings import PREFIX, Settings

DIRECTORY = Path(__file__).parents[2] / "deploy" / "kubernetes"
Manifest = dict[str, Any]


def manifests(kind: str) -> dict[str, Manifest]:
    """The manifests of a kind, by name."""
    documents = [one for path in sorted(DIRECTORY.glob("*.yml")) for one in yaml.safe_load_all(path.read_text())]
    found = {one["metadata"]["name"]: one for one in documents if one["kind"] == kind}
    assert found, kind
    return found


DEPLOYMENTS = manifests("Deployment")
every_deployment = pytest.mark.parametrize("name", DEPLOYMENTS)


def pod(name: str) -> Manifest:
    spec: Manifest = DEPLOYMENTS[name]["spec"]["template"]["spec"]
    return spec


def container(name: str) -> Manifest:
    (only,) = pod(name)["containers"]
    found: Manifest = only
    return found


def settings() -> Settings:
    data = manifests("ConfigMap")["mindswarm"]["data"]
    assert set(data) <= {PREFIX + field.upper() for field in Settings.model_fields}
    return Settings.from_environment(data)


def test_the_settings_are_settings_and_the_api_asks_for_keys() -> None:
    assert settings().api_keys
    assert settings().log_format == "json"


@every_deployment
def test_selectors_find_the_pods_that_they_mean(name: str) -> None:
    spec = DEPLOYMENTS[name]["spec"]
    assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"] == {"app": name}


@every_deployment
def test_every_pod_runs_a_command_that_exists_unprivileged_and_knows_its_ledger(name: str) -> None:
    assert container(name)["args"][0] in ROWS
    assert pod(name)["securityContext"]["runAsNonRoot"] is True
    assert pod(name)["securityContext"]["runAsUser"] == 10001, "the user of the image"
    assert container(name)["securityContext"]["readOnlyRootFilesystem"] is True
    variables = {one["name"]: one["valueFrom"] for one in container(name)["env"]}
    assert variables["MINDSWARM_REDIS_URL"] == {"secretKeyRef": {"name": "mindswarm", "key": "redis-url"}}
    assert container(name)["envFrom"] == [{"configMapRef": {"name": "mindswarm"}}]


@every_deployment
def test_no_variable_of_a_service_is_taken_for_a_setting(name: str) -> None:
    """Kubernetes would tell every pod MINDSWARM_API_PORT=tcp://10.0.0.1:8420 of the service `mindswarm-api`."""
    assert "MINDSWARM_API_PORT" in {f"{name.upper().replace('-', '_')}_PORT" for name in manifests("Service")}
    assert pod(name)["enableServiceLinks"] is False


@every_deployment
def test_every_pod_is_probed_by_what_exists(name: str) -> None:
    for probe in (container(name)["livenessProbe"], container(name)["readinessProbe"]):
        if "httpGet" in probe:
            assert probe["httpGet"]["path"] in ("/healthz", "/readyz")
        else:
            asked = " ".join(probe["exec"]["command"])
            assert re.search(r"mindswarm-exec probe\b", asked)
            assert "$(" not in asked, "Kubernetes puts no variables into the commands of probes"


@every_deployment
def test_no_probe_restarts_a_process_because_the_ledger_is_away(name: str) -> None:
    probe = container(name)["livenessProbe"]
    patient = probe["httpGet"]["path"] == "/healthz" if "httpGet" in probe else "--patient" in str(probe["exec"])
    assert patient


def test_an_agent_has_longer_to_end_than_its_drain_and_its_pod_s_name() -> None:
    assert pod("mindswarm-agent")["terminationGracePeriodSeconds"] > settings().drain_grace_seconds + 10
    assert container("mindswarm-agent")["args"][-2:] == ["--name", "$(POD_NAME)"]
    assert "replicas" not in DEPLOYMENTS["mindswarm-agent"]["spec"], "each apply would undo what KEDA has decided"


def test_disruptions_leave_some_of_each_that_has_more_than_one() -> None:
    budgets = manifests("PodDisruptionBudget")
    assert set(budgets) == {"mindswarm-api", "mindswarm-dispatcher", "mindswarm-agent"}
    for name, budget in budgets.items():
        assert budget["spec"]["selector"]["matchLabels"] == {"app": name}
        assert DEPLOYMENTS[name]["spec"].get("replicas", 2) > budget["spec"].get("minAvailable", 1)


def test_agents_are_scaled_by_a_metric_that_exists_and_counts_what_runs() -> None:
    scaled = manifests("ScaledObject")["mindswarm-agent"]["spec"]
    assert scaled["scaleTargetRef"]["name"] in DEPLOYMENTS
    (trigger,) = scaled["triggers"]
    (metric,) = re.findall(r"mindswarm_\w+", trigger["metadata"]["query"])
    queue = QueueStatus(
        by_state={"queued": 1, "running": 4},
        by_priority={"5": 2},
        waiting=2,
        delayed=9,
        held_by_concurrency=0,
        slots_total=6,
        slots_taken=5,
        agents={"awake": 2},
    )
    told = exposition(Readings(queue, {}, soon_due=1, sweep_age_ms=0, events={}))
    assert f"\n{metric} 8\n" in told, "two wait, five have a slot, one is due soon"


def test_scaling_leaves_the_agents_alone_while_nobody_can_say_how_much_work_there_is() -> None:
    scaled = manifests("ScaledObject")["mindswarm-agent"]["spec"]
    assert "fallback" not in scaled, "a fixed number of agents, whatever runs"
    assert scaled["triggers"][0]["metadata"]["ignoreNullValues"] == "false"


def test_the_scraper_finds_the_api_and_has_a_key() -> None:
    monitor = manifests("ServiceMonitor")["mindswarm"]["spec"]
    service = manifests("Service")["mindswarm-api"]
    assert monitor["selector"]["matchLabels"] == service["metadata"]["labels"]
    assert monitor["endpoints"][0]["port"] in [port["name"] for port in service["spec"]["ports"]]
    assert monitor["endpoints"][0]["authorization"]["credentials"]["key"] == "api-key"


def test_the_alerts_for_the_operator_are_those_for_prometheus() -> None:
    made = subprocess.run([DIRECTORY / "prometheus_rule.sh"], capture_output=True, text=True, check=True)
    rule = yaml.safe_load(made.stdout)
    assert (rule["apiVersion"], rule["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    assert rule["spec"] == yaml.safe_load((DIRECTORY.parent / "prometheus" / "alerts.yml").read_text())
