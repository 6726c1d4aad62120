"""The drawing of the states and the moves between them, as SVG: where things stand is said here, what is drawn is
held against `lifecycle.MOVES`.
"""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import dedent

from mindswarm_exec.lifecycle import (
    CANCELLED,
    COMPLETED,
    FAILED,
    MOVES,
    PAUSED,
    PENDING,
    QUEUED,
    RUNNING,
    TIMED_OUT,
    Status,
)

WIDTH, HEIGHT = 800, 400
#: Width and height of the box of a state.
BOX = (108, 36)
#: The middle of each box.
PLACES: dict[Status, tuple[int, int]] = {
    PENDING: (100, 125),
    QUEUED: (290, 125),
    RUNNING: (480, 125),
    PAUSED: (290, 265),
    COMPLETED: (710, 125),
    FAILED: (710, 195),
    CANCELLED: (710, 255),
    TIMED_OUT: (710, 315),
}
#: Frames around states that have moves in common: x, y, width, height.
LIVE_FRAME = (20, 58, 545, 282)
ENDED_FRAME = (642, 166, 136, 178)
LIVE = (PENDING, QUEUED, RUNNING, PAUSED)
ENDED = (FAILED, CANCELLED, TIMED_OUT)


@dataclass(frozen=True)
class Arrow:
    """Moves drawn as one line: where they lead from and to, the line, and the place of their names."""

    moves: tuple[str, ...]
    sources: tuple[Status, ...]
    target: Status
    line: str
    label: tuple[int, int]


ARROWS = (
    Arrow(("create",), (), PENDING, "M100 18 V105", (126, 38)),
    Arrow(("queue",), (PENDING,), QUEUED, "M154 125 H234", (194, 118)),
    Arrow(("start",), (QUEUED,), RUNNING, "M344 125 H424", (384, 118)),
    Arrow(("complete",), (RUNNING,), COMPLETED, "M534 125 H654", (605, 118)),
    Arrow(("postpone", "release"), (RUNNING,), PENDING, "M466 107 C420 64 180 64 128 105", (295, 92)),
    Arrow(("release",), (QUEUED,), PENDING, "M256 143 C240 166 170 166 152 145", (203, 176)),
    Arrow(("pause",), (PENDING,), PAUSED, "M112 143 C124 205 180 250 234 259", (188, 200)),
    Arrow(("pause",), (QUEUED,), PAUSED, "M280 143 V245", (253, 200)),
    Arrow(("pause", "freeze"), (RUNNING,), PAUSED, "M462 143 C446 196 400 242 346 255", (358, 214)),
    Arrow(("resume",), (PAUSED,), PENDING, "M236 273 C140 276 90 220 88 145", (92, 256)),
    Arrow(("thaw",), (PAUSED,), RUNNING, "M344 273 C440 272 496 220 496 145", (484, 262)),
    Arrow(("strand",), (PAUSED,), PAUSED, "M272 283 C264 318 316 318 308 285", (290, 324)),
    Arrow(("fail", "lose"), (RUNNING,), FAILED, "M520 143 C550 176 600 187 654 190", (602, 172)),
    Arrow(("lose",), (QUEUED,), FAILED, "M316 143 C350 196 500 200 654 200", (384, 170)),
    Arrow(("cancel",), LIVE, CANCELLED, "M565 255 H654", (604, 248)),
    Arrow(("time_out",), LIVE, TIMED_OUT, "M565 315 H654", (604, 308)),
    Arrow(("retry",), ENDED, PENDING, "M710 344 V378 H60 V145", (385, 371)),
)


def drawing() -> str:
    """The states and all moves between them. Raises ValueError if they are not those of the table."""
    if difference := drawn() ^ of_the_table():
        raise ValueError(f"the drawing and the table of moves differ in {sorted(difference)}: edit {__name__}.ARROWS")
    parts = [*map(_frame, (LIVE_FRAME, ENDED_FRAME)), *map(_arrow, ARROWS), *map(_state, PLACES)]
    return "\n".join([_HEAD, *parts, "</svg>", ""])


def drawn() -> set[tuple[str, str, str]]:
    """Every move that the arrows show, once for each of its sources."""
    return {
        (move, source, arrow.target) for arrow in ARROWS for move in arrow.moves for source in arrow.sources or ("",)
    }


def of_the_table() -> set[tuple[str, str, str]]:
    """The same of the table of moves."""
    return {(move.name, source, move.target) for move in MOVES for source in move.sources or ("",)}


# By itself the picture follows the reader's choice of light or dark; within a page it takes the page's colours.
_HEAD = dedent(f"""\
    <svg xmlns="http://www.w3.org/2000/svg" class="states" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">
    <title>The states of an execution and the moves between them</title>
    <style>
      .states {{ color: #24292f; font: 13px system-ui, sans-serif; }}
      @media (prefers-color-scheme: dark) {{ svg.states:root {{ color: #e6edf3; }} }}
      .states text {{ fill: currentColor; text-anchor: middle; }}
      .states .state, .states .frame, .states .line {{ fill: none; stroke: currentColor; }}
      .states .state {{ stroke-width: 1.5; }}
      .states .frame {{ stroke-dasharray: 3 4; opacity: 0.5; }}
      .states .line {{ opacity: 0.7; }}
      .states .name {{ font-weight: 600; font-size: 14px; }}
    </style>
    <defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path
      d="M0 0 8 4 0 8z" fill="currentColor"/></marker></defs>""")


def _frame(frame: tuple[int, int, int, int]) -> str:
    x, y, width, height = frame
    return f'<rect class="frame" x="{x}" y="{y}" width="{width}" height="{height}" rx="12"/>'


def _arrow(arrow: Arrow) -> str:
    x, y = arrow.label
    names = f'<text class="moves" x="{x}" y="{y}">{", ".join(arrow.moves)}</text>'
    return f'<path class="line" d="{arrow.line}" marker-end="url(#head)"/>{names}'


def _state(status: Status) -> str:
    (x, y), (width, height) = PLACES[status], BOX
    box = f'x="{x - width // 2}" y="{y - height // 2}" width="{width}" height="{height}" rx="8"'
    return f'<rect class="state" {box}/><text class="name" x="{x}" y="{y + 5}">{status}</text>'
