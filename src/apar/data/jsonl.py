"""The lines of a file of JSON lines, undecoded."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

from apar.data.compression import DAMAGES, damage
from apar.data.raw import BYTE_ORDER_MARK, LONGEST_RECORD, BrokenRecord, Raw, SourceLocation


def read_lines(path: Path, file: io.BufferedReader) -> Iterator[Raw]:
    """A record for each line that is not blank, and a broken one where the file is damaged."""
    line = number = 0
    try:
        # Lines end at "\n" alone: U+2028 and form feeds are ordinary characters of a JSON string.
        while content := file.readline(LONGEST_RECORD):
            line += 1
            content = content.removeprefix(BYTE_ORDER_MARK) if line == 1 else content
            if not content.strip():
                continue
            number += 1
            if len(content) >= LONGEST_RECORD and not content.endswith(b"\n"):
                _skip_line(file)
                problem = f"the line is longer than {LONGEST_RECORD >> 20} MiB"
                yield Raw(line, number, BrokenRecord(SourceLocation(path, line), problem))
            else:
                yield Raw(line, number, content)
    except DAMAGES as error:
        yield Raw(line + 1, number + 1, BrokenRecord(SourceLocation(path, line + 1), damage(error)))


def _skip_line(file: io.BufferedReader) -> None:
    while (piece := file.readline(2**20)) and not piece.endswith(b"\n"):
        pass
