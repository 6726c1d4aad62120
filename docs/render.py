"""The parts of the documentation that say what the code says, rendered from the code.

    python docs/render.py       (or `make docs`)

A page marks such a part with two comments, `<!-- render: NAME -->` and `<!-- /render -->`. What stands between
them is replaced; everything else is written by hand. `tests/unit/test_docs.py` fails while a page is out of date.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from pydantic_core import PydanticUndefined

from docs.control_table import KINDS
from docs.control_table import ROWS as CONTROL
from docs.state_drawing import drawing
from mindswarm_exec import errors, lifecycle
from mindswarm_exec.api import jsonrpc
from mindswarm_exec.api.method_table import document_of, method_table
from mindswarm_exec.cli import exits
from mindswarm_exec.ledger import keys
from mindswarm_exec.lifecycle import MOVES, NEWS_EVENTS, TASK_STATUS, WATCHED, Move
from mindswarm_exec.models import explanations, options
from mindswarm_exec.models.records import WAITING_KINDS
from mindswarm_exec.selection import Score
from mindswarm_exec.settings import PREFIX, Settings

ROOT = Path(__file__).parents[1]
STATES = ROOT / "docs" / "states.svg"
PART = re.compile(r"(<!-- render: ([a-z_]+) -->\n)(.*?)(<!-- /render -->)", re.DOTALL)

Row = Sequence[str]


def pages() -> list[Path]:
    """Every page that may have rendered parts."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def rendered(page: str) -> str:
    """The page with each marked part as the code would have it. Raises KeyError for a part nobody renders."""
    return PART.sub(lambda found: f"{found[1]}\n{PARTS[found[2]]()}\n\n{found[4]}", page)


# --- the state machine -----------------------------------------------------------------------------------


def moves(table: Iterable[Move] = MOVES) -> str:
    """The table of moves."""
    movers = _movers()
    rows = [
        (
            f"`{move.name}`",
            ", ".join(f"`{source}`" for source in move.sources) or "nothing",
            f"`{move.target}`",
            f"`{move.event}`",
            "yes" if move.fenced else "",
            movers.get(move.name, ""),
        )
        for move in table
    ]
    return _table(("move", "from", "to", "event", "needs the nonce", "moved by"), rows)


def _movers() -> dict[str, str]:
    """Who makes each move: the comment at the end of its row."""
    row = re.compile(r'= Move\("(\w+)".*#\s*(.+?)\s*$', re.MULTILINE)
    return dict(row.findall(inspect.getsource(lifecycle)))


def deadlines() -> str:
    """The deadlines that are watched in each state."""
    rows = [(f"`{status}`", ", ".join(f"`{name}`" for name in names)) for status, names in WATCHED.items()]
    return _table(("state", "watched"), rows)


def task_statuses() -> str:
    """The status that a task takes from its latest execution."""
    return _table(
        ("latest execution", "task"), [(f"`{status}`", f"`{task}`") for status, task in TASK_STATUS.items()]
    )


def news_events() -> str:
    """The events of an execution that are no moves."""
    return "\n".join(f"- `{event}`" for event in NEWS_EVENTS)


def control() -> str:
    """What each verb does to each kind of work, a table for each verb."""
    verbs = dict.fromkeys(row.verb for row in CONTROL)
    return "\n\n".join(f"### `{verb}`\n\n{_control_of(verb)}" for verb in verbs)


def _control_of(verb: str) -> str:
    rows = [
        (
            KINDS[row.kind],
            row.does,
            _within(row.within),
            f"`{row.status}`" + (" (frozen)" if row.is_frozen else ""),
            ", ".join([f"`{row.receipt[0]}`", *row.receipt[1:]]) if row.receipt else "none",
        )
        for row in CONTROL
        if row.verb == verb
    ]
    return _table(("of", "what happens", "within", "then it is", "receipt"), rows)


def _within(bound: str) -> str:
    match bound:
        case "":
            return "at once"
        case "safe point":
            return "its next `checkpoint`"
        case setting:
            default = Settings.model_fields[setting].default
            return f"`{PREFIX}{setting.upper()}` ({default:g})"


# --- the ledger ------------------------------------------------------------------------------------------


def ledger_keys() -> str:
    """The table in the docstring of keys.py, its columns cut where the heading's words begin."""
    lines = inspect.getdoc(keys) or ""
    head, *body = [line for line in lines.partition("    family ")[2].splitlines() if line.strip()]
    starts = [0, *(("    family " + head).index(word) for word in ("type", "members", "lifetime"))]
    rows = []
    for line in body:
        cells = [line[a:b].strip() for a, b in zip(starts, [*starts[1:], None], strict=True)]
        rows.append([f"`{cells[0]}`", *map(_escaped, cells[1:])])
    return _table(("family", "type", "members or fields → score or value", "lifetime"), rows)


def score_terms() -> str:
    """The terms of a score, each with its setting."""
    told = {
        "idle": ("it holds nothing", "idle_bonus", "{} points"),
        "free_slots": ("(`max_concurrent` − load) ×", "free_slot_weight", "{} points"),
        "success": ("its smoothed success rate on the task type ×", "success_weight", "{} points"),
        "affinity": ("it was the last to run this `affinity_key`", "affinity_bonus", "{} points"),
    }
    rows = []
    for term in Score.__dataclass_fields__:
        what, setting, points = told[term]
        default = Settings.model_fields[setting].default
        rows.append((f"`{term}`", f"{what} {points.format(f'{default:g}')}", f"`{PREFIX}{setting.upper()}`"))
    return _table(("term", "worth", "setting"), rows)


