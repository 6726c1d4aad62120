"""What stands in the way of loading an agent is said with the place and the likely name."""

from __future__ import annotations

from pathlib import Path

import pytest

from mindswarm_exec import Agent
from mindswarm_exec.agent_loading import load_agent
from mindswarm_exec.errors import InvalidRequest

LOADED_WORDS = "from mindswarm_exec import Agent\n\ncounter = Agent('counter')\nlimit = 3\n"


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory of a user, with an agent and modules that cannot be imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    files = {
        "loaded_words": LOADED_WORDS,
        "loaded_broken": "value = 1\nimport nothing_here\n",
        "loaded_raising": "def load():\n    return {}['model']\n\n\nload()\n",
        "loaded_mistyped": "x = 1\ndef f(:\n",
    }
    for name, text in files.items():
        (tmp_path / f"{name}.py").write_text(text)
    return tmp_path


def test_an_agent_of_the_working_directory_is_found() -> None:
    assert isinstance(load_agent("loaded_words:counter"), Agent)


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("loaded_words", "write MODULE:ATTR"),
        ("loaded_wrods:counter", "no module 'loaded_wrods' in .* Did you mean 'loaded_words'?"),
        ("elsewhere.agents:counter", "no module 'elsewhere' in .* Start it where the module is, or install it"),
        ("loaded_words:contuer", r"there is no loaded_words\.contuer\. Its agents are: counter\."),
        ("loaded_words:limit", r"it is a int, not an Agent: loaded_words\.limit\. Its agents are: counter\."),
        (
            "loaded_broken:agent",
            r"at .*loaded_broken\.py, line 2: ModuleNotFoundError: .* 'nothing_here'",
        ),
        ("loaded_raising:agent", r"at .*loaded_raising\.py, line 2: KeyError: 'model'\. Correct that first"),
        ("loaded_mistyped:agent", r"SyntaxError: .*\(loaded_mistyped\.py, line 2\)"),
    ],
)
def test_what_stands_in_the_way_is_said(target: str, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        load_agent(target)
