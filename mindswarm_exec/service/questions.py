"""Questions that executions park on, and whether an answer fits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from mindswarm_exec.errors import InvalidRequest
from mindswarm_exec.models.records import Question

if TYPE_CHECKING:
    from jsonschema import ValidationError

#: Keywords that refer to a schema, and those whose value is data. Source: JSON Schema 2020-12, core §8.2.3.
REFERENCES = ("$ref", "$dynamicRef")
LITERALS = ("const", "enum", "default", "examples")


def checked_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema, if answers can be compared with it.

    Raises:
        InvalidRequest: it is no JSON Schema, or refers to what is not in it.
    """
    import jsonschema  # tens of milliseconds and megabytes, for what most processes never do

    try:
        jsonschema.Draft202012Validator.check_schema(schema)
        _must_resolve(schema)
        _first_failure(schema, None)
    except jsonschema.SchemaError as error:
        raise InvalidRequest(f"the schema of the question is no JSON Schema: {error.message}.") from None
    except RecursionError:
        raise InvalidRequest("the schema of the question refers to itself without end.") from None
    return schema


def checked_answer(question: Question, answer: JsonValue) -> None:
    """Compare an answer with the schema of its question.

    Raises:
        InvalidRequest: it does not fit; `facts` say where, and what the schema wants.
    """
    if question.answer_schema is None:
        return
    try:
        failure = _first_failure(question.answer_schema, answer)
    except RecursionError:
        raise InvalidRequest("the answer is nested too deep to be compared with the schema.") from None
    if failure is None:
        return
    where = failure.json_path.removeprefix("$").lstrip(".")
    raise InvalidRequest(
        f"the answer does not fit the question '{question.prompt}'{f' at {where}' if where else ''}: it breaks "
        f"{failure.validator} of the schema. Answer as `answer_schema` in the data of this error says.",
        question_id=question.question_id,
        answer_schema=json.loads(json.dumps(question.answer_schema)),
    )


def _first_failure(schema: dict[str, Any], answer: JsonValue) -> ValidationError | None:
    """What is wrong with an answer, the first by its place. Nothing is fetched from elsewhere for it."""
    import jsonschema
    from referencing import Registry

    validator = jsonschema.Draft202012Validator(schema, registry=Registry())
    found = sorted(validator.iter_errors(answer), key=lambda error: list(map(str, error.path)))
    return found[0] if found else None


def _must_resolve(schema: dict[str, Any]) -> None:
    """Raises InvalidRequest for a reference that a validator would not find when an answer brings it there."""
    from referencing.exceptions import Unresolvable

    for reference, resolver in _references(schema):
        try:
            resolver.lookup(reference)
        except Unresolvable:
            raise InvalidRequest(
                f"the schema of the question refers to '{reference}', which is not in it. Put it under $defs: "
                "nothing is fetched from elsewhere."
            ) from None


def _references(schema: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Each reference in a schema, with what resolves it there."""
    from referencing import Registry
    from referencing.jsonschema import DRAFT202012

    waiting: list[tuple[Any, Any]] = [(schema, Registry().resolver_with_root(DRAFT202012.create_resource(schema)))]
    while waiting:
        part, resolver = waiting.pop()
        if isinstance(part, list):
            waiting += [(each, resolver) for each in part]
        elif isinstance(part, dict):
            if "$id" in part and part is not schema:
                resolver = resolver.in_subresource(DRAFT202012.create_resource(part))
            yield from ((part[name], resolver) for name in REFERENCES if isinstance(part.get(name), str))
            waiting += [(each, resolver) for name, each in part.items() if name not in LITERALS]
