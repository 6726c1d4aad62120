"""Questions that executions park on, and whether an answer fits."""

from __future__ import annotations

import json
from typing import Any

from pydantic import JsonValue

from mindswarm_exec.errors import InvalidRequest
from mindswarm_exec.models.records import Question


def checked_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema, if it is one.

    Raises:
        InvalidRequest: it is no JSON Schema.
    """
    import jsonschema  # tens of milliseconds and megabytes, for what most processes never do

    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise InvalidRequest(f"the schema of the question is no JSON Schema: {error.message}.") from None
    return schema


def checked_answer(question: Question, answer: JsonValue) -> None:
    """Compare an answer with the schema of its question.

    Raises:
        InvalidRequest: it does not fit; `facts` say where, and what the schema wants.
    """
    if question.answer_schema is None:
        return
    import jsonschema  # as above

    validator = jsonschema.Draft202012Validator(question.answer_schema)
    failure = next(iter(sorted(validator.iter_errors(answer), key=lambda error: list(map(str, error.path)))), None)
    if failure is None:
        return
    where = failure.json_path.removeprefix("$").lstrip(".")
    raise InvalidRequest(
        f"the answer does not fit the question '{question.prompt}'{f' at {where}' if where else ''}: it breaks "
        f"{failure.validator} of the schema. Answer as `answer_schema` in the data of this error says.",
        question_id=question.question_id,
        answer_schema=json.loads(json.dumps(question.answer_schema)),
    )
