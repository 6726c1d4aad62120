"""Logs of the engine's processes: a constant sentence, and ids as fields, as text or as JSON lines.

What a service was given or has answered is in no log line: sentences are constant, fields are ids and words of ours,
and of an error only those say their message that cannot quote what they failed on.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime

from mindswarm_exec.errors import MindSwarmError
from mindswarm_exec.settings import Settings

#: Errors whose message tells of a connection, a file or a refusal, and quotes no payload.
SAFE_TO_QUOTE: tuple[type[BaseException], ...] = (MindSwarmError, OSError)
#: The libraries beneath are heard from warnings up: below, they tell of each message.
QUIET_LIBRARIES = ("celery", "kombu", "amqp", "redis", "uvicorn", "tornado", "asyncio", "httpx")
#: What every record has; anything else is a field that the caller gave.
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "data"}


def configure_logging(settings: Settings, process: str, **ids: str) -> None:
    """Log to standard error in the form that the settings ask for. `ids` go with every line. Once a process."""
    fields = {"process": process, **ids}
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(fields) if settings.log_format == "json" else ConsoleLines(fields))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    for library in QUIET_LIBRARIES:
        logging.getLogger(library).setLevel(logging.WARNING)


class JsonLines(logging.Formatter):
    """One JSON object a line: `at`, `level`, `logger`, `message`, the process's ids, the caller's fields, `error`."""

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__()
        self._fields = fields

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": instant(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **self._fields,
            **fields_of(record),
        }
        if record.exc_info and record.exc_info[1]:
            line["error"] = story(record.exc_info[1])
        return json.dumps(line, default=str, ensure_ascii=False)


class ConsoleLines(logging.Formatter):
    """A line for people: instant, level, logger, sentence, fields; a traceback below."""

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__()
        self._fields = fields

    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {name}={value}" for name, value in (self._fields | fields_of(record)).items())
        line = f"{instant(record)} {record.levelname} {record.name}: {record.getMessage()}{fields}"
        return f"{line}\n{story(record.exc_info[1])}" if record.exc_info and record.exc_info[1] else line


def instant(record: logging.LogRecord) -> str:
    at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    return at.replace("+00:00", "Z")


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    """What the caller gave with `extra`."""
    return {name: value for name, value in vars(record).items() if name not in _OWN}


def story(error: BaseException) -> str:
    """A traceback that quotes code but no data: of each error in the chain its frames, its type, and its message
    where that is safe."""
    chain = [error]
    while (earlier := _before(chain[-1])) is not None and earlier not in chain:
        chain.append(earlier)
    told = ("".join(traceback.format_tb(one.__traceback__)) + _named(one) for one in reversed(chain))
    return "\nwhich led to\n".join(told)


def _before(error: BaseException) -> BaseException | None:
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _named(error: BaseException) -> str:
    name = type(error).__qualname__
    quotes_nothing = isinstance(error, SAFE_TO_QUOTE) or type(error).__module__.startswith("redis.")
    return f"{name}: {error}" if quotes_nothing else name
