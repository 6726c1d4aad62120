"""The entry point: nonsense gets a sentence and an exit code, never a traceback."""

from __future__ import annotations

import json
import subprocess
import sys

import click
import pytest

from mindswarm_exec.cli.contents import ROWS
from mindswarm_exec.cli.main import cli, run

#: Port 1 is privileged and unused: whoever connects is refused at once.
NOBODY = "http://127.0.0.1:1"


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = run(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize("name", ROWS)
def test_every_command_is_where_the_contents_say_and_does_what_they_say(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    help_text = (command.help or "").replace("\n", " ")
    assert help_text, f"{name} has no help"


def test_help_reads_no_engine() -> None:
    script = (
        "import sys; from mindswarm_exec.cli.main import run; run(['--help']);"
        "print([name for name in ('celery', 'redis', 'httpx', 'rich') if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"
    assert "Exit codes:" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("--nonsense",),
        ("start",),
        ("start", "code.survey", "{not json"),
        ("start", "code.survey", "@/absent"),
        ("start", "code.survey", "--priority", "eleven"),
        ("start", "code.survey", "--timeout", "soon"),
        ("start", "code.survey", "--where", ">="),
        ("start", "code.survey", "--options", "[]"),
        ("start", "code.survey", "--options", '{"retry_policy": 3}', "--max-attempts", "2"),
        ("start", "code.survey", "--options", '{"agent": "coder"}', "--prefer", "coder"),
        ("list", "--status", "lost"),
        ("list", "--since", "yesterday"),
        ("list", "--limit", "0"),
        ("history", "x", "--agent", "y"),
        ("watch", "x", "--type", "execution.*"),
        ("watch", "x", "--from", "0"),
        ("metrics", "x", "--window", "5m"),
        ("agent", "no-colon"),
        ("agent", "absent_module:agent"),
        ("api", "--port", "99999"),
        ("up", "--agent", "no-colon"),
        ("up", "--agent", "Bad Name=module:attr"),
        ("demo", "/absent"),
        ("get",),
        ("get", "a", "b"),
    ],
)
def test_a_malformed_command_is_one_sentence_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    code, out, err = said(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("mindswarm-exec: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err


def test_no_command_shows_the_help_and_exits_as_malformed(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = said(capsys)
    assert code == 2
    assert "Submit and watch" in err


def test_a_misspelt_command_is_told_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert "Did you mean 'history'?" in said(capsys, "histroy")[2]


@pytest.mark.parametrize("command", ["get x", "list", "queue", "agents", "watch", "cancel x", "start a.b --watch"])
def test_an_api_that_does_not_answer_is_exit_code_5(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("MINDSWARM_API_URL", NOBODY)
    code, out, err = said(capsys, *command.split())
    assert (code, out) == (5, "")
    assert NOBODY in err


def test_with_json_an_error_is_an_object_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = said(capsys, "queue", "--json", "--api-url", NOBODY)
    assert (code, out) == (5, "")
    error = json.loads(err)["error"]
    assert error["exit_code"] == 5
    assert error["data"]["code"] == "api_unavailable"


@pytest.mark.parametrize("value", ["soon", "inf", "nan", "-1"])
def test_a_malformed_setting_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("MINDSWARM_LEASE_SECONDS", value)
    code, _, err = said(capsys, "queue")
    assert code == 2
    assert "MINDSWARM_LEASE_SECONDS" in err


@pytest.mark.parametrize(
    "url", ["nonsense", "ftp://x", "http://", "http://[", "http://localhost:port", "http://x:99999", "http://a b/"]
)
def test_a_url_that_is_none_is_a_sentence(capsys: pytest.CaptureFixture[str], url: str) -> None:
    code, out, err = said(capsys, "queue", "--api-url", url)
    assert (code, out) == (2, "")
    assert "MINDSWARM_API_URL takes one such as" in err


@pytest.mark.parametrize("key", ["ключ", "two words", "msk_x\n"])
def test_a_key_that_is_none_is_a_sentence_that_does_not_quote_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("MINDSWARM_API_KEY", key)
    code, _, err = said(capsys, "queue")
    assert code == 2
    assert "Check MINDSWARM_API_KEY" in err
    assert key not in err


@pytest.mark.parametrize("url", ["nonsense", "http://x", "redis://[::1", "redis://localhost:99999"])
def test_a_ledger_that_is_none_is_a_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("MINDSWARM_REDIS_URL", url)
    code, _, err = said(capsys, "probe")
    assert code == 2
    assert "MINDSWARM_REDIS_URL takes one such as" in err


def test_a_reader_that_leaves_early_causes_no_complaint() -> None:
    script = f"{sys.executable} -m mindswarm_exec.cli --help | head -1"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == ""
