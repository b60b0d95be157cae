"""The threads of an answer over its steps, as a Gantt chart in SVG.

A row per thread in reading order: a bar from its first step to its last, a mark where it forked, and an arrow
from there to the child. The picture follows the reader's light or dark scheme and needs no script.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from apar.assemble import Recording, ThreadRecord
from apar.events import Event, Finished
from apar.sizes import counted
from apar.stats import TreeStats, recording_stats
from apar.tree import ThreadPath
from apar.view.labels import drafts_label, lead_label, path_label, shorten

WIDTH = 960
ROW = 24
BAR = 16
LABELS = 270
"""Width of the column of labels."""
RIGHT = 84
"""Room at the right of the bars for the number of tokens."""
INDENT = 14
"""Shift of a label for each level of depth."""
CHARACTER = 6.6
"""Width of a character of the label's font, roughly."""
COLORS = 4
"""Depths that differ in colour; deeper ones begin again."""

_STYLE = """
text { font: 12px ui-sans-serif, system-ui, sans-serif; fill: #1f2430; }
.title { font-size: 15px; font-weight: 600; }
.faint { fill: #6a7180; }
.paper { fill: #ffffff; }
.halo { paint-order: stroke; stroke: #ffffff; stroke-width: 4; }
.grid { stroke: #e3e6ec; }
.fork { stroke: #6a7180; fill: none; }
.head { fill: #6a7180; }
.mark { stroke: #ffffff; stroke-width: 2; }
.d0 { fill: #3b6fd4; } .d1 { fill: #1f9d86; } .d2 { fill: #c9822b; } .d3 { fill: #a457b8; }
.cut { stroke: #c0392b; stroke-width: 2; stroke-dasharray: 3 2; }
@media (prefers-color-scheme: dark) {
text { fill: #e6e9f0; }
.faint { fill: #98a1b3; }
.paper { fill: #14171f; }
.halo { stroke: #14171f; }
.grid { stroke: #2a2f3b; }
.fork { stroke: #98a1b3; }
.head { fill: #98a1b3; }
.mark { stroke: #14171f; }
.d0 { fill: #6f9bf0; } .d1 { fill: #45c4ab; } .d2 { fill: #e0a458; } .d3 { fill: #c68ad6; }
.cut { stroke: #ff7a6b; }
}
"""


def draw(events: Iterable[Event], title: str = "") -> str:
    """The chart as the text of an SVG file; raises TreeError where the events do not fit together."""
    return draw_recording(Recording.of(events), title)


def draw_recording(recording: Recording, title: str = "") -> str:
    """The chart of events that are recorded already; raises TreeError where there are none."""
    return "\n".join(_Chart(recording, recording_stats(recording), title).lines()) + "\n"


