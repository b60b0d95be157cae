"""Reading what a user types into a chat, with the line editing of readline where Python has it."""

from __future__ import annotations

import contextlib

import click

from apar.chat.sigint import SigintHandler

_QUOTES = '"""'
_FIRST, _NEXT = "> ", "| "


class Prompt:
    """Reads entries: a line; lines that end in a backslash, with the next; or all between three quotes."""

    def __init__(self, sigint: SigintHandler) -> None:
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401 - importing it is what gives `input` its line editing
        self._sigint = sigint

    def read(self) -> str | None:
        """The next entry that is not blank, None at the end of the input. Ctrl-C begins it anew.

        Bytes that are no text come as lone surrogates, or begin the entry anew with a word about it.
        """
        while True:
            try:
                with self._sigint.raised():
                    entry = self._entry()
            except KeyboardInterrupt:
                click.echo()
                continue
            except EOFError:
                click.echo()
                return None
            except UnicodeDecodeError:
                click.echo("apar: that line is not UTF-8 text", err=True)
                continue
            if entry.strip():
                return entry

    def _entry(self) -> str:
        line = input(_FIRST)
        if line.lstrip().startswith(_QUOTES):
            return self._quoted(line.lstrip().removeprefix(_QUOTES))
        lines = [line]
        while lines[-1].endswith("\\"):
            lines[-1] = lines[-1][:-1]
            lines.append(input(_NEXT))
        return "\n".join(lines)

    def _quoted(self, line: str) -> str:
        lines = [line]
        while not lines[-1].rstrip().endswith(_QUOTES):
            lines.append(input(_NEXT))
        lines[-1] = lines[-1].rstrip().removesuffix(_QUOTES)
        return "\n".join(lines).strip("\n")
