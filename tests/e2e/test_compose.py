"""docker-compose.yml: what it says is known to Compose, and what its containers would run does run together."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest

from mindswarm_exec.cli.contents import ROWS
from mindswarm_exec.cli.stack import free_port
from mindswarm_exec.client import ExecutionClient
from mindswarm_exec.lifecycle import COMPLETED, RUNNING
from mindswarm_exec.settings import PREFIX, Settings
from tests.e2e.compose_file import (
    DOCKERFILE,
    Containers,
    compose,
    engine_services,
    image_environment,
    instruction,
    volumes_of,
    words_of,
)
from tests.e2e.swarm import HANDLERS, START_MS, Swarm
from tests.eventually import eventually

SERVICES = sorted(engine_services())
every_service = pytest.mark.parametrize("name", SERVICES)
LOGIN = ("operator", "secret")


def seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+)s", text)
    assert found, text
    return float(found[1])


def test_every_process_of_the_engine_is_a_service() -> None:
    assert {"api", "dispatcher", "beat", "agent", "flower"} == set(SERVICES)
    assert compose()["services"]["api"]["deploy"]["replicas"] == 2


@every_service
def test_a_service_runs_a_command_that_exists_with_variables_that_exist(name: str) -> None:
    service = engine_services()[name]
    command = re.search(r"mindswarm-exec ([a-z-]+)", " ".join(words_of(service)))
    assert command
    assert command[1] in ROWS
    ours = {key: str(value) for key, value in service["environment"].items() if key.startswith(PREFIX)}
    assert set(ours) <= {PREFIX + field.upper() for field in Settings.model_fields}
    Settings.from_environment(ours | image_environment())
    assert all(path.is_dir() for path in volumes_of(service))
    assert set(service["depends_on"]) <= set(compose()["services"])


@every_service
def test_a_service_is_watched_runs_without_privileges_and_has_time_to_stop(name: str) -> None:
    service = engine_services()[name]
    assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    environment = {key: str(value) for key, value in service["environment"].items()}
    if name == "agent":
        drain = Settings.from_environment(environment).drain_grace_seconds
        assert seconds(service["stop_grace_period"]) > drain + 5


def test_what_binds_beyond_loopback_asks_for_a_key_or_a_password() -> None:
    api = engine_services()["api"]["environment"]
    assert (api["MINDSWARM_API_HOST"], api["MINDSWARM_API_KEYS"]) == ("0.0.0.0", "true")
    assert ":?" in engine_services()["flower"]["environment"]["FLOWER_BASIC_AUTH"], "compose refuses to start without"
    published = [port for service in compose()["services"].values() for port in service.get("ports", ())]
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_the_ledger_keeps_its_data_and_refuses_rather_than_forgets() -> None:
    words = compose()["services"]["valkey"]["command"]
    options = dict(zip(words[1::2], words[2::2], strict=True))
    assert (options["--appendonly"], options["--appendfsync"]) == ("yes", "everysec")
    assert options["--maxmemory-policy"] == "noeviction"
    assert compose()["services"]["valkey"]["volumes"] == ["valkey:/data"]


def test_what_has_ended_is_kept_in_a_volume_of_those_that_write_and_read_it() -> None:
    services = engine_services()
    for name in ("api", "dispatcher"):
        assert services[name]["environment"]["MINDSWARM_ARCHIVE_URL"] == "sqlite:////archive/archive.db"
        assert services[name]["volumes"] == ["archive:/archive"]
    assert "archive" in compose()["volumes"]
    assert re.search(r"install -d -o 10001 -g 10001 /archive$", DOCKERFILE.read_text(), re.MULTILINE)


def test_the_image_is_built_in_stages_and_runs_as_nobody_in_particular() -> None:
    text = DOCKERFILE.read_text()
    assert len(re.findall(r"^FROM ", text, re.MULTILINE)) == 2
    assert instruction("USER") == "10001:10001"
    assert "mindswarm-exec" in instruction("HEALTHCHECK")
    assert instruction("CMD") == '["api"]'
    for source in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE):
        assert all((DOCKERFILE.parent / name).exists() for name in source.split()), source


# --- the same, as processes ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swarm]:
    with Swarm(tmp_path_factory.mktemp("compose"), MINDSWARM_NAMESPACE="mindswarm") as swarm:
        yield swarm


def await_health(containers: Containers, service: str, name: str, own: dict[str, str]) -> None:
    """Wait until the container's own check finds no fault."""

    def check() -> None:
        done = containers.check(service, name, **own)
        assert done.returncode == 0, done.stdout + done.stderr

    eventually(check, 4 * START_MS, every_ms=500)  # seven processes start at once


