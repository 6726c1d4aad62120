"""Docstring and type-hint coverage counts the public face and nothing else."""

from __future__ import annotations

import ast
import textwrap

from mindswarm_exec.demo.coverage import CoverageMetrics, measure_coverage


def coverage(source: str) -> CoverageMetrics:
    return measure_coverage(ast.parse(textwrap.dedent(source)))


def test_an_empty_module_has_nothing_to_document() -> None:
    assert coverage("") == CoverageMetrics()


def test_public_definitions_count_and_private_ones_do_not() -> None:
    found = coverage(
        '''
        """A module."""
        class Shown:
            def method(self): "Says what."
            def _own(self): pass
            def __len__(self): pass
        class _Hidden:
            def method(self): pass
        def bare():
            def inner(): pass
        '''
    )
    assert (found.definitions, found.documented) == (4, 2)
    assert found.undocumented == ("Shown:3", "bare:9")


def test_definitions_under_if_and_try_count() -> None:
    found = coverage("try:\n    def a(): pass\nexcept E:\n    if x:\n        def b(): pass\n")
    assert found.undocumented == ("(module):1", "a:2", "b:5")


def test_hints_are_counted_by_parameter_and_return_without_self() -> None:
    found = coverage(
        """
        class A:
            def f(self, a: int, *args: str, b=1, **more) -> None: pass
            @classmethod
            def g(cls): pass
        def h(x: int): pass
        """
    )
    # f: 4 parameters and a return, 3 of 5 annotated; g: a return; h: one of two
    assert (found.slots, found.annotated) == (8, 4)
