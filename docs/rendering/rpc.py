"""The reference of JSON-RPC, from the OpenRPC document."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from docs.rendering.cells import code, escaped, literal, table
from mindswarm_exec.api.method_table import document_of, method_table
from mindswarm_exec.models import explanations, options

#: Records that a submitter writes.
WRITTEN = (
    options.ExecutionOptions,
    options.RetryPolicy,
    options.ResourceLimits,
    options.AgentSelectionCriteria,
    options.Constraint,
    explanations.AgentSketch,
)
#: Schemas that are said in a word.
WORDS = {"Status": "state", "JsonValue": "any JSON"}


def openrpc() -> dict[str, Any]:
    """The document that `rpc.discover` answers with. No method is called, so no service is needed."""
    nothing = cast(Any, SimpleNamespace(executions=None, agents=None, tasks=None, events=None, keys=None))
    return document_of(method_table(nothing, "/rpc"), "/rpc")


def methods() -> str:
    """Every method with its params, result and errors."""
    return "\n\n".join(_method(method) for method in openrpc()["methods"])


def _method(method: dict[str, Any]) -> str:
    parts = [f"### `{method['name']}`", method["summary"]]
    rows = [
        (
            f"`{param['name']}`" + (" (required)" if param["required"] else ""),
            _type(param["schema"]),
            _plain_default(param["schema"]),
            escaped(param["schema"].get("description", "")),
        )
        for param in method["params"]
    ]
    if rows:
        parts.append(table(("param", "type", "default", "meaning"), rows))
    codes = ", ".join(f"`{error['$ref'].rpartition('/')[2]}`" for error in method["errors"])
    parts.append(f"Returns {_type(method['result']['schema'])}. Errors: {codes}.")
    return "\n\n".join(parts)


def option_records() -> str:
    """The records that a submitter writes."""
    schemas = openrpc()["components"]["schemas"]
    return "\n\n".join(_record(cls.__name__, schemas[cls.__name__]) for cls in WRITTEN)


def result_records() -> str:
    """The records that methods answer with, each before those that it holds."""
    document = openrpc()
    schemas = document["components"]["schemas"]
    found: dict[str, None] = {}
    for method in document["methods"]:
        _reach(method["result"]["schema"], schemas, found)
    told = {*WORDS, *(cls.__name__ for cls in WRITTEN)}
    return "\n\n".join(_record(name, schemas[name]) for name in found if name not in told)


def _reach(schema: object, schemas: dict[str, Any], found: dict[str, None]) -> None:
    """Note every schema that `schema` refers to, at whatever depth."""
    match schema:
        case {"$ref": str(reference)}:
            name = reference.rpartition("/")[2]
            if name not in found:
                found[name] = None
                _reach(schemas[name], schemas, found)
        case dict() | list():
            for part in schema.values() if isinstance(schema, dict) else schema:
                _reach(part, schemas, found)


def _record(name: str, schema: dict[str, Any]) -> str:
    rows = [
        (f"`{field}`", _type(shape), _plain_default(shape), escaped(shape.get("description", "")))
        for field, shape in schema["properties"].items()
    ]
    told = schema.get("description", "")
    return "\n\n".join(
        part for part in (f"### {name}", told, table(("field", "type", "default", "meaning"), rows)) if part
    )


def _type(schema: dict[str, Any]) -> str:
    """A JSON Schema in a few words."""
    if reference := schema.get("$ref"):
        name = str(reference).rpartition("/")[2]
        return WORDS.get(name) or f"[{name}](#{name.lower()})"
    if choices := schema.get("anyOf"):
        return " or ".join(dict.fromkeys(_type(choice) for choice in choices))
    if values := schema.get("enum"):
        return ", ".join(code(str(value)) for value in values)
    match schema.get("type"):
        case "array":
            return f"list of {_type(schema.get('items', {}))}"
        case "object":
            held = schema.get("additionalProperties")
            return f"object of {_type(held)}" if isinstance(held, dict) and held else "object"
        case "string" if schema.get("format") == "date-time":
            return "instant"
        case "integer" | "number" as kind:
            return f"{kind}{_range(schema)}"
        case str() as kind:
            return kind
    return "any JSON"


def _range(schema: dict[str, Any]) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {schema[name]:.10g}" for name, sign in signs.items() if name in schema]
    return f" {', '.join(bounds)}" if bounds else ""


def _plain_default(schema: dict[str, Any]) -> str:
    """The default, where it is more than empty."""
    default = schema.get("default")
    return "" if default in (None, "", [], {}) or isinstance(default, dict) else literal(default)
