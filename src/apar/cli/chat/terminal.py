"""A chat on a terminal: questions and commands in, answers out, until the user leaves."""

from __future__ import annotations

import click
from rich.console import Console
from rich.text import Text

from apar.chat.session import Session, Stats, Turn
from apar.chat.sigint import SigintHandler
from apar.cli.answering import TimedAnswer, numbers, write
from apar.cli.chat.commands import Commands, QuitError
from apar.cli.chat.prompt import Prompt
from apar.errors import AparError, ContextError
from apar.view.labels import printable
from apar.view.live import can_show_live, show_live, show_plain


def talk(session: Session, name: str) -> None:
    """Talk until the user leaves. No error of a turn ends the chat."""
    view = AnswerView(Console(highlight=False), Console(stderr=True, highlight=False))
    commands = Commands(session, view.tell)
    with SigintHandler() as sigint:
        prompt = Prompt(sigint)
        view.tell(f"{name} · /help lists the commands, Ctrl-D leaves", "dim")
        while (entry := prompt.read()) is not None:
            try:
                turn = _turn(session, commands, entry)
            except QuitError:
                return
            except AparError as error:
                view.tell(f"apar: {error}")
            except OSError as error:
                view.tell(f"apar: cannot read or write {error.filename or 'that'}: {error.strerror or error}")
            else:
                if turn is not None:
                    _answer(session, turn, view, sigint)


def _answer(session: Session, turn: Turn, view: AnswerView, sigint: SigintHandler) -> None:
    try:
        view.show(session, turn, sigint)
    except AparError as error:
        view.tell(f"apar: {error}{_advice(error)}")


def _turn(session: Session, commands: Commands, entry: str) -> Turn | None:
    """The turn that an entry asks for, if it does."""
    return commands.run(entry) if entry.startswith("/") else session.ask(entry)


def _advice(error: AparError) -> str:
    if isinstance(error, ContextError):
        return "; /undo takes the last turn back and /clear all of them, then /retry asks again"
    return "; /retry asks again"


class AnswerView:
    """Shows answers on `console`; figures and notices go to `notes`."""

    def __init__(self, console: Console, notes: Console) -> None:
        self._console, self._notes = console, notes

    def tell(self, line: str, style: str = "") -> None:
        """A line that is no part of an answer."""
        self._notes.print(Text(printable(line), style), soft_wrap=True)

    def show(self, session: Session, turn: Turn, sigint: SigintHandler) -> None:
        """Ask, show the answer and keep it; an interrupt keeps what was said until then. Raises what asking raises."""
        stream = TimedAnswer(turn.stream(sigint))
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

    def _draw(self, session: Session, turn: Turn, stream: TimedAnswer[Stats]) -> None:
        params = session.params
        threads = params.by_rules or (params.fork and getattr(session.backend, "forks", True))
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
