"""Writing files so that nothing half-written is ever left behind."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from apar.errors import RunError, UserError


@contextmanager
def atomic_write(path: Path) -> Iterator[TextIO]:
    """A UTF-8 text file that appears at `path` only when the block ends without an exception.

    A device or a pipe is written to as it is. Raises as `atomic_path` does.
    """
    path = Path(path).resolve()  # the target of a link, so that the link stays
    if path.exists() and not path.is_file():
        with path.open("w", encoding="utf-8", newline="\n") as file:
            yield file
        return
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        yield file


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A path to write to, whose file appears at `path` only when the block ends without an exception.

    It is a hidden file in the same folder, which is made where it is missing. On success the file is flushed
    to the disk and renamed over `path`; on any exception, Ctrl-C included, it is removed and an earlier `path`
    stays as it was. Raises UserError where the folder cannot be written, RunError where the disk is full.
    """
    temporary = _temporary_beside(path)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        # An error that names another file came out of the block: it is not about this write.
        if error.filename not in (None, str(temporary)):
            raise
        raise RunError(f"cannot write {path}: {error.strerror or error}; nothing was left of it") from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """A new folder to write into, which takes the place of `folder` only when the block ends without an exception.

    On any exception it is removed, and an earlier `folder` stays as it was. Raises as `atomic_path` does.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent))
    except OSError as error:
        raise UserError(f"cannot write into the folder {folder.parent}: {error.strerror or error}") from error
    new, old = temporary / "new", temporary / "old"
    try:
        new.mkdir()
        yield new
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
    except OSError as error:
        raise RunError(f"cannot write {folder}: {error.strerror or error}; nothing was left of it") from error
    finally:
        if old.exists() and not folder.exists():
            old.rename(folder)
        shutil.rmtree(temporary, ignore_errors=True)


def cache_folder() -> Path:
    """Where apar keeps what it can make again: $XDG_CACHE_HOME/apar, or ~/.cache/apar."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "apar"


def _temporary_beside(path: Path) -> Path:
    """An empty new file in the folder of `path`, with the access rights of an ordinary new file."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    except OSError as error:
        raise UserError(f"cannot write into the folder {path.parent}: {error.strerror or error}") from error
    os.close(handle)
    give_usual_rights(Path(name))
    return Path(name)


def give_usual_rights(path: Path) -> None:
    """Make a file as readable as any other new one: those of mkstemp and safetensors are their owner's alone."""
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)
