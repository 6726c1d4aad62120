"""Who keeps the embedded server alive, and who ends it: owners and other users, killed and forked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from mindswarm_exec.embedded import start_embedded
from mindswarm_exec.embedded.directory import DataDirectory
from tests.eventually import eventually, passes

#: Owns a server, and stops it when a line arrives. Ctrl-C is answered by asking whether the server lives.
OWNER = """
import json, sys
from mindswarm_exec.embedded import start_embedded
server = start_embedded(sys.argv[1])
try:
    print(json.dumps({"pid": server.pid, "port": server.port, "owned": server.owned}), flush=True)
    sys.stdin.readline()
except KeyboardInterrupt:
    print(server.is_alive(), flush=True)
    sys.stdin.readline()
server.stop()
"""


#: Knows the server by its URL alone, as the children of `mindswarm-exec up` do, and lives until a line arrives.
USER = """
import pathlib, sys
from mindswarm_exec.embedded import ledger_url
from mindswarm_exec.settings import Settings
url, _ = ledger_url(Settings(data_dir=pathlib.Path(sys.argv[1]), redis_url=sys.argv[2]))
print(url, flush=True)
sys.stdin.readline()
"""

#: Starts the server, and has a child that was forked with it in hand.
FORKER = """
import json, os, signal, sys
from mindswarm_exec.embedded import start_embedded
server = start_embedded(sys.argv[1])
if os.fork() == 0:
    signal.pause()
print(json.dumps({"pid": server.pid, "port": server.port}), flush=True)
signal.pause()
"""

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(data_dir: Path) -> Iterator[Start]:
    """Start processes that run a script on `data_dir`, in a process group of their own as in a terminal."""
    processes: list[subprocess.Popen[str]] = []

    def start(script: str, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", script, str(data_dir), *arguments]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, process_group=0)
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def said(owner: subprocess.Popen[str]) -> dict[str, int]:
    assert owner.stdout is not None
    found: dict[str, int] = json.loads(owner.stdout.readline())
    return found


def url_of(owner: dict[str, int]) -> str:
    return f"redis://127.0.0.1:{owner['port']}/0"


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()


def await_server_end(data_dir: Path) -> None:
    def has_ended() -> None:
        assert not DataDirectory(data_dir).has_server()

    eventually(has_ended)


def test_the_server_ends_in_order_with_the_last_process_that_used_it(data_dir: Path, start: Start) -> None:
    owner, other = start(OWNER), start(OWNER)
    first, second = said(owner), said(other)
    assert first["pid"] == second["pid"]
    with redis.Redis.from_url(url_of(first)) as client:
        client.set("kept", "yes")
        kill(owner)
        passes(0.3)  # the server obeys signals ten times a second
        assert client.get("kept") == b"yes"
    kill(other)
    await_server_end(data_dir)
    assert "User requested shutdown" in (data_dir / "server.log").read_text()
    with start_embedded(data_dir) as again, redis.Redis.from_url(again.url) as client:
        assert (again.pid != first["pid"], again.port) == (True, first["port"])
        assert client.get("kept") == b"yes"


def test_a_process_that_was_told_the_url_keeps_the_server_too(data_dir: Path, start: Start) -> None:
    owner = start(OWNER)
    url = url_of(said(owner))
    user = start(USER, url)
    assert user.stdout is not None
    assert user.stdout.readline().strip() == url
    kill(owner)
    passes(0.3)
    with redis.Redis.from_url(url) as client:
        assert client.ping()
    user.communicate("end\n")
    assert user.returncode == 0
    await_server_end(data_dir)


def test_a_start_just_after_a_kill_gets_a_server_that_lasts(data_dir: Path, start: Start) -> None:
    """The one before has its signal already and still answers."""
    owner = start(OWNER)
    ending = said(owner)["pid"]
    os.kill(ending, signal.SIGSTOP)
    kill(owner)
    os.kill(ending, signal.SIGCONT)
    with start_embedded(data_dir) as server, redis.Redis.from_url(server.url) as client:
        assert server.owned
        assert client.ping()
        assert (server.pid != ending, server.is_alive()) == (True, True)


def test_a_killed_owner_leaves_the_server_to_others_and_the_next_start_adopts_it(
    data_dir: Path, start: Start
) -> None:
    owner = start(OWNER)
    first = said(owner)
    user = start(USER, url_of(first))
    assert user.stdout is not None
    assert user.stdout.readline()
    kill(owner)
    with start_embedded(data_dir) as server:
        assert (server.pid, server.port) == (first["pid"], first["port"])
        assert server.owned
        kill(user)
        passes(0.3)
        with redis.Redis.from_url(server.url) as client:
            assert client.ping()
    assert not server.is_alive()


def test_ctrl_c_in_the_terminal_leaves_the_server_to_its_owner(data_dir: Path, start: Start) -> None:
    owner = start(OWNER)
    said(owner)
    os.killpg(owner.pid, signal.SIGINT)
    assert owner.stdout is not None
    assert owner.stdout.readline().strip() == "True"  # the signal has arrived; only then may it be told to stop
    owner.communicate("stop\n")
    assert owner.returncode == 0
    with start_embedded(data_dir) as server:
        assert server.owned


def test_simultaneous_starts_give_one_server(start: Start) -> None:
    found = [said(owner) for owner in [start(OWNER) for _ in range(4)]]
    assert len({(each["pid"], each["port"]) for each in found}) == 1
    assert sum(each["owned"] for each in found) == 1


def test_a_forked_child_does_not_keep_the_server(data_dir: Path, start: Start) -> None:
    owner = start(FORKER)
    said(owner)
    kill(owner)
    try:
        await_server_end(data_dir)
    finally:
        os.killpg(owner.pid, signal.SIGKILL)


def test_a_forked_child_neither_owns_the_server_nor_keeps_it_from_being_adopted(data_dir: Path) -> None:
    server = start_embedded(data_dir)
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(tell, b"%d" % server.owned)
        signal.pause()
    try:
        assert os.read(told, 1) == b"0"
        server.stop()
        with start_embedded(data_dir) as again:
            assert again.owned
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(told)
        os.close(tell)
