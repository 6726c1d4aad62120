"""Questions: a schema that no answer could be compared with is refused when it is asked, not when it is answered."""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from typing import Any

import pytest

from mindswarm_exec.errors import InvalidRequest
from mindswarm_exec.models.records import Question
from mindswarm_exec.service.questions import checked_answer, checked_schema

TREE = {
    "$ref": "#/$defs/tree",
    "$defs": {
        "tree": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "under": {"type": "array", "items": {"$ref": "#/$defs/tree"}}},
            "required": ["name"],
        }
    },
}
EMBEDDED = {
    "$ref": "other",
    "$defs": {"other": {"$id": "other", "$ref": "#/$defs/word", "$defs": {"word": {"type": "string"}}}},
}
#: Data that only looks like a reference.
LITERAL = {"enum": [{"$ref": "#/nowhere"}, "x"]}


def question(schema: dict[str, Any]) -> Question:
    return Question(
        question_id="q", prompt="May I?", answer_schema=checked_schema(schema), asked_at=datetime.now(UTC)
    )


@pytest.mark.parametrize(
    ("schema", "answer"),
    [(TREE, {"name": "a", "under": [{"name": "b"}]}), (EMBEDDED, "x"), (LITERAL, "x"), ({}, None)],
)
def test_an_answer_is_compared_with_what_the_schema_refers_to(schema: dict[str, Any], answer: Any) -> None:
    checked_answer(question(schema), answer)


@pytest.mark.parametrize(
    ("schema", "answer", "where"),
    [(TREE, {"name": "a", "under": [{}]}, r"at under\[0\]: it breaks required"), (EMBEDDED, 1, "it breaks type")],
)
def test_an_answer_that_does_not_fit_is_told_where(schema: dict[str, Any], answer: Any, where: str) -> None:
    with pytest.raises(InvalidRequest, match=where):
        checked_answer(question(schema), answer)


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/$defs/absent"},
        {"$ref": "#absent"},
        {"properties": {"deep": {"items": {"$ref": "other.json"}}}},
        {"anyOf": [{"$dynamicRef": "#absent"}]},
    ],
)
def test_a_schema_that_refers_to_what_is_not_in_it_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="which is not in it"):
        checked_schema(schema)


@pytest.mark.parametrize("schema", [{"type": "nonsense"}, {"pattern": "("}, {"required": "name"}])
def test_what_is_no_schema_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="is no JSON Schema"):
        checked_schema(schema)


def test_a_schema_that_refers_to_itself_without_end_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="refers to itself without end"):
        checked_schema({"$ref": "#/$defs/x", "$defs": {"x": {"$ref": "#/$defs/x"}}})


def test_an_answer_nested_too_deep_is_refused() -> None:
    tree: dict[str, Any] = {"name": "leaf"}
    for _ in range(2000):
        tree = {"name": "a", "under": [tree]}
    with pytest.raises(InvalidRequest, match="nested too deep"):
        checked_answer(question(TREE), tree)


def test_nothing_is_fetched_for_a_schema() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        with pytest.raises(InvalidRequest, match="nothing is fetched from elsewhere"):
            checked_schema({"$ref": f"http://127.0.0.1:{server.getsockname()[1]}/schema.json"})
        with pytest.raises(BlockingIOError):
            server.accept()
