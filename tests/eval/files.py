"""Files that an evaluation reads: trees, questions, prompts of IFBench."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from apar.tree import Node, ParagraphTree

LISTING = ParagraphTree(Node("1. One:", Node(" a thing."), Node("\n2. Two:", Node(" more."), Node(""))))


def record(prompt: str, tree: ParagraphTree = LISTING, reason: str | None = None, **more: Any) -> dict[str, Any]:
    """A record of `apar extract`: a list, or what is unstructured for a reason."""
    return {
        "id": f"id of {prompt}",
        "source": "s",
        "prompt": prompt,
        "response": tree.text,
        "rule": "ordered_list" if tree.root.forks else "unstructured",
        "reason": reason,
        "forks": tree.forks(),
        **more,
    }


def instructed(key: str, name: str, **arguments: Any) -> dict[str, Any]:
    """A prompt of IFBench with one instruction."""
    given = {"N": None, **arguments}
    return {"key": key, "prompt": f"Question {key}?", "instruction_id_list": [name], "kwargs": [given]}


def write_lines(path: Path, lines: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path
