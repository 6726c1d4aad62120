"""The files of a deployment against the schemas of those who read them; a field that nobody knows is refused."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

ROOT = Path(__file__).parents[2]
SCHEMAS = Path(__file__).with_name("schemas")
#: The oldest Kubernetes that the manifests are for, and the newest whose schemas are here.
KUBERNETES = ("1.30", kubernetes_validate.latest_version())
MANIFESTS: list[dict[str, Any]] = [
    manifest
    for path in sorted((ROOT / "deploy" / "kubernetes").glob("*.yml"))
    for manifest in yaml.safe_load_all(path.read_text())
]


def is_of_kubernetes(manifest: dict[str, Any]) -> bool:
    """Whether it is of a kind that Kubernetes itself brings; others have a domain in the name of their group."""
    return "." not in manifest["apiVersion"].partition("/")[0]


def named(manifest: dict[str, Any]) -> str:
    return f"{manifest['kind']}-{manifest['metadata']['name']}"


def check(manifest: dict[str, Any], version: str = KUBERNETES[-1]) -> None:
    """Raises jsonschema.ValidationError unless the manifest is as its schema says, with no field beyond it."""
    if is_of_kubernetes(manifest):
        kubernetes_validate.validate(manifest, version, strict=True)
        return
    schema = yaml.safe_load((SCHEMAS / f"{manifest['kind'].lower()}.yml").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(manifest, schema)


def run_tool(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program of the development environment."""
    command = [str(Path(sys.executable).with_name(name)), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def check_compose(path: Path) -> subprocess.CompletedProcess[str]:
    return run_tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(path))


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("manifest", MANIFESTS, ids=named)
def test_each_manifest_is_as_its_schema_says(manifest: dict[str, Any], version: str) -> None:
    check(manifest, version)


def test_compose_takes_the_compose_file() -> None:
    done = check_compose(ROOT / "docker-compose.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_linter_finds_no_fault_with_the_dockerfile() -> None:
    done = run_tool("hadolint", "--failure-threshold", "info", "Dockerfile")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("manifest", MANIFESTS, ids=named)
def test_a_manifest_with_an_unknown_field_is_refused(manifest: dict[str, Any]) -> None:
    wrong = copy.deepcopy(manifest)
    wrong.get("spec", wrong)["specs"] = True
    with pytest.raises(jsonschema.ValidationError, match="specs"):
        check(wrong)


def test_a_compose_file_with_an_unknown_field_is_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "docker-compose.yml"
    wrong.write_text((ROOT / "docker-compose.yml").read_text().replace("stop_grace_period:", "stop_grace_peroid:"))
    assert "stop_grace_peroid" in check_compose(wrong).stdout
