"""Settings, errors and exit codes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from docs.rendering.cells import literal, table
from mindswarm_exec import errors
from mindswarm_exec.api import jsonrpc
from mindswarm_exec.cli import exits
from mindswarm_exec.settings import PREFIX, Settings


def settings() -> str:
    """Every setting with its default, and what it takes."""
    rows = [
        (f"`{PREFIX}{name.upper()}`", literal(field.default), _told(field.description, _bounds_of(field.metadata)))
        for name, field in Settings.model_fields.items()
    ]
    return table(("variable", "default", "meaning"), rows)


def _told(description: str | None, bounds: str) -> str:
    return "; ".join(part for part in (description, bounds) if part)


def _bounds_of(metadata: Iterable[Any]) -> str:
    found: dict[str, object] = {}
    for one in metadata:
        for name in ("ge", "gt", "le", "lt", "pattern"):
            if (bound := getattr(one, name, None)) is not None:
                found[name] = bound
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    return " and ".join(f"{signs[name]} {bound}" if name in signs else f"`{bound}`" for name, bound in found.items())


def error_table() -> str:
    """Every error class, with what it is on the wire and the exit code that it leads to."""
    found = [cls for cls in errors.error_classes().values() if cls.__module__ == errors.__name__]
    rows = [
        (
            f"`{cls.__name__}`",
            f"`{cls.__mro__[1].__name__}`",
            f"`{cls.code}`",
            str(cls.rpc_code),
            str(exits.exit_of(cls("")).code),
            _meaning(cls),
        )
        for cls in sorted(found, key=lambda cls: (-cls.rpc_code, cls.code))
    ]
    return table(("class", "is a", "`data.code`", "`code`", "exit", "meaning"), rows)


def _meaning(cls: type[errors.MindSwarmError]) -> str:
    """The first sentence of its docstring; without one, its line in the tree that errors.py draws."""
    if cls.__doc__:
        return cls.__doc__.partition("\n")[0]
    drawn = re.search(rf"[─ ]{cls.__name__} +(\S.*)$", errors.__doc__ or "", re.MULTILINE)
    told = drawn[1] if drawn else cls.code.replace("_", " ")
    return f"{told[0].upper()}{told[1:]}."


def protocol_errors() -> str:
    """The codes that JSON-RPC itself reserves."""
    rows = [
        (str(jsonrpc.PARSE_ERROR), "The message is no JSON."),
        (str(jsonrpc.INVALID_REQUEST), "The message is JSON, but no request."),
        (str(jsonrpc.METHOD_NOT_FOUND), "There is no such method; `data.nearest` names the likeliest."),
        (str(jsonrpc.INTERNAL_ERROR), "A fault of the server; its log has the cause."),
    ]
    return table(("`code`", "meaning"), rows)


def exit_codes() -> str:
    """The exit codes of the command line."""
    return table(("exit", "meaning"), [(str(row.code), row.meaning) for row in exits.EXITS])
