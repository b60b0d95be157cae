"""A chat on a terminal: questions and commands in, answers out, until the user leaves."""

from __future__ import annotations

from rich.console import Console

from apar.chat.session import Session, Turn
from apar.chat.sigint import SigintHandler
from apar.cli.chat_answer import AnswerView
from apar.cli.chat_commands import Commands, QuitError
from apar.cli.chat_prompt import Prompt
from apar.errors import AparError, ContextError


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