#: By cause: what it means, and what ends it.
_CAUSES = {
    "no_such_task_type": ("no registered agent implements the task type", "an agent that does registers"),
    "no_suitable_agent": (
        "those that implement it lack a capability, miss a constraint, are excluded or are not the one asked for",
        "an agent that meets all of it registers",
    ),
    "agents_offline": (
        "all suitable agents are offline, draining, or have registered and not opened yet",
        "one of them registers again, or opens",
    ),
    "agents_asleep": ("suitable agents sleep, and none is awake", "the one that was woken opens; or `agent-wake`"),
    "agents_busy": ("every slot of the suitable agents that are awake is taken", "one of them settles an attempt"),
    "success_rate": ("no suitable agent reaches `min_success_rate`", "the rate of one of them rises"),
    "concurrency_key": ("others hold all permits of its key, or go first", "one of the holders ends or pauses"),
    "start_at": ("it was asked not to start yet", "the time comes"),
    "retry_delay": ("an attempt failed, or its handler asked for later", "the delay is over"),
    "paused": ("somebody paused it", "`resume`"),
    "input_required": ("its handler asked a question", "`provideInput` with an answer"),
    "budget": ("a budget of its own or of a parent is spent", "`resume` with a larger one"),
}


def waiting_kinds() -> str:
    """Every cause for which an execution may wait."""
    words = {"never": "never as things are", "not_now": "not now", "on_purpose": "held on purpose"}
    rows = [(f"`{cause}`", words[kind], *_CAUSES[cause]) for cause, kind in WAITING_KINDS.items()]
    return _table(("cause", "kind", "means", "is ended by"), rows)


# --- settings, errors, exit codes ------------------------------------------------------------------------


def settings() -> str:
    """Every setting with its default, and what it takes."""
    rows = [
        (f"`{PREFIX}{name.upper()}`", _default(field.default), _told(field.description, _bounds_of(field.metadata)))
        for name, field in Settings.model_fields.items()
    ]
    return _table(("variable", "default", "meaning"), rows)


def _told(description: str | None, bounds: str) -> str:
    return "; ".join(part for part in (description, bounds) if part)


def _default(value: object) -> str:
    if value is None or value is PydanticUndefined:
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:g}`" if isinstance(value, float) and value < 1e6 else f"`{value}`"


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
    return _table(("class", "is a", "`data.code`", "`code`", "exit", "meaning"), rows)


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
    return _table(("`code`", "meaning"), rows)


def exit_codes() -> str:
    """The exit codes of the command line."""
    return _table(("exit", "meaning"), [(str(row.code), row.meaning) for row in exits.EXITS])


# --- JSON-RPC --------------------------------------------------------------------------------------------

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
            _escaped(param["schema"].get("description", "")),
        )
        for param in method["params"]
    ]
    if rows:
        parts.append(_table(("param", "type", "default", "meaning"), rows))
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
        (f"`{field}`", _type(shape), _plain_default(shape), _escaped(shape.get("description", "")))
        for field, shape in schema["properties"].items()
    ]
    told = schema.get("description", "")
    return "\n\n".join(
        part for part in (f"### {name}", told, _table(("field", "type", "default", "meaning"), rows)) if part
    )


def _type(schema: dict[str, Any]) -> str:
    """A JSON Schema in a few words."""
    if reference := schema.get("$ref"):
        name = reference.rpartition("/")[2]
        return WORDS.get(name) or f"[{name}](#{name.lower()})"
    if choices := schema.get("anyOf"):
        return " or ".join(dict.fromkeys(_type(choice) for choice in choices))
    if values := schema.get("enum"):
        return ", ".join(_code(str(value)) for value in values)
    match schema.get("type"):
        case "array":
            return f"list of {_type(schema.get('items', {}))}"
        case "object":
            held = schema.get("additionalProperties")
            return f"object of {_type(held)}" if isinstance(held, dict) and held else "object"
        case "string" if schema.get("format") == "date-time":
            return "instant"
        case "integer" | "number" as kind:
            return kind + _range(schema)
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
    return "" if default in (None, "", [], {}) or isinstance(default, dict) else _default(default)


# --- shapes ----------------------------------------------------------------------------------------------


def _table(head: Row, rows: Iterable[Row]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _code(text: str) -> str:
    return f"`{text.replace('|', chr(92) + '|')}`"


def _escaped(text: str) -> str:
    """Text that neither ends a cell nor passes for HTML."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


PARTS: dict[str, Callable[[], str]] = {
    "control": control,
    "deadlines": deadlines,
    "error_table": error_table,
    "exit_codes": exit_codes,
    "ledger_keys": ledger_keys,
    "methods": methods,
    "moves": moves,
    "news_events": news_events,
    "option_records": option_records,
    "protocol_errors": protocol_errors,
    "result_records": result_records,
    "score_terms": score_terms,
    "settings": settings,
    "task_statuses": task_statuses,
    "waiting_kinds": waiting_kinds,
}


def main() -> None:
    """Bring every page and picture up to date, and name those that were not."""
    for page in pages():
        _write(page, rendered(page.read_text(encoding="utf-8")))
    _write(STATES, drawing())


def _write(path: Path, text: str) -> None:
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{path.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
