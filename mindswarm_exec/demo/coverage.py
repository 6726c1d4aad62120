"""How much of a module's public face is documented and typed."""

from __future__ import annotations

import ast

from pydantic import BaseModel, ConfigDict

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
Definition = FunctionNode | ast.ClassDef

#: Undocumented names kept per file; the counts are complete.
MAX_NAMED = 20


class CoverageMetrics(BaseModel):
    """Docstrings of the module, its public classes and functions; type hints of those functions."""

    model_config = ConfigDict(frozen=True)

    definitions: int = 0  # the module itself included
    documented: int = 0
    slots: int = 0  # parameters and returns that could be annotated
    annotated: int = 0
    undocumented: tuple[str, ...] = ()  # `name:line`, the first of them


def measure_coverage(tree: ast.Module) -> CoverageMetrics:
    """Measure a module. An empty one has nothing to document and counts as no definition."""
    if not tree.body:
        return CoverageMetrics()
    public = public_definitions(tree)
    missing = [f"{name}:{node.lineno}" for name, node in public if ast.get_docstring(node) is None]
    has_own = ast.get_docstring(tree) is not None
    named = missing if has_own else ["(module):1", *missing]
    hints = [_hints(node) for _, node in public if isinstance(node, FunctionNode)]
    return CoverageMetrics(
        definitions=len(public) + 1,
        documented=len(public) + 1 - len(named),
        slots=sum(slots for slots, _ in hints),
        annotated=sum(annotated for _, annotated in hints),
        undocumented=tuple(named[:MAX_NAMED]),
    )


def public_definitions(tree: ast.Module) -> list[tuple[str, Definition]]:
    """List what a reader of the documentation would look for: public classes, functions and methods.

    Definitions under `if` and `try` count, those inside functions do not.
    """
    found: list[tuple[str, Definition]] = []
    waiting: list[tuple[str, ast.AST]] = [("", tree)]
    while waiting:
        prefix, node = waiting.pop()
        for child in ast.iter_child_nodes(node):
            if isinstance(child, Definition):
                if child.name.startswith("_"):
                    continue
                found.append((prefix + child.name, child))
                if isinstance(child, ast.ClassDef):
                    waiting.append((f"{prefix}{child.name}.", child))
            elif isinstance(child, ast.stmt | ast.ExceptHandler):
                waiting.append((prefix, child))
    return sorted(found, key=lambda entry: entry[1].lineno)


def _hints(function: FunctionNode) -> tuple[int, int]:
    """How many places of a signature could be annotated, and how many are."""
    arguments = function.args
    parameters = [*arguments.posonlyargs, *arguments.args]
    if parameters and parameters[0].arg in ("self", "cls"):
        parameters = parameters[1:]
    parameters += arguments.kwonlyargs
    parameters += [star for star in (arguments.vararg, arguments.kwarg) if star is not None]
    annotated = sum(parameter.annotation is not None for parameter in parameters)
    return len(parameters) + 1, annotated + (function.returns is not None)
