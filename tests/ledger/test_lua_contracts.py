"""The header of each script is its contract: callers, body and readers keep to it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import mindswarm_exec
from mindswarm_exec.ledger import keys
from mindswarm_exec.ledger.scripts import SCRIPT_NAMES, source
from mindswarm_exec.lifecycle import MOVES, Status
from tests.ledger.script_calls import arguments, named_calls
from tests.ledger.script_text import SECTIONS, body, header, read_words, replied_words, unpacked

every_script = pytest.mark.parametrize("name", SCRIPT_NAMES)
ENTROPY = re.compile(r"[0-9a-f]{32}")
#: Scripts that emit through the prelude: what they call, and the row that it moves along.
MOVERS = {"enter(": "queue", "fill(": "queue", "reserve(": "queue", "begin(": "start"}


def test_every_script_has_an_operation() -> None:
    assert set(named_calls()) == set(SCRIPT_NAMES)


@every_script
def test_a_header_has_every_section_and_names_its_file(name: str) -> None:
    assert source(name).startswith(f"--[[ {name}.lua: ")
    assert tuple(header(name).sections) == SECTIONS


@every_script
def test_an_operation_passes_what_the_header_names_in_that_order(name: str) -> None:
    said, given = header(name), arguments(named_calls()[name])
    assert len(given) == len(said.items) or (said.rest and len(given) > len(said.items))
    for item, value in zip(said.items, given, strict=False):
        word = "entropy" if ENTROPY.fullmatch(str(value)) else str(value)
        assert word in item, f"{name}.lua says {item!r} where its operation passes {word!r}"


@every_script
def test_a_body_takes_each_argument_that_the_header_names(name: str) -> None:
    said, taken = header(name), unpacked(name)
    assert sorted(set(taken) & set(range(1, len(said.items) + 1))) == list(range(1, len(said.items) + 1))
    for number, local in taken.items():
        phrase = r"_id\b" if local == "id" else rf"\b{local}\b"
        named = [place for place, item in enumerate(said.items, 1) if re.search(phrase, item)]
        assert not named or number in named, f"{name}.lua takes {local} from argument {number}; it is {named}"


@every_script
def test_a_body_replies_the_words_of_the_header_and_the_reader_knows_them(name: str) -> None:
    words = header(name).words
    assert replied_words(name) == words
    read = read_words(name)
    if not read:
        assert words <= {"ok"}
    elif "_" in read:
        assert read - {"_"} < words
        assert len(words - read) == 1
    else:
        assert read == words


@every_script
def test_a_header_names_each_event_that_the_body_emits(name: str) -> None:
    said = header(name).sections["EMITS"]
    rows = {row.name: row.event for row in MOVES}
    named = set(re.findall(r"'((?:execution|agent)\.\w+)'", body(name)))
    moved = {rows[row] for row in re.findall(r"move\(x, MOVES\.(\w+)", body(name))}
    moved |= {rows[row] for call, row in MOVERS.items() if call in body(name)}
    assert not {event for event in named | moved if event not in said}


@pytest.mark.parametrize("name", [*SCRIPT_NAMES, "prelude"])
def test_no_script_names_a_status(name: str) -> None:
    assert not re.findall(rf"['\"]({'|'.join(Status)})['\"]", body(name))


def test_scripts_use_key_families_that_exist() -> None:
    used = {family for name in (*SCRIPT_NAMES, "prelude") for family in re.findall(r"\bkey\('(\w+)'", body(name))}
    assert used <= keys.FAMILIES


def test_every_key_family_is_documented_and_used() -> None:
    assert keys.__doc__ is not None
    documented = set(
        re.findall(r"^    (\w+) +(?:hash|zset|set|list|string|stream|channel) ", keys.__doc__, re.MULTILINE)
    )
    assert documented == keys.FAMILIES
    package = Path(mindswarm_exec.__file__).parent
    texts = [body(name) for name in (*SCRIPT_NAMES, "prelude")]
    texts += [path.read_text() for path in package.glob("**/*.py") if path.name != "keys.py"]
    unused = {f for f in keys.FAMILIES if not any(re.search(rf"(?:key|Key|of)\(['\"]{f}['\"]", t) for t in texts)}
    assert not unused
