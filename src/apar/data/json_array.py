"""The records of a JSON array, or of JSON objects written over many lines, read one after the other."""

from __future__ import annotations

import codecs
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

from apar.data.compression import DAMAGES, damage
from apar.data.raw import BYTE_ORDER_MARK, LONGEST_RECORD, BrokenRecord, Raw, SourceLocation, json_problem

_WINDOW = 2**20
_SEPARATOR = re.compile(r"[ \t\r\n]*,?[ \t\r\n]*")
_NEXT_OBJECT = re.compile(r"\n[ \t]*\{")


def read_values(path: Path, file: io.BufferedReader) -> Iterator[Raw]:
    """The values of an array, or the objects of a file, so that those around a broken one are kept."""
    yield from _Values(path, file).read()


class _Values:
    """A window on the text: `text` from `at` on is not read yet, and begins in line `line`."""

    def __init__(self, path: Path, file: io.BufferedReader) -> None:
        self.path = path
        self.file = file
        self.text = ""
        self.at = 0
        self.line = 1
        self.number = 0
        self.ended = False
        self.damage: str | None = None  # why there is no more to read, but that the file ends
        self.broken_to_end = False  # whether a broken record reached to the end of the file
        self.decode = codecs.getincrementaldecoder("utf-8")().decode
        self.decoder = json.JSONDecoder()

    def read(self) -> Iterator[Raw]:
        self._more()
        self.text = self.text.removeprefix(BYTE_ORDER_MARK.decode())
        self._skip_separator()
        in_array = self.text.startswith("[", self.at)
        if in_array:
            self._advance(self.at + 1)
        while self._skip_separator() and not (in_array and self.text[self.at] == "]"):
            value = self._value()
            self.number += 1
            yield value
        yield from self._rest(in_array)

    def _rest(self, in_array: bool) -> Iterator[Raw]:
        """What is wrong at the end, if anything is."""
        if self.broken_to_end:
            return
        problem = self.damage
        if problem is None and in_array and self.at >= len(self.text):
            problem = "the array has no end: the file is cut off"
        elif problem is None and in_array:
            self._advance(self.at + 1)
            if self._skip_separator():
                problem = "more text follows the end of the array; write one array, or a record a line"
        if problem is not None:
            yield self._broken(problem)

    def _broken(self, problem: str) -> Raw:
        return Raw(self.line, self.number + 1, BrokenRecord(SourceLocation(self.path, self.line), problem))

    def _value(self) -> Raw:
        """The value at the place reached; what is broken goes on to the next line that begins an object."""
        while True:
            try:
                value, end = self.decoder.raw_decode(self.text, self.at)
            except (ValueError, RecursionError) as error:
                if isinstance(error, RecursionError) or not self._may_go_on(error):
                    # Where the file itself is damaged, what it broke is not to blame.
                    return self._skip_broken(self.damage or json_problem(error))
                continue
            # A number may go on behind the window's end.
            if end == len(self.text) and not self.ended and not isinstance(value, dict | list | str):
                self._more()
                continue
            found = Raw(self.line, self.number + 1, value)
            self._advance(end)
            return found

    def _may_go_on(self, error: Exception) -> bool:
        """Read on if the text could have ended within the value; whether there was more."""
        complete = isinstance(error, json.JSONDecodeError) and error.pos < len(self.text) - 16
        unended = isinstance(error, json.JSONDecodeError) and error.msg.startswith("Unterminated string")
        if (complete and not unended) or self.ended or len(self.text) - self.at > LONGEST_RECORD:
            return False
        self._more(max(_WINDOW, len(self.text) - self.at))
        return True

    def _skip_broken(self, problem: str) -> Raw:
        broken = self._broken(problem)
        at = self.at + 1
        while (found := _NEXT_OBJECT.search(self.text, at)) is None:
            if self.ended:
                self._advance(len(self.text))
                self.broken_to_end = True
                return broken
            at = max(len(self.text) - 64, at)
            self._more()
        self._advance(found.end() - 1)
        return broken

    def _skip_separator(self) -> bool:
        """Go on to the next value; whether there is one."""
        while True:
            match = _SEPARATOR.match(self.text, self.at)
            self._advance(match.end() if match else self.at)
            if self.at < len(self.text) or self.ended:
                return self.at < len(self.text)
            self._more()

    def _advance(self, to: int) -> None:
        self.line += self.text.count("\n", self.at, to)
        self.at = to

    def _more(self, size: int = _WINDOW) -> None:
        """Read on; what was read before the place reached is dropped."""
        data = b""
        try:
            data = self.file.read(size)
            text = self.decode(data, final=not data)
        except UnicodeDecodeError as error:
            text, data = error.object[: error.start].decode(), b""
            self.damage = "the text is not UTF-8 from here on"
        except DAMAGES as error:
            text, self.damage = "", damage(error)
        self.ended = not data
        self.text = self.text[self.at :] + text
        self.at = 0
