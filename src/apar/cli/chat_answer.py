"""One answer of a chat on a terminal: its threads while they are decoded, its text, and its figures."""

from __future__ import annotations

import click
from rich.console import Console
from rich.text import Text

from apar.chat.session import Session, Stats, Turn
from apar.chat.sigint import SigintHandler
from apar.cli.answering import AnswerStream, numbers, write
from apar.view.labels import printable
from apar.view.live import can_show_live, show_live, show_plain


class AnswerView:
    """Shows answers on `console`; what is told of them goes to `notes`."""

    def __init__(self, console: Console, notes: Console) -> None:
        self._console, self._notes = console, notes

    def tell(self, line: str, style: str = "") -> None:
        """A line that is no part of an answer."""
        self._notes.print(Text(printable(line), style), soft_wrap=True)

    def show(self, session: Session, turn: Turn, sigint: SigintHandler) -> None:
        """Ask, show the answer and keep it; an interrupt keeps what was said until then. Raises what asking raises."""
        stream = AnswerStream(turn.stream(sigint))
        try:
            self._draw(session, turn, stream)
            told = numbers(stream.answer)
        except KeyboardInterrupt:
            told = "stopped; the chat goes on with what was said" if turn.text.strip() else ""
        finally:
            _end_line(turn.text)
        if not told:
            self.tell("stopped before anything was said", "dim")
            return
        turn.keep()
        self.tell(told, "dim")

    def _draw(self, session: Session, turn: Turn, stream: AnswerStream[Stats]) -> None:
        threads = session.params.fork and getattr(session.backend, "forks", True)
        if not threads or not can_show_live(self._console):
            show_plain(stream, write, session.params.stop)
            return
        try:
            show_live(stream, self._console, session.params.stop)
        finally:
            write(turn.text)


def _end_line(text: str) -> None:
    if text and not text.endswith("\n"):
        click.echo()
