"""A refusal by Pydantic, as one sentence: which field, what was wrong, what is allowed.

The sentence and its facts never hold a value that was sent: payloads may be secret.
"""

from __future__ import annotations

import difflib
import re
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mindswarm_exec.errors import InvalidRequest

#: A field's name. Other parts of a location are indexes, or the branches of a union, which say nothing.
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_BRANCHES = frozenset({"str", "int", "float", "bool", "tuple", "list", "dict", "json-any", "nullable", "none"})
_FORMATS = {
    r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$": "a UUID in lower case",
    r"^[a-z0-9][a-z0-9._-]{0,63}$": "1 to 64 of a-z 0-9 . _ - that start with a letter or digit",
    r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}$": (
        "1 to 128 of A-Z a-z 0-9 . _ : / @ + - that start with a letter or digit"
    ),
}


def invalid_request(error: ValidationError, what: str, model: type[BaseModel] | None = None) -> InvalidRequest:
    """The typed error that says of `what` (a method, a record) which field was refused and why.

    `model`, if given, is the model that refused; it lets the sentence name the fields that exist.
    """
    details = error.errors(include_url=False, include_input=False)
    first = details[0]
    field = _path(first["loc"])
    problem, allowed = _problem(first, model)
    more = f" ({len(details) - 1} more)" if len({_path(each["loc"]) for each in details}) > 1 else ""
    subject = f"{field} " if field else ""
    return InvalidRequest(f"{what}: {subject}{problem}.{more}", field=field or None, allowed=allowed)


def _path(location: tuple[int | str, ...]) -> str:
    """`("options", "agent", "constraints", 0)` as `options.agent.constraints[0]`."""
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif _FIELD.fullmatch(part) and part not in _BRANCHES:
            path += f".{part}" if path else part
    return path


def _problem(detail: ErrorDetails, model: type[BaseModel] | None) -> tuple[str, Any]:
    """What is wrong, as the end of a sentence, and what is allowed, for programs."""
    context: dict[str, Any] = detail.get("ctx", {})
    match detail["type"]:
        case "missing":
            return "is missing; give it", None
        case "extra_forbidden":
            return _unknown_field(detail["loc"], model)
        case "string_pattern_mismatch":
            pattern = str(context["pattern"])
            return f"does not have the form that is allowed: {_FORMATS.get(pattern, pattern)}", pattern
        case "value_error":
            return f"is not accepted: {context['error']}" if detail["loc"] else str(context["error"]), None
        case "literal_error" | "enum":
            return f"must be {context['expected']}", str(context["expected"])
        case _:
            return detail["msg"].removeprefix("Input ").replace("should", "must", 1), None


def _unknown_field(location: tuple[int | str, ...], model: type[BaseModel] | None) -> tuple[str, Any]:
    owner = _model_at(model, location[:-1])
    if owner is None:
        return "is not a field that exists here", None
    known = [field.alias or name for name, field in owner.model_fields.items()]
    near = difflib.get_close_matches(str(location[-1]), known, n=1)
    hint = f" (did you mean '{near[0]}'?)" if near else ""
    listed = f"; the fields are {', '.join(known)}" if known else "; it takes no fields"
    return f"is not a field that exists here{hint}{listed}", known


def _model_at(model: type[BaseModel] | None, location: tuple[int | str, ...]) -> type[BaseModel] | None:
    """The model that `location` lies in, found by walking the annotations from `model`."""
    for part in location:
        if model is not None and isinstance(part, str) and part in model.model_fields:
            model = _model_within(model.model_fields[part].annotation)
    return model


def _model_within(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_within(part))), None)
