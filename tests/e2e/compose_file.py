"""docker-compose.yml as data, and what its containers would run, as processes of a swarm."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.swarm import ROOT, Swarm

#: Where `mindswarm-exec` is, and what containers find beside it.
PATH = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
FILE = ROOT / "docker-compose.yml"
DOCKERFILE = ROOT / "Dockerfile"


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return loaded


def engine_services() -> dict[str, dict[str, Any]]:
    """The services that run the project's image, by name."""
    return {name: service for name, service in compose()["services"].items() if "build" in service}


def instruction(name: str) -> str:
    """The last such instruction of the Dockerfile, its words."""
    found = re.findall(rf"^{name} (.+)$", DOCKERFILE.read_text(), re.MULTILINE)
    assert found, name
    return str(found[-1])


def image_environment() -> dict[str, str]:
    """What ENV of the image sets for Python and for us; its PATH is the container's own."""
    pairs = dict(pair.split("=", 1) for pair in instruction("ENV").split())
    return {name: value for name, value in pairs.items() if name != "PATH"}


def words_of(service: dict[str, Any]) -> list[str]:
    """The command line of the container: entrypoint and command, `$$` undone as compose does."""
    entrypoint = service.get("entrypoint") or json.loads(instruction("ENTRYPOINT"))
    return [word.replace("$$", "$") for word in [*entrypoint, *service["command"]]]


def check_of(service: dict[str, Any]) -> list[str]:
    """The command line of the health check."""
    kind, *words = service["healthcheck"]["test"]
    words = [word.replace("$$", "$") for word in words]
    return ["sh", "-c", *words] if kind == "CMD-SHELL" else words


class Containers:
    """Starts services of the compose file beside a swarm's server: same words, same environment.

    Names of the compose network become loopback: the ledger's host, and addresses that bind to every interface. The
    volume of the archive becomes the swarm's directory.
    """

    def __init__(self, swarm: Swarm, agent: str = "words:counter", **interpolated: str) -> None:
        """`agent` is mounted in the place of the file's own."""
        self._swarm = swarm
        self._agent = agent
        self._interpolated = interpolated

    def environment(self, service: dict[str, Any], **own: str) -> dict[str, str]:
        given = {name: str(value) for name, value in service["environment"].items()}
        for name, value in given.items():
            value = re.sub(r"\$\{(\w+)[^}]*\}", lambda found: self._interpolated[found[1]], value)
            value = value.replace("redis://valkey:6379/0", self._swarm.server.url)
            value = value.replace("sqlite:////archive/", f"sqlite:///{self._swarm.directory}/")
            given[name] = value.replace("0.0.0.0", "127.0.0.1")
        return image_environment() | given | own

    def start(self, service_name: str, name: str, **own: str) -> None:
        service = engine_services()[service_name]
        environment = self.environment(service, **own)
        directory = ROOT / "deploy" / "agents" if "working_dir" in service else ROOT
        enter = "import os, sys; os.chdir(sys.argv[1]); os.execvp(sys.argv[2], sys.argv[2:])"
        words = [word.replace("words:counter", self._agent) for word in words_of(service)]
        command = ["-c", enter, str(directory), *words]
        self._swarm.process(name, *command, **environment, PATH=PATH, HOSTNAME=name)

    def check(self, service_name: str, name: str, **own: str) -> subprocess.CompletedProcess[str]:
        """Run the health check of a started service."""
        service = engine_services()[service_name]
        environment = self.environment(service, **own) | {"PATH": PATH, "HOSTNAME": name, "PYTHONPATH": str(ROOT)}
        return subprocess.run(
            check_of(service), env=environment, cwd=ROOT, capture_output=True, text=True, timeout=30
        )


def volumes_of(service: dict[str, Any]) -> list[Path]:
    """The directories of the project that a service mounts."""
    return [ROOT / volume.split(":")[0] for volume in service.get("volumes", ()) if volume.startswith("./")]
