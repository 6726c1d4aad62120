"""The smallest pieces of what people read: an instant, a duration, a state, an id, as styled text."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.text import Text

from mindswarm_exec.lifecycle import Status
from mindswarm_exec.models.options import PRIORITY_NAMES

#: Mark and style of each state; the mark tells states apart where there is no colour.
STATUS_MARKS: dict[str, tuple[str, str]] = {
    Status.PENDING: ("○", "yellow"),
    Status.QUEUED: ("◔", "cyan"),
    Status.RUNNING: ("◉", "bold blue"),
    Status.PAUSED: ("‖", "magenta"),
    Status.COMPLETED: ("✔", "green"),
    Status.FAILED: ("✘", "bold red"),
    Status.CANCELLED: ("⊘", "dim"),
    Status.TIMED_OUT: ("⧖", "red"),
}
AGENT_MARKS: dict[str, tuple[str, str]] = {
    "awake": ("●", "green"),
    "sleeping": ("☾", "blue"),
    "waking": ("◐", "cyan"),
    "draining": ("▽", "yellow"),
    "offline": ("✘", "red"),
}
NOTHING = Text("–", style="dim")

_SCALES = (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))
_PRIORITY_WORDS = {number: word for word, number in PRIORITY_NAMES.items()}
_BAR = " ▏▎▍▌▋▊▉█"


def clean(text: object, limit: int | None = None) -> str:
    """Make foreign text safe for a terminal: control characters shown as escapes, one line, at most `limit`."""
    shown = "".join(c if c.isprintable() else _escape(c) for c in str(text))
    if limit is not None and len(shown) > limit:
        return shown[: limit - 1] + "…"
    return shown


def status(name: str) -> Text:
    mark, style = STATUS_MARKS.get(name, ("?", ""))
    return Text(f"{mark} {clean(name)}", style=style)


def agent_state(name: str) -> Text:
    mark, style = AGENT_MARKS.get(name, ("?", ""))
    return Text(f"{mark} {clean(name)}", style=style)


def short_id(execution_id: str) -> str:
    """The end of an id: ids made together begin alike."""
    return "…" + execution_id[-8:] if len(execution_id) > 9 else execution_id


def priority(number: int) -> str:
    """A priority with its name where it has one: `7 high`."""
    word = _PRIORITY_WORDS.get(number)
    return f"{number} {word}" if word else str(number)


def duration(milliseconds: float | None) -> str:
    """A measured duration in three digits or so: `8 ms`, `1.25 s`, `2m 05s`, `3h 10m`."""
    if milliseconds is None:
        return "–"
    seconds = milliseconds / 1000
    if seconds < 1:
        return f"{milliseconds:.0f} ms"
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m {rest:02}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02}m" if hours < 48 else f"{hours // 24}d {hours % 24}h"


def relative(instant: datetime | None, now: datetime | None = None) -> str:
    """An instant as people say it: `4s ago`, `3h ago`, `in 20s`."""
    if instant is None:
        return "–"
    seconds = ((now or datetime.now(UTC)) - instant).total_seconds()
    unit, size = next(((unit, size) for unit, size in _SCALES if abs(seconds) >= size), ("", 1))
    if not unit:
        return "now"
    amount = f"{int(abs(seconds) // size)}{unit}"
    return f"{amount} ago" if seconds > 0 else f"in {amount}"


def clock(instant: datetime) -> str:
    """An instant of today as the reader's own clock shows it, to the millisecond."""
    return instant.astimezone().strftime("%H:%M:%S.") + f"{instant.microsecond // 1000:03}"


def day_and_clock(instant: datetime) -> str:
    """An instant of any day as the reader's own calendar and clock show it."""
    return instant.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def track(fraction: float, width: int, style: str) -> Text:
    """A progress bar: what is done in `style`, what is left as a dim line, so that an empty one is seen too."""
    done = round(max(0.0, min(1.0, fraction)) * width)
    return Text("━" * done, style=style).append("─" * (width - done), style="dim")


def bar(fraction: float, width: int) -> str:
    """A bar of `width` cells filled to `fraction`, in eighths of a cell."""
    eighths = round(max(0.0, min(1.0, fraction)) * width * 8)
    full, part = divmod(eighths, 8)
    filled = "█" * full + (_BAR[part] if part else "")
    return filled.ljust(width)


def _escape(character: str) -> str:
    if character in "\n\r\t":
        return " "
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
