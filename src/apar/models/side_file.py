"""`apar.json`, which stands beside the files of an adapter or of heads of ours: the base that they were trained on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apar.errors import ModelError

SIDE_FILE = "apar.json"


@dataclass(frozen=True, slots=True)
class BaseModel:
    """The model that something was trained on: its hub id or folder, and its `base_fingerprint`."""

    name: str
    fingerprint: str

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> BaseModel:
        """That of a side file's content; raises KeyError or TypeError where it names none."""
        return cls(str(data["base"]["name"]), str(data["base"]["fingerprint"]))


def write_side_file(folder: Path, content: Mapping[str, Any]) -> None:
    """Write `content`, with the base as `base`, into a folder."""
    (folder / SIDE_FILE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_side_file(source: str, what: str) -> dict[str, Any] | None:
    """The content of the side file in a folder or hub id; None where there is none, as in what others made.

    Raises ModelError, naming `what` has it, where the file is damaged.
    """
    file = file_of(source, SIDE_FILE)
    if file is None:
        return None
    try:
        found = json.loads(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise damaged(what, error) from error
    if not isinstance(found, dict):
        raise damaged(what, "it holds no object")
    return found


def damaged(what: str, reason: object) -> ModelError:
    """The error of a side file that cannot be understood."""
    return ModelError(f"{what} has a damaged {SIDE_FILE} ({reason}); save or download it again")


def file_of(source: str, name: str) -> str | None:
    """The path of a file in a folder or hub id, downloaded where it is of the hub; None where there is no such file.

    Raises ModelError where the hub does not give it, as of a repository that needs a token.
    """
    from transformers.utils.hub import cached_file

    try:
        found: str | None = cached_file(source, name, _raise_exceptions_for_missing_entries=False)
    except OSError as error:
        raise ModelError(f"cannot read {name} of {source}: {str(error).strip().splitlines()[0]}") from error
    return found
