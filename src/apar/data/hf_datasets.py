"""Hugging Face data sets as records: from the hub, streamed, or from a folder that `save_to_disk` wrote."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from apar.data.raw import Raw
from apar.errors import UserError
from apar.extras import require


def read_dataset(name: str, split: str) -> Iterator[Raw]:
    """The rows of a split, one at a time. Raises UserError where there is no such data set or split."""
    for number, row in enumerate(_rows(name, split), 1):
        yield Raw(number, number, {key: value for key, value in row.items() if value is not None})


def _rows(name: str, split: str) -> Any:
    require("data", "datasets")
    import datasets

    try:
        if not Path(name).is_dir():
            return datasets.load_dataset(name, split=split, streaming=True)
        if not _is_saved(Path(name)):
            return datasets.load_dataset(name, split=split, streaming=True)
        saved = datasets.load_from_disk(name)
    except Exception as error:  # the library raises exceptions of many kinds
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"cannot read the data set {name}, split {split}: {reason}") from error
    if isinstance(saved, datasets.Dataset):
        return saved
    if split not in saved:
        raise UserError(f"the data set {name} has no split {split}, but {', '.join(saved)}")
    return saved[split]


def _is_saved(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("dataset_dict.json", "dataset_info.json", "state.json"))