@dataclass(frozen=True, slots=True)
class _Chart:
    recording: Recording
    stats: TreeStats
    title: str

    @property
    def threads(self) -> Mapping[ThreadPath, ThreadRecord]:
        return self.recording.threads

    @property
    def top(self) -> int:
        """Where the rows begin, in pixels from above."""
        return 76 if self.title else 52

    @property
    def bottom(self) -> int:
        return self.top + ROW * len(self.threads)

    def x(self, step: int) -> float:
        """Where a step begins, in pixels from the left."""
        return round(LABELS + step * (WIDTH - LABELS - RIGHT) / self.stats.critical_path, 2)

    def lines(self) -> Iterator[str]:
        height = self.bottom + 32
        yield (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
            f'height="{height}" role="img" aria-label="{_attribute(self.total)}">'
        )
        yield f"<style>{_STYLE}</style>"
        yield f'<rect class="paper" width="{WIDTH}" height="{height}" rx="8"/>'
        if self.title:
            yield _text(20, 30, shorten(self.title, 110), "title")
        yield _text(20, self.top - 24, self.total, "faint")
        yield from self._axis()
        # In reading order a thread comes before its children, and they in the order of their forks.
        rows = {path: self.top + ROW * row for row, path in enumerate(sorted(self.threads))}
        # Fork lines run behind the bars, which they would cut to pieces.
        for path, y in rows.items():
            yield from self._forks(self.threads[path], y, rows)
        for path, y in rows.items():
            yield from self._row(self.threads[path], y)
        yield "</svg>"

    @property
    def total(self) -> str:
        return (
            f"{counted(self.stats.tokens, 'token')} in {counted(self.stats.critical_path, 'step')}, "
            f"{counted(self.stats.threads, 'thread')}{_drafts([record.finished for record in self.threads.values()])}"
        )

    def _axis(self) -> Iterator[str]:
        for step in range(0, self.stats.critical_path + 1, _tick(self.stats.critical_path)):
            x = self.x(step)
            yield f'<line class="grid" x1="{x}" x2="{x}" y1="{self.top - 4}" y2="{self.bottom + 4}"/>'
            yield _text(x, self.bottom + 20, str(step), "faint", "middle")
        yield _text(WIDTH - 20, self.bottom + 20, "steps", "faint", "end")

    def _row(self, record: ThreadRecord, y: int) -> Iterator[str]:
        depth = len(record.path) - 1
        left = 20 + INDENT * min(depth, 8)
        room = int((LABELS - 8 - left) / CHARACTER)
        name = path_label(record.path)
        label = f"{name}  {lead_label(self.threads, record.path, room - len(name) - 2)}"
        yield _text(left, y + BAR, label)
        x, end = self.x(record.start), self.x(record.last_step + 1)
        tokens = self.recording.tokens(record.path)
        yield (
            f'<rect class="{_classes(record, depth)}" x="{x}" y="{y + 4}" width="{round(end - x, 2)}" '
            f'height="{BAR}" rx="3"><title>{escape(self._tooltip(record, tokens))}</title></rect>'
        )
        for fork in record.forks:
            mark = self.x(fork.step + 1)
            yield f'<line class="mark" x1="{mark}" x2="{mark}" y1="{y + 4}" y2="{y + 4 + BAR}"/>'
        yield _text(end + 6, y + BAR, str(tokens), "faint halo")

    def _tooltip(self, record: ThreadRecord, tokens: int) -> str:
        how = "cut off" if record.finished is None else record.finished.reason
        return (
            f"thread {path_label(record.path)}: {counted(tokens, 'token')}, "
            f"steps {record.start} to {record.last_step}, ended by {how}{_drafts([record.finished])}"
        )

    def _forks(self, record: ThreadRecord, y: int, rows: Mapping[ThreadPath, int]) -> Iterator[str]:
        for k, fork in enumerate(record.forks):
            child = rows.get(record.child(k))
            if child is None:  # the answer was cut before the child started
                continue
            x = self.x(fork.step + 1)
            yield f'<path class="fork" d="M{x} {y + 4 + BAR}V{child - 1}"/>'
            yield f'<path class="head" d="M{x - 3.5} {child - 2}h7l-3.5 6z"/>'


def _drafts(ends: Sequence[Finished | None]) -> str:
    """What came of the drafts of threads, with a comma before it; nothing where there were none."""
    drafted = sum(end.drafted for end in ends if end is not None)
    accepted = sum(end.accepted for end in ends if end is not None)
    return f", {drafts_label(drafted, accepted)}" if drafted else ""


def _classes(record: ThreadRecord, depth: int) -> str:
    """The colour of the depth, and a dashed border for a thread that did not end by itself."""
    by_itself = record.finished is not None and record.finished.reason == "eos"
    return f"d{depth % COLORS}" + ("" if by_itself else " cut")


def _tick(steps: int) -> int:
    """Steps between two marks of the axis: 1, 2 or 5 times a power of ten, at most about ten marks."""
    size = 1
    while True:
        for factor in (1, 2, 5):
            if steps <= 10 * factor * size:
                return factor * size
        size *= 10


def _text(x: float, y: float, text: str, classes: str = "", anchor: str = "start") -> str:
    style = f' class="{classes}"' if classes else ""
    return f'<text x="{x}" y="{y}"{style} text-anchor="{anchor}" xml:space="preserve">{escape(text)}</text>'


def _attribute(text: str) -> str:
    return escape(text, {'"': "&quot;"})
