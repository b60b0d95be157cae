"""Results one by one in a file, so that a killed evaluation goes on where it was."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from apar.errors import RunError, UserError

Key = tuple[str, ...]


class Journal:
    """An append-only file of JSON lines: a line of what it belongs to, then a key and a value in each.

    A line that a kill left half-written is dropped. Raises UserError where the file belongs to something else,
    RunError where it cannot be written.
    """

    def __init__(self, path: Path, fingerprint: str) -> None:
        self.path = path
        self._values: dict[Key, Any] = {}
        try:
            complete = self._read(fingerprint) if path.exists() else 0
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as file:
                file.truncate(complete)
        except OSError as error:
            raise self._cannot_write(error) from error
        if not complete:
            self._append({"fingerprint": fingerprint})

    def __contains__(self, key: Key) -> bool:
        return key in self._values

    def __getitem__(self, key: Key) -> Any:
        return self._values[key]

    def get(self, key: Key) -> Any:
        """The value of a key, None where it has none."""
        return self._values.get(key)

    def put(self, key: Key, value: Any) -> None:
        """Keep a value; it is on the disk when this returns."""
        self._append({"key": key, "value": value})
        self._values[key] = value

    def _read(self, fingerprint: str) -> int:
        """The length in bytes of the lines that are complete."""
        complete = 0
        with self.path.open("rb") as file:
            for number, line in enumerate(file):
                data = _decoded(line)
                if data is None:
                    break
                if number == 0 and data.get("fingerprint") != fingerprint:
                    raise UserError(
                        f"{self.path} holds answers of another plan, other prompts or other models; "
                        "remove it, or give another output"
                    )
                if number:
                    self._values[tuple(data["key"])] = data["value"]
                complete += len(line)
        return complete

    def _append(self, line: dict[str, Any]) -> None:
        try:
            with self.path.open("ab") as file:
                file.write((json.dumps(line, ensure_ascii=False) + "\n").encode("utf-8", "surrogatepass"))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise self._cannot_write(error) from error

    def _cannot_write(self, error: OSError) -> RunError:
        return RunError(f"cannot write {self.path}: {error.strerror or error}; what it holds is kept")


def _decoded(line: bytes) -> dict[str, Any] | None:
    """A complete line; None for another."""
    if not line.endswith(b"\n"):
        return None
    try:
        data = json.loads(line.decode("utf-8", "surrogatepass"))
    except ValueError:
        return None
    return data if isinstance(data, dict) else None
