"""The survey while it runs: a live table in a terminal, plain lines everywhere else."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mindswarm_exec.cli import cells, tables
from mindswarm_exec.demo.board import Board, News
from mindswarm_exec.demo.overview_watch import file_of
from mindswarm_exec.lifecycle import Status
from mindswarm_exec.models.records import AgentRecord

#: Frames a second. Each costs some milliseconds that the agents could use.
FRAMES_PER_SECOND = 5
#: Seconds between two plain lines.
PLAIN_SECONDS = 2.0
BAR, DEPTH_BAR = 40, 30
#: Rows of the picture with everything in it.
FULL_ROWS = 27


class Display(Protocol):
    """Shows a board. Call `refresh` often; enter and leave it like a file."""

    def refresh(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...


def display_for(console: Console, board: Board, elapsed: Callable[[], float]) -> Display:
    """The display that fits the console."""
    if console.is_terminal and not console.is_dumb_terminal:
        return LiveTable(console, board, elapsed)
    return PlainLines(console, board, elapsed)


class LiveTable:
    """The board, redrawn in place."""

    def __init__(self, console: Console, board: Board, elapsed: Callable[[], float]) -> None:
        self._console, self._board, self._elapsed = console, board, elapsed
        self._live = Live(
            console=console, get_renderable=self._draw, refresh_per_second=FRAMES_PER_SECOND, auto_refresh=False
        )
        self._drawn_at = -1.0

    def refresh(self) -> None:
        now = self._elapsed()
        if now - self._drawn_at >= 1 / FRAMES_PER_SECOND:
            self._drawn_at = now
            self._live.refresh()

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def _draw(self) -> RenderableType:
        return draw(self._board, self._elapsed(), self._console.height)


class PlainLines:
    """News as it comes, and a line of numbers every few seconds."""

    def __init__(self, console: Console, board: Board, elapsed: Callable[[], float]) -> None:
        self._console, self._board, self._elapsed = console, board, elapsed
        self._told: News | None = None
        self._line_at = 0.0

    def refresh(self) -> None:
        for news in self._untold():
            self._console.print(_news_line(news), soft_wrap=True)
            self._told = news
        if self._elapsed() >= self._line_at:
            self._line_at = self._elapsed() + PLAIN_SECONDS
            self._console.print(summary(self._board, self._elapsed()), soft_wrap=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.refresh()

    def _untold(self) -> list[News]:
        """What is new since the last look."""
        kept = list(self._board.news)
        start = next((number + 1 for number, news in enumerate(kept) if news is self._told), 0)
        return kept[start:]


def draw(board: Board, elapsed: float, rows: int) -> RenderableType:
    """The whole picture: progress, agents, queue, news. A low terminal does without what handlers said."""
    said = [Text(""), *_lines(board.output)] if rows >= FULL_ROWS else []
    return Group(
        Text(""),
        _progress(board, elapsed),
        _overview(board),
        Text(""),
        _agents(board),
        Text(""),
        _queue(board),
        *said,
        Text(""),
        *_lines(board.news),
    )


def summary(board: Board, elapsed: float) -> Text:
    """The picture in one line."""
    agents = "  ".join(f"{agent.agent_id} {agent.load}/{agent.max_concurrent}" for agent in board.agents)
    waiting = board.queue.waiting if board.queue else 0
    done = f"{board.ended:,} of {board.total:,} done ({board.fraction:.0%}), {waiting:,} waiting"
    return Text(f"{elapsed:6.1f} s  {done}  {agents}")


def _progress(board: Board, elapsed: float) -> Text:
    line = Text("  ", no_wrap=True, overflow="ellipsis")
    line.append_text(cells.track(board.fraction, BAR, "green")).append(f" {board.fraction:4.0%}", style="bold")
    line.append(f"   {board.ended:,} of {board.total:,} executions   {elapsed:.0f} s", style="dim")
    if board.submitted < board.total:
        line.append(f"   submitting: {board.submitted:,}", style="cyan")
    return line


def _overview(board: Board) -> Text:
    """How far the overview is, and what is happening to it."""
    watch, state = board.overview, board.overview_state
    line = Text("  ", no_wrap=True, overflow="ellipsis")
    line.append_text(cells.track(watch.fraction, BAR, "magenta")).append(f" {watch.fraction:4.0%}   ")
    line.append("overview  ", style="dim")
    if state is not None:
        line.append_text(cells.status(state))
    if state is Status.PAUSED and watch.paused is not None:
        line.append(f" at {file_of(watch.paused)}", style="magenta")
    elif watch.agent_id:
        line.append(f"   {'on' if state is Status.RUNNING else 'last on'} {watch.agent_id}", style="dim")
    return line


def _agents(board: Board) -> Table:
    table = Table(box=None, padding=(0, 3, 0, 2), header_style="dim", pad_edge=False)
    for name in ("AGENT", "STATE", "LOAD"):
        table.add_column(name, no_wrap=True, min_width=10)
    table.add_column("DONE", justify="right", min_width=5)
    table.add_column("LATEST", no_wrap=True, style="dim")
    for agent in board.agents:
        alive = agent.state != "offline"
        table.add_row(
            Text(agent.agent_id, style="bold" if alive else "dim strike"),
            _state(board, agent),
            tables.load(agent.load, agent.max_concurrent),
            f"{board.done_by[agent.agent_id]:,}",
            cells.clean(board.doing.get(agent.agent_id, "") if alive else "", 56),
        )
    return table


def _state(board: Board, agent: AgentRecord) -> Text:
    if agent.agent_id == board.killed and agent.state != "offline":
        return Text("✘ killed", style="bold red")
    return cells.agent_state(agent.state)


def _queue(board: Board) -> RenderableType:
    depth = board.queue.by_priority if board.queue else {}
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", min_width=12)
    table.add_column(no_wrap=True, min_width=DEPTH_BAR)
    table.add_column(justify="right", min_width=6)
    most = max(1, *(board.deepest.values() or (1,)))
    for level in sorted(board.deepest, reverse=True):
        count = depth.get(str(level), 0)
        bar = Text(cells.bar(count / most, DEPTH_BAR), style="cyan")
        table.add_row(f"  {cells.priority(level)}", bar, f"{count:,}")
    counts = board.counts
    running = f"{counts[Status.RUNNING] + counts[Status.QUEUED]} on agents"
    return Group(Text(f"  waiting by priority ({running})", style="dim"), table)


def _lines(news: deque[News]) -> list[Text]:
    """The lines, and as many empty ones as keep the picture's height."""
    return [_news_line(one) for one in news] + [Text("")] * ((news.maxlen or 0) - len(news))


def _news_line(news: News) -> Text:
    return Text(f"  {news.at_seconds:5.1f} s  ", style="dim", no_wrap=True, overflow="ellipsis").append(
        cells.clean(news.text, 140), style=news.style
    )
