"""The text of a script, taken apart: its header's sections, its arguments, the words it replies, its literals."""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import dataclass

from mindswarm_exec.ledger import answers, looks, operations
from mindswarm_exec.ledger.scripts import source

SECTIONS = ("KEYS", "ARGV", "REPLY", "EMITS", "TWICE")


@dataclass(frozen=True)
class Header:
    """`items` are the texts of the fixed arguments, first first; `rest` is that of the open-ended last one."""

    sections: dict[str, str]
    items: tuple[str, ...]
    rest: str | None

    @property
    def words(self) -> set[str]:
        return set(re.findall(r'\{"(\w+)"', self.sections["REPLY"]))


def header(name: str) -> Header:
    text = source(name).partition("]]")[0]
    parts = re.split(rf"^  ({'|'.join(SECTIONS)})\s+", text, flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    items: dict[int, str] = {}
    rest = None
    for item in re.split(r"·|\n(?=\s*\d)", sections.get("ARGV", "")):
        match = re.fullmatch(r"\s*(\d+)(?:, (\d+))?(\+)?\s+(.*?)\s*", item, flags=re.DOTALL)
        assert match, f"{name}.lua: an item of ARGV without a number: {item!r}"
        first, last, is_open, said = match.groups()
        if is_open:
            rest = said
            assert int(first) == len(items) + 1
        else:
            items |= dict.fromkeys(range(int(first), int(last or first) + 1), said)
    assert sorted(items) == list(range(1, len(items) + 1)), f"{name}.lua: arguments are not numbered from 1"
    return Header(sections, tuple(items[number] for number in sorted(items)), rest)


def body(name: str) -> str:
    """The script without its header and comments."""
    text = source(name)
    text = re.sub(r"--\[\[.*?\]\]", "", text, flags=re.DOTALL)
    return re.sub(r"--.*", "", text)


def unpacked(name: str) -> dict[int, str]:
    """The local that each argument is unpacked into, by its number; where there is none, `ARGV`."""
    found: dict[int, str] = {}
    for names, first in re.findall(r"local ([\w, ]+) =\s+unpack\(ARGV(?:, (\d+), \d+)?\)", body(name)):
        found |= dict(enumerate(names.split(", "), int(first or 1)))
    for number in re.findall(r"ARGV\[(\d+)\]", body(name)):
        found.setdefault(int(number), "ARGV")
    return found


def replied_words(name: str) -> set[str]:
    """The words that the script's own `return`s begin with. Helpers return no tables of words."""
    firsts = re.findall(r"^\s*(?:if .* then )?return \{ (.*?)(?:,| \})", body(name), flags=re.MULTILINE)
    firsts += re.findall(r"then return \{ (.*?)(?:,| \})", body(name))
    return {word for first in firsts for word in re.findall(r"'(\w+)'", first)}


def read_words(name: str) -> set[str]:
    """The words that the script's reader tells apart; `_` if it takes any other as one more."""
    trees = [ast.parse(inspect.getsource(module)) for module in (operations, answers, looks)]
    functions = {node.name: node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    for call in (node for node in ast.walk(trees[0]) if isinstance(node, ast.Call)):
        is_script = isinstance(call.func, ast.Name) and call.func.id == "_script"
        if is_script and isinstance(call.args[0], ast.Constant) and call.args[0].value == name:
            return _words_in(_name_of(call.args[1]), functions)
    raise AssertionError(f"no operation calls {name}.lua")


def _name_of(function: ast.expr) -> str:
    """The last part of a dotted name; "" for what is no name, as a lambda."""
    match function:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""


def _words_in(reader: str, functions: dict[str, ast.FunctionDef]) -> set[str]:
    if reader not in functions:
        return set()
    words: set[str] = set()
    for node in ast.walk(functions[reader]):
        match node:
            case ast.MatchValue(value=ast.Constant(value=word)):
                words.add(str(word))
            case ast.MatchAs(pattern=None, name=None):
                words.add("_")
            case ast.Compare(comparators=[ast.Constant(value=word)]):
                words.add(str(word))
            case ast.Call(func=function) if "read_" in _name_of(function):
                words |= _words_in(_name_of(function), functions)
    return words
