"""The work folder of a run: which chunks are done, so that a killed run goes on where it was.

A chunk's rows are two files, written whole or not at all: `N.rows`, what the merging must know of each row, and
`N.lines`, the records. `manifest.json` says what run they belong to.
"""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from apar.corpus.worker import Kept, Row
from apar.data.files import atomic_path, atomic_write
from apar.errors import UserError


class ChunkStore:
    """The parts of a run in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def _manifest(self) -> Path:
        return self.folder / "manifest.json"

    def begin(self, manifest: Mapping[str, Any], restart: bool) -> int:
        """Open the folder for a run; how many of its chunks are done already.

        Raises UserError if the folder belongs to another run, naming what differs, unless `restart` is set,
        which throws away what is there.
        """
        if restart:
            self.remove()
        before = self._read_manifest()
        # Through JSON, so that tuples and lists compare alike.
        now = json.loads(json.dumps(manifest))
        if before is None:
            self.remove()
            with atomic_write(self._manifest) as file:
                json.dump(now, file, indent=1)
            return 0
        differing = [key for key in now if now[key] != before.get(key)]
        if differing:
            raise UserError(
                f"{self.folder} holds an unfinished run with other {' and '.join(differing)}; finish it with its "
                "own command, or give --restart to throw it away"
            )
        for part in self.folder.glob(".*.part"):
            part.unlink()
        return sum(1 for _ in self.folder.glob("*.rows"))

    def _read_manifest(self) -> Any:
        try:
            return json.loads(self._manifest.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise UserError(f"{self._manifest} cannot be read ({error}); give --restart to throw it away") from error

    def has(self, index: int) -> bool:
        """Whether a chunk is done."""
        return self._rows(index).is_file()

    def put(self, index: int, rows: Sequence[Row]) -> None:
        """Keep the rows of a chunk; the chunk is done when its rows file is there."""
        with atomic_write(self._lines(index)) as file:
            file.writelines(row.line + "\n" for row in rows if isinstance(row, Kept))
        bare = [row._replace(line="") if isinstance(row, Kept) else row for row in rows]
        with atomic_path(self._rows(index)) as temporary, temporary.open("wb") as packed:
            pickle.dump(bare, packed, protocol=pickle.HIGHEST_PROTOCOL)

    def rows(self, index: int) -> list[Row]:
        """The rows of a chunk, without their lines."""
        with self._rows(index).open("rb") as file:
            found: list[Row] = pickle.load(file)
        return found

    def lines(self, index: int) -> Iterator[str]:
        """The lines of a chunk's kept rows, in order."""
        with self._lines(index).open(encoding="utf-8", newline="\n") as file:
            for line in file:
                yield line.rstrip("\n")

    def remove(self) -> None:
        """Throw away the folder with all that is in it."""
        if self.folder.exists():
            shutil.rmtree(self.folder)

    def _rows(self, index: int) -> Path:
        return self.folder / f"{index:06d}.rows"

    def _lines(self, index: int) -> Path:
        return self.folder / f"{index:06d}.lines"
