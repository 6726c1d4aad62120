"""The OpenRPC document of a method table. Source: https://spec.open-rpc.org, version 1.3.2."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import TypeAdapter

from mindswarm_exec.api.jsonrpc import Method
from mindswarm_exec.errors import InvalidRequest, MindSwarmError

_REFERENCE = "#/components/schemas/{model}"


def describe(methods: Iterable[Method[Any]], *, title: str, version: str, url: str) -> dict[str, Any]:
    """Describe every method: params, result and errors, with their JSON Schemas."""
    table = sorted(methods, key=lambda method: method.name)
    schemas, definitions = TypeAdapter.json_schemas(
        [((method.name, "params"), "validation", TypeAdapter(method.params)) for method in table]
        + [((method.name, "result"), "serialization", TypeAdapter(method.result)) for method in table],
        ref_template=_REFERENCE,
    )
    named = definitions.get("$defs", {})
    errors = {error.code: error for method in table for error in _errors_of(method)}
    return {
        "openrpc": "1.3.2",
        "info": {"title": title, "version": version, "license": {"name": "MIT"}},
        "servers": [{"name": "this server", "url": url}],
        "methods": [_method(method, schemas, named) for method in table],
        "components": {
            "schemas": named,
            "errors": {code: _error(error) for code, error in sorted(errors.items())},
        },
    }


def _method(method: Method[Any], schemas: Any, named: dict[str, Any]) -> dict[str, Any]:
    params = _resolve(schemas[(method.name, "params"), "validation"], named)
    required = set(params.get("required", ()))
    properties = params.get("properties", {})
    return {
        "name": method.name,
        "summary": method.summary,
        "paramStructure": "either",
        "params": [
            {"name": name, "required": name in required, "schema": properties[name]} for name in method.positions
        ],
        "result": {"name": "result", "schema": schemas[(method.name, "result"), "serialization"]},
        "errors": [{"$ref": f"#/components/errors/{error.code}"} for error in _errors_of(method)],
    }


def _errors_of(method: Method[Any]) -> tuple[type[MindSwarmError], ...]:
    return (InvalidRequest, *method.errors)


def _resolve(schema: dict[str, Any], named: dict[str, Any]) -> dict[str, Any]:
    """The schema itself where it is only a reference into the components."""
    reference = schema.get("$ref")
    resolved: dict[str, Any] = named[reference.rpartition("/")[2]] if reference else schema
    return resolved


def _error(error: type[MindSwarmError]) -> dict[str, Any]:
    meaning = (error.__doc__ or error.code.replace("_", " ")).strip().partition("\n")[0]
    return {"code": error.rpc_code, "message": meaning, "data": {"code": error.code}}
