"""Complexity, nesting and arguments as a reader would count them by hand."""

from __future__ import annotations

import ast
import textwrap

import pytest

from mindswarm_exec.demo.metrics import FunctionMetrics, functions_of, measure, rank


def measured(source: str) -> list[FunctionMetrics]:
    return [measure(name, node) for name, node in functions_of(ast.parse(textwrap.dedent(source)))]


@pytest.mark.parametrize(
    ("body", "complexity"),
    [
        ("pass", 1),
        ("if a: pass", 2),
        ("if a: pass\n    elif b: pass\n    else: pass", 3),
        ("return a and b and c", 3),
        ("return a if b else c", 2),
        ("for x in y: pass\n    else: pass", 2),
        ("while a or b: pass", 3),
        ("try: pass\n    except A: pass\n    except B: pass\n    finally: pass", 3),
        ("with a, b: pass", 1),
        ("assert a", 2),
        ("return [x for x in y if x if z]", 4),
        ("match a:\n        case 1: pass\n        case [b]: pass\n        case _: pass", 3),
        ("return lambda: a if b else c", 1),
        ("def g():\n        if a: pass", 1),
    ],
)
def test_complexity_is_one_and_the_decisions(body: str, complexity: int) -> None:
    assert measured(f"def f():\n    {body}\n")[0].complexity == complexity


@pytest.mark.parametrize(
    ("body", "nesting"),
    [
        ("pass", 0),
        ("if a: pass", 1),
        ("if a: pass\n    elif b: pass\n    elif c: pass", 1),
        ("if a: pass\n    else:\n        if b: pass", 2),
        ("for x in y:\n        with z:\n            try: pass\n            except E: pass", 3),
        ("def g():\n        if a:\n            if b: pass", 0),
    ],
)
def test_nesting_is_the_deepest_block_and_elif_is_not_deeper(body: str, nesting: int) -> None:
    assert measured(f"def f():\n    {body}\n")[0].nesting == nesting


@pytest.mark.parametrize(
    ("signature", "arguments"),
    [("", 0), ("self, a", 1), ("cls", 0), ("a, /, b, *, c=1", 3), ("self, *args, **kwargs", 2)],
)
def test_arguments_are_those_a_caller_gives(signature: str, arguments: int) -> None:
    assert measured(f"def f({signature}): pass")[0].arguments == arguments


def test_functions_are_named_within_their_classes_and_functions_in_line_order() -> None:
    found = measured(
        """
        class A:
            def b(self):
                def c(): pass
            async def d(self): pass
        def e(): pass
        if True:
            def f(): pass
        """
    )
    assert [function.name for function in found] == ["A.b", "A.b.c", "A.d", "e", "f"]


def test_equal_bodies_have_equal_fingerprints_whatever_their_name_layout_and_docstring() -> None:
    lines = [f"    x{i} = {i}" for i in range(9)]
    first = "def f(a):\n    '''One.'''\n" + "\n".join(lines)
    second = "@cached\ndef g(a):\n    # other words\n" + "\n\n".join(lines)
    other = "def h(a):\n" + "\n".join(lines[:-1]) + "\n    x8 = 9"
    one, two, three = measured("\n".join((first, second, other)))
    assert one.fingerprint == two.fingerprint != ""
    assert three.fingerprint not in ("", one.fingerprint)


def test_short_bodies_have_no_fingerprint() -> None:
    assert measured("def f(): pass")[0].fingerprint == ""


def test_a_chain_of_operators_longer_than_the_call_stack_is_measured() -> None:
    chain = "+".join(["a"] * 900)
    function = measured("def f():\n" + "    b = 1\n" * 8 + f"    return {chain}")[0]
    assert function.complexity == 1


@pytest.mark.parametrize(("complexity", "name"), [(1, "A"), (5, "A"), (6, "B"), (21, "D"), (41, "F")])
def test_ranks_are_those_of_radon(complexity: int, name: str) -> None:
    assert rank(complexity) == name
