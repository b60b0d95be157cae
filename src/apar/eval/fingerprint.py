"""What an evaluation belongs to: its plan, its prompts, and the files of its models."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from apar.eval.plan import ModelSpec, Plan
from apar.eval.prompts import EvalPrompt

_NO_MATTER = {"output", "samples", "read"}
_EDGE = 1 << 20
"""Bytes at both ends of a file that tell it from another; small files, as adapters', are read whole."""
_WEIGHTS = ("*.safetensors", "*.gguf", "config.json", "adapter_config.json")


def fingerprint(plan: Plan, prompts: Mapping[str, Sequence[EvalPrompt]]) -> str:
    """A hash in hexadecimal. A model of a hub counts by its name."""
    data = plan.model_dump(mode="json", exclude=_NO_MATTER)
    for chosen in data["sets"].values():  # what is off counts as what older plans did not have
        if not chosen["several_turns"]:
            del chosen["several_turns"]
    found = hashlib.sha256(json.dumps(data, sort_keys=True).encode())
    for name, each in prompts.items():
        for prompt in each:
            found.update(json.dumps([name, prompt.id, prompt.text, *prompt.before]).encode())
    for spec in (plan.model, plan.rules, plan.skeleton, plan.twin, plan.base, plan.read_by):
        for file in _files(spec):
            found.update(_content(file))
    return found.hexdigest()


def _files(spec: ModelSpec | None) -> Iterator[Path]:
    for name in (spec.model, spec.adapter) if spec is not None else ():
        if name is None:
            continue
        path = Path(name)
        if path.is_file():
            yield path
        elif path.is_dir():
            yield from sorted(_matching(path, _WEIGHTS))


def _matching(folder: Path, patterns: Iterable[str]) -> Iterator[Path]:
    for pattern in patterns:
        yield from folder.glob(pattern)


def _content(path: Path) -> bytes:
    """The size and the ends of a file, or all of it where that is no more than 64 MiB."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= 64 * _EDGE:
            return hashlib.file_digest(file, "sha256").digest()
        start = file.read(_EDGE)
        file.seek(-_EDGE, 2)
        return hashlib.sha256(str(size).encode() + start + file.read(_EDGE)).digest()
