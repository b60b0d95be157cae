"""A chat through pipes: each line of standard input is a question, in order, and one exit code tells how it went."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import click

from apar.chat.session import Session
from apar.cli.answering import TimedAnswer, numbers, write
from apar.errors import AparError, RequestError
from apar.view.labels import printable
from apar.view.live import show_plain

_FIGURES = (
    "finish_reason", "tokens", "steps", "forward_passes", "threads", "drafted", "accepted", "seconds"
)  # fmt: skip


def answer_lines(session: Session) -> int:
    """Answer the lines of standard input; each answer ends its line, an empty line stands between two.

    A turn that fails is told, and leaves the chat as it was. Returns 0, or the exit code of the first that failed.
    """
    code = 0
    for turns, (number, line) in enumerate(_lines()):
        if turns:
            click.echo()
        try:
            _answer_line(session, _decoded(line))
        except AparError as error:
            click.echo(printable(f"apar: line {number}: {error}"), err=True)
            code = code or error.exit_code
    return code


def answer_json_lines(session: Session) -> int:
    """The same, with a JSON string on each line; every answer is a line of JSON, an error has the key `error`."""
    code = 0
    for _, line in _lines():
        try:
            told = _answer_json(session, _question(_decoded(line)))
        except AparError as error:
            told = {"error": str(error)}
            code = code or error.exit_code
        click.echo(json.dumps(told))
    return code


def _lines() -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, with their numbers. A line ends at a line feed alone."""
    for number, line in enumerate(sys.stdin.buffer, 1):
        if stripped := line.rstrip(b"\r\n"):
            yield number, stripped


def _decoded(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RequestError("the question is not UTF-8 text") from error


def _question(line: str) -> str:
    try:
        question = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"the line is not JSON: {error}") from error
    if not isinstance(question, str):
        raise RequestError('the line is no JSON string; give each question as "text"')
    return question


def _answer_line(session: Session, question: str) -> None:
    turn = session.ask(question)
    stream = TimedAnswer(turn.stream())
    try:
        show_plain(stream, write, session.params.stop)
    finally:
        if turn.text and not turn.text.endswith("\n"):
            click.echo()
    turn.keep()
    click.echo(numbers(stream.answer), err=True)


def _answer_json(session: Session, question: str) -> dict[str, object]:
    turn = session.ask(question)
    stream = TimedAnswer(turn.stream())
    for _ in stream:
        pass
    turn.keep()
    told = stream.answer
    refused = {"not_forked": dict(told.not_forked)} if told.not_forked else {}
    return {"text": turn.text, **{name: getattr(told, name) for name in _FIGURES}, **refused}
