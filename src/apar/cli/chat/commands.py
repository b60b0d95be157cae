"""What can be done in a chat beside asking: lines that begin with a slash."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from apar.chat.conversation import Conversation
from apar.chat.session import Session, Turn, last_events
from apar.cli.options.sampling import NUMBERS
from apar.data.files import atomic_write
from apar.errors import UserError
from apar.events import write_trace
from apar.view.labels import shorten

_SETTINGS = (*NUMBERS, "max_items", "seed", "stop")
_FORKS = ("model", "rules", "off", "auto")
_NONE = "none"
_QUESTION_CELLS = 60

_HELP = {
    "/help": "this list",
    "/clear": "begin anew; the system message stays",
    "/retry": "ask the last question again",
    "/undo": "take the last turn back",
    "/system TEXT": "what the model is told before the chat; without TEXT nothing",
    "/save FILE": "write the chat as OpenAI's messages in JSON, which `apar extract` reads",
    "/load FILE": "go on with such a chat instead",
    "/set NAME VALUE": "change how answers are decoded; `none` for no seed, stop text or most items",
    "/params": "how answers are decoded",
    "/fork model|rules|off|auto": "what forks: the model, the form of the text, nothing, or the model if it can",
    "/sequential on|off": "decode the same answers with one thread at a time",
    "/trace FILE": "write the events of the last answer, for `apar plot`",
    "/quit": "leave, as Ctrl-D does",
}
_WAYS = """A backslash at the end of a line, or \"\"\" before and after, makes a question of several lines; one that
begins with a blank is never a command. Ctrl-C ends an answer and keeps what was said, or clears the line."""


_FORK_TOLD = {
    "model": "answers fork where the model says so",
    "rules": "answers fork where the form of their text tells items of a list",
    "off": "answers do not fork",
    "auto": "answers fork where the model says so, if it was trained to",
}


class QuitError(Exception):
    """The user leaves."""


class Commands:
    """Carries commands out on a session; what they answer goes to `tell`."""

    def __init__(self, session: Session, tell: Callable[[str], object]) -> None:
        self._session, self._tell = session, tell

    def run(self, line: str) -> Turn | None:
        """Carry a line that begins with a slash out; a question that it asks is returned.

        Raises UserError for what is no command or does not fit, QuitError where the user leaves.
        """
        name, _, rest = line[1:].partition(" ")
        if f"/{name}" not in {usage.partition(" ")[0] for usage in _HELP}:
            raise UserError(f"/{name} is no command; /help lists them, and a blank before it makes it a question")
        turn: Turn | None = getattr(self, f"_{name}")(rest.strip())
        return turn

    def _help(self, rest: str) -> None:
        width = max(map(len, _HELP)) + 2
        self._tell("\n".join(f"{usage:{width}}{text}" for usage, text in _HELP.items()))
        self._tell(_WAYS)

    def _clear(self, rest: str) -> None:
        self._session.conversation = Conversation(self._session.conversation.system)
        self._tell("the chat begins anew")

    def _retry(self, rest: str) -> Turn:
        return self._session.retry()

    def _undo(self, rest: str) -> None:
        self._tell(f"taken back: {shorten(self._session.undo(), _QUESTION_CELLS)}")

    def _system(self, rest: str) -> None:
        session = self._session
        session.conversation = session.conversation.with_system(rest or None)
        self._tell("the system message is set" if rest else "there is no system message now")

    def _save(self, rest: str) -> None:
        path = _path("save", rest)
        self._session.conversation.write(path)
        self._tell(f"saved in {path}")

    def _load(self, rest: str) -> None:
        path = _path("load", rest)
        self._session.begin(Conversation.read(path))
        waiting = "; its last question has no answer, /retry asks it" if self._session.unanswered is not None else ""
        self._tell(f"{self._session.conversation.questions} questions with their answers are loaded{waiting}")

    def _set(self, rest: str) -> None:
        name, _, value = rest.partition(" ")
        if name not in _SETTINGS:
            raise UserError(f"/set knows no {name or 'setting without a name'}; it knows {', '.join(_SETTINGS)}")
        if not value.strip():
            raise UserError(f"/set {name} needs a value")
        self._session.params = replace(self._session.params, **{name: _value(name, value.strip())})
        self._tell(f"{name} is {getattr(self._session.params, name)!r}")

    def _params(self, rest: str) -> None:
        params, conversation = self._session.params, self._session.conversation
        told = {name: getattr(params, name) for name in _SETTINGS}
        told |= {"fork": params.fork_by if params.fork else "off"}
        told |= {"sequential": "on" if params.sequential else "off", "questions": conversation.questions}
        told |= {"system": conversation.system}
        self._tell("\n".join(f"{name:20}{_NONE if value in (None, ()) else value}" for name, value in told.items()))

    def _fork(self, rest: str) -> None:
        if rest not in _FORKS:
            raise UserError(f"/fork is one of {', '.join(_FORKS)}")
        by: Any = "model" if rest == "off" else rest
        self._session.params = replace(self._session.params, fork=rest != "off", fork_by=by)
        self._tell(_FORK_TOLD[rest])

    def _sequential(self, rest: str) -> None:
        if rest not in ("on", "off"):
            raise UserError("/sequential is on or off")
        self._session.params = replace(self._session.params, max_parallel_threads=1 if rest == "on" else None)
        self._tell("answers are decoded " + ("with one thread at a time" if rest == "on" else "in parallel threads"))

    def _trace(self, rest: str) -> None:
        path, events = _path("trace", rest), last_events(self._session)
        with atomic_write(path) as file:
            write_trace(events, file)
        self._tell(f"the last answer's events are in {path}")

    def _quit(self, rest: str) -> None:
        raise QuitError


def _path(command: str, text: str) -> Path:
    if not text:
        raise UserError(f"/{command} needs the name of a file")
    return Path(text).expanduser()


def _value(name: str, text: str) -> Any:
    """The value of a setting; that it fits is checked where it is set."""
    if name == "stop":
        return () if text == _NONE else _texts(text)
    if name in ("seed", "max_items") and text == _NONE:
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    raise UserError(f"{name} is {text!r}; it must be a number")


def _texts(text: str) -> tuple[str, ...]:
    """A stop text as it is, or in JSON: a string or a list of them."""
    if not text.startswith(('"', "[")):
        return (text,)
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UserError(f"stop is {text}, which is not JSON: {error}") from error
    return tuple(value) if isinstance(value, list) else (value,)
