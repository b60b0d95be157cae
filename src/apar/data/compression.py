"""Opening files and pipes for reading bytes, plain or compressed, told by their first bytes."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from apar.errors import UserError
from apar.extras import require

_GZIP = b"\x1f\x8b"
_ZSTANDARD = b"\x28\xb5\x2f\xfd"


@contextmanager
def opened(path: Path) -> Iterator[io.BufferedReader]:
    """The unpacked bytes of a file or a pipe. Raises UserError where it cannot be opened."""
    try:
        raw = path.open("rb")
        head = raw.peek(4)[:4]
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    with raw:
        if head.startswith(_GZIP):
            # A GzipFile reads like a BufferedReader, `peek` included.
            with gzip.open(raw) as unpacked:
                yield cast(io.BufferedReader, unpacked)
        elif head == _ZSTANDARD:
            with _zstandard(raw) as unpacked_zstandard:
                yield unpacked_zstandard
        else:
            yield raw


@contextmanager
def _zstandard(raw: IO[bytes]) -> Iterator[io.BufferedReader]:
    require("data", "pyarrow")
    import pyarrow

    # Unlike the bindings of the format itself, it tells of a stream that is cut off.
    with pyarrow.CompressedInputStream(pyarrow.PythonFile(raw, mode="r"), "zstd") as stream:
        yield io.BufferedReader(stream, 1 << 17)


DAMAGES = (OSError, EOFError, zlib.error)
"""The exceptions by which reading tells that a file is damaged; `damage` puts them into words."""


def damage(error: Exception) -> str:
    """What is wrong with a file, in words."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return "the compressed file is damaged or cut off"
