"""The threads of an answer side by side: one frame of the live view, as something that rich can draw."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from apar.assemble import Assembler, ThreadRecord
from apar.events import Delta, Event, Finished
from apar.tree import ThreadPath
from apar.view.labels import drafts_label, lead_label, path_label, printable

MIN_WIDTH = 26
"""Cells of a panel; narrower ones cannot be read while they move."""
MIN_HEIGHT = 5
"""Lines of a panel, its two borders included."""
HEADER_HEIGHT = 2
"""The header, and the line below the view where the cursor rests."""


class Board:
    """Takes events in, and draws as many panels as the terminal has room for.

    A thread keeps its slot on the screen. Where there are more threads than slots, those that are decoding are shown,
    and a new thread takes the slot of a finished one.
    """

    def __init__(self, stop: Sequence[str] = (), title: str = "") -> None:
        self._title = title
        self._assembler = Assembler(stop)
        self._slots: list[ThreadPath] = []
        self._tokens = 0
        self._drafted = self._accepted = 0  # of the threads that have finished
        self._step = 0

    @property
    def text(self) -> str:
        """The answer in reading order, as far as it may be shown."""
        return self._assembler.text

    def add(self, event: Event) -> None:
        """Take one event in; raises TreeError where it cannot follow those before it."""
        self._assembler.feed(event)
        self._step = max(self._step, event.step)
        if isinstance(event, Delta):
            self._tokens += len(event.token_ids)
        elif isinstance(event, Finished):
            self._drafted += event.drafted
            self._accepted += event.accepted

    def end(self) -> None:
        """The stream has ended."""
        self._assembler.end()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width, height = options.max_width, console.height - HEADER_HEIGHT
        columns, rows = max(1, width // MIN_WIDTH), max(1, height // MIN_HEIGHT)
        self._arrange(columns * rows)
        yield self._header()
        if self._slots:
            yield self._grid(console, width, height, columns)

    def _arrange(self, capacity: int) -> None:
        """Give slots to the threads that are decoding and have none."""
        if len(self._slots) > capacity:  # the terminal has become smaller
            self._slots = sorted(self._slots, key=self._is_finished)[:capacity]
        placed = set(self._slots)
        for path in self._assembler.threads:
            if path in placed or self._is_finished(path):
                continue
            if len(self._slots) < capacity:
                self._slots.append(path)
                continue
            free = next((k for k, old in enumerate(self._slots) if self._is_finished(old)), None)
            if free is None:
                return
            self._slots[free] = path

    def _is_finished(self, path: ThreadPath) -> bool:
        return self._assembler.threads[path].finished is not None

    def _header(self) -> Text:
        threads = self._assembler.threads
        alive = [path for path in threads if not self._is_finished(path)]
        hidden = len(set(alive) - set(self._slots))
        steps = self._step + 1 if threads else 0
        header = Text(no_wrap=True, overflow="ellipsis")
        header.append(f"{self._title} · " if self._title else "")
        header.append(f"step {steps}", "bold")
        header.append(f" · {len(alive)} of {len(threads)} threads")
        header.append(f" · {self._tokens} tokens · ")
        header.append(f"{self._tokens / max(steps, 1):.1f} tokens per step", "bold")
        header.append(f" · {drafts_label(self._drafted, self._accepted)}" if self._drafted else "")
        return header.append(f" · {hidden} not shown" if hidden else "", "dim")

    def _grid(self, console: Console, width: int, height: int, most_columns: int) -> Table:
        """The panels in rows of equal length."""
        count = len(self._slots)
        rows = -(-count // most_columns)
        columns = -(-count // rows)
        inner = width // columns - 4
        grid = Table.grid(expand=True)
        for _ in range(columns):
            grid.add_column(ratio=1)
        for first in range(0, count, columns):
            paths = self._slots[first : first + columns]
            bodies = [self._body(console, path, inner, max(1, height // rows - 2)) for path in paths]
            tallest = max(len(body.split(allow_blank=True)) for body in bodies)
            grid.add_row(*(self._panel(*each, inner, tallest + 2) for each in zip(paths, bodies, strict=True)))
        return grid

    def _panel(self, path: ThreadPath, body: Text, inner: int, height: int) -> Panel:
        end = self._assembler.threads[path].finished
        finished = end is not None
        label = path_label(path)
        lead = lead_label(self._assembler.threads, path, inner - len(label) - 3)
        title = Text.assemble((label, "" if finished else "bold"), f" {lead}" if lead else "")
        drafts = Text(f"{end.accepted} of {end.drafted} draft tokens") if end is not None and end.drafted else None
        return Panel(body, title=title, title_align="left", subtitle=drafts, subtitle_align="right", height=height,
                     style="dim" if finished else "", border_style="" if finished else "cyan")  # fmt: skip

    def _body(self, console: Console, path: ThreadPath, width: int, lines: int) -> Text:
        """The end of the thread's own text, in at most `lines` lines; `▸` names the child that goes on there."""
        text = _tail(self._assembler.threads[path], 2 * width * lines)
        if not self._is_finished(path):
            text.append("▌", "cyan")
        wrapped = text.wrap(console, width)
        return Text("\n").join(wrapped[-lines:])


def _tail(record: ThreadRecord, length: int) -> Text:
    """The last `length` characters or so of a thread's own text."""
    pieces: list[tuple[str, str]] = []
    for k in reversed(range(len(record.nodes))):
        if k < len(record.forks):
            pieces.append((f" ▸{path_label(record.child(k))}", "dim cyan"))
        for delta in reversed(record.nodes[k]):
            pieces.append((printable(delta.text), ""))
            length -= len(delta.text)
        if length <= 0:
            break
    text = Text()
    for piece, style in reversed(pieces):
        text.append(piece if text else piece.lstrip(), style)
    return text
