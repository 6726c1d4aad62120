"""Size and complexity of functions, measured on the syntax tree."""

from __future__ import annotations

import ast
import copy
import hashlib
from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef

#: Upper bounds of the ranks A to E; above is F. Source: radon's ranks of cyclomatic complexity.
RANKS = (("A", 5), ("B", 10), ("C", 20), ("D", 30), ("E", 40))

#: Lines. Shorter bodies resemble each other by nature: getters, stubs, forwarding calls.
MIN_COPIED_LINES = 8

#: Statements that indent what they govern.
_NESTING = (
    ast.If,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.With,
    ast.AsyncWith,
    ast.Try,
    ast.TryStar,
    ast.Match,
)
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


class FunctionMetrics(BaseModel):
    """One function. Functions defined inside it are measured on their own and not counted here."""

    model_config = ConfigDict(frozen=True)

    name: str  # qualified within the file: `Class.method`, `outer.inner`
    line: int
    lines: int  # from `def` to the last line of the body
    complexity: int  # cyclomatic: 1 + the decisions
    nesting: int  # the deepest block; 0 is the body itself
    arguments: int  # without `self` and `cls`, with *args and **kwargs as one each
    fingerprint: str = ""  # equal for equal bodies; "" for bodies too short to matter


def rank(complexity: int) -> str:
    """The rank of a complexity, A (simple) to F (nobody should touch it)."""
    return next((name for name, bound in RANKS if complexity <= bound), "F")


def functions_of(tree: ast.Module) -> list[tuple[str, FunctionNode]]:
    """List every function of a module with its qualified name, in the order of their lines."""
    found: list[tuple[str, FunctionNode]] = []
    waiting: list[tuple[str, ast.AST]] = [("", tree)]
    while waiting:  # a stack of our own: trees nest deeper than Python calls may
        prefix, node = waiting.pop()
        for child in ast.iter_child_nodes(node):
            if isinstance(child, FunctionNode):
                found.append((prefix + child.name, child))
            named = isinstance(child, FunctionNode | ast.ClassDef)
            waiting.append((f"{prefix}{child.name}." if named else prefix, child))  # type: ignore[attr-defined]
    return sorted(found, key=lambda entry: (entry[1].lineno, entry[1].col_offset))


def measure(name: str, function: FunctionNode) -> FunctionMetrics:
    """Measure one function."""
    complexity, nesting = 1, 0
    for node, depth in _own_nodes(function):
        complexity += _decisions(node)
        nesting = max(nesting, depth)
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    return FunctionMetrics(
        name=name,
        line=function.lineno,
        lines=lines,
        complexity=complexity,
        nesting=nesting,
        arguments=count_arguments(function.args),
        fingerprint=fingerprint(function) if lines >= MIN_COPIED_LINES else "",
    )


def fingerprint(function: FunctionNode) -> str:
    """Digest what a function does: its arguments and body, without name, layout, comments and docstring."""
    bare = copy.copy(function)  # shallow: the tree itself stays as it is
    bare.name, bare.decorator_list = "", []
    if ast.get_docstring(function, clean=False) is not None:
        bare.body = function.body[1:]
    try:
        dumped = ast.dump(bare)
    except RecursionError:  # long chains of `+` nest as deeply as they are long
        return ""
    return hashlib.blake2b(dumped.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def count_arguments(arguments: ast.arguments) -> int:
    """Count the arguments a caller gives, so without a leading `self` or `cls`."""
    positional = [*arguments.posonlyargs, *arguments.args]
    bound = bool(positional) and positional[0].arg in ("self", "cls")
    starred = (arguments.vararg is not None) + (arguments.kwarg is not None)
    return len(positional) - bound + len(arguments.kwonlyargs) + starred


def _own_nodes(function: FunctionNode) -> Iterator[tuple[ast.AST, int]]:
    """Yield the nodes of a function's body with their depth, leaving out the insides of inner scopes."""
    waiting: list[tuple[ast.AST, int]] = [(statement, 0) for statement in function.body]
    while waiting:
        node, depth = waiting.pop()
        inside = depth + 1 if isinstance(node, _NESTING) else depth
        yield node, inside
        if isinstance(node, _SCOPES):
            continue
        # `elif` is an If inside the If before it, but nobody reads it as deeper
        waiting.extend((child, depth if _is_elif(node, child) else inside) for child in ast.iter_child_nodes(node))


def _is_elif(parent: ast.AST, child: ast.AST) -> bool:
    return (
        isinstance(parent, ast.If)
        and isinstance(child, ast.If)
        and parent.orelse == [child]
        and child.col_offset == parent.col_offset
    )


def _decisions(node: ast.AST) -> int:
    """How many ways to go on a node adds. Source: McCabe 1976; boolean operators as radon counts them."""
    match node:
        case ast.If() | ast.For() | ast.AsyncFor() | ast.While() | ast.IfExp() | ast.ExceptHandler() | ast.Assert():
            return 1
        case ast.BoolOp():
            return len(node.values) - 1
        case ast.comprehension():
            return 1 + len(node.ifs)
        case ast.match_case():
            return 0 if _is_wildcard(node) else 1
    return 0


def _is_wildcard(case: ast.match_case) -> bool:
    return isinstance(case.pattern, ast.MatchAs) and case.pattern.pattern is None and case.guard is None