def test_what_the_containers_would_run_works_together(swarm: Swarm) -> None:
    containers = Containers(swarm, FLOWER_BASIC_AUTH=":".join(LOGIN))
    ports = {f"api-{number}": {"MINDSWARM_API_PORT": str(free_port())} for number in (1, 2)}
    ports["flower"] = {"FLOWER_PORT": str(free_port())}
    names = {"api-1": "api", "api-2": "api", "dispatcher": "dispatcher", "beat": "beat", "flower": "flower"}
    names |= {"4c7d1e0a9b21": "agent", "5d8e2f1bac32": "agent"}
    for name, service in names.items():
        containers.start(service, name, **ports.get(name, {}))
    for name, service in names.items():
        await_health(containers, service, name, ports.get(name, {}))
    made = swarm.command("key", "key", "create", "me", "--project", "*", "--json")
    assert made.exit_code() == 0
    key = re.search(r'"api_key": ?"([^"]+)"', made.log)
    assert key
    first, second = (f"http://127.0.0.1:{ports[name]['MINDSWARM_API_PORT']}" for name in ("api-1", "api-2"))
    with ExecutionClient(first, api_key=key[1]) as one, ExecutionClient(second, api_key=key[1]) as other:
        handle = one.start("words.count", {"texts": ["to be or not", "to be"]})
        assert handle.result(timeout=30) == {"text 0": 4, "text 1": 2}
        assert other.get(handle.execution_id).agent_id in names
        assert one.get_history().executions[0].execution_id == handle.execution_id
    assert (swarm.directory / "archive.db").is_file()
    assert httpx.post(f"{first}/rpc", json={}).status_code == 401
    flower = f"http://127.0.0.1:{ports['flower']['FLOWER_PORT']}"
    assert httpx.get(f"{flower}/api/tasks", auth=LOGIN).status_code == 200
    assert httpx.get(f"{flower}/api/tasks").status_code == 401


def test_scaling_from_one_agent_to_five_and_back_kills_no_work(swarm: Swarm) -> None:
    """`--scale agent=5`, then `--scale agent=1`, in the midst of work: SIGTERM to four, which drain."""
    containers = Containers(swarm, agent=HANDLERS)
    names = [f"a{number}" for number in range(5)]
    for name in names:
        containers.start("agent", name)
    for name in names:  # one after the other, as five that start at once take their time
        swarm.await_agents(name)
    running = [swarm.start("wait.async", {"file": "scaled"}, on=name) for name in names for _ in range(2)]
    for execution_id in running:
        swarm.await_status(execution_id, RUNNING)
    for name in names[1:]:
        swarm.named(name).terminate()
    swarm.await_agents(*names[1:], state="draining")
    late = [swarm.start("wait.async", {"file": "scaled"}) for _ in range(3)]
    swarm.touch("scaled")
    assert [swarm.named(name).exit_code(45) for name in names[1:]] == [0, 0, 0, 0]
    for execution_id in running:
        ended = swarm.await_end(execution_id)
        assert (ended.status, ended.attempt) == (COMPLETED, 1), "it ran to its end where it was"
    assert {swarm.await_end(execution_id).agent_id for execution_id in late} == {"a0"}


def test_the_probe_fails_for_what_is_not_there(swarm: Swarm) -> None:
    failing = {
        "absent": ("--agent", "nobody"),
        "api": ("--api",),
        "ledger": (),
    }
    variables = {"MINDSWARM_API_PORT": str(free_port()), "MINDSWARM_REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"}
    for name, words in failing.items():
        own = {} if name == "absent" else variables
        probe = swarm.command(f"probe-{name}", "probe", *words, **own)
        assert probe.exit_code() in (3, 5), probe.log
        assert "Traceback" not in probe.log
    assert swarm.command("patient", "probe", "--patient", **variables).exit_code() == 0
