"""Precision and recall of fork points against the trees that were drawn by hand.

    python -m tests.gold.score --data ../shared/data [--preset paper] [--half dev|test] [--differences]

`forks.jsonl` has a line an answer: file and id of the record, and the forks as pairs of character offsets. The
texts are not in the repository. What was drawn, how, and by whom is told in README.md beside it.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apar.structure.config import DEFAULT, PAPER, StructureConfig
from apar.structure.extract import extract

FORKS = Path(__file__).with_name("forks.jsonl")


@dataclass
class Score:
    """Fork points found, drawn, and both."""

    answers: int = 0
    found: int = 0
    drawn: int = 0
    both: int = 0
    ends: int = 0
    differing: list[str] = field(default_factory=list)

    @property
    def precision(self) -> float:
        return self.both / self.found if self.found else 1.0

    @property
    def recall(self) -> float:
        return self.both / self.drawn if self.drawn else 1.0


def drawings(half: str | None = None) -> list[dict[str, Any]]:
    """The drawn trees; of one half of the sample if it is named."""
    lines = FORKS.read_text(encoding="utf-8").splitlines()
    return [one for one in map(json.loads, lines) if half in (None, one["half"])]


def texts(data: Path, wanted: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    """The records of the drawn answers, by file and id."""
    ids: dict[str, set[str]] = defaultdict(set)
    for one in wanted:
        ids[one["file"]].add(one["id"])
    return {
        (file, record["id"]): record for file in ids for record in _records(data / file) if record["id"] in ids[file]
    }


def _records(path: Path) -> Iterator[dict[str, Any]]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rb") as file:
        yield from map(json.loads, file)


def score(data: Path, config: StructureConfig, half: str | None = None) -> dict[str, Score]:
    """The scores of all answers ("all") and of each folder of the data. White space does not count."""
    wanted = drawings(half)
    records = texts(data, wanted)
    scores: dict[str, Score] = defaultdict(Score)
    for one in wanted:
        text = records[one["file"], one["id"]]["response"]
        found = {_place(text, at): _place(text, end) for at, end in extract(text, config).tree.forks()}
        drawn = {_place(text, at): _place(text, end) for at, end in one["forks"]}
        for name in ("all", one["file"].split("/")[0]):
            of = scores[name]
            of.answers += 1
            of.found += len(found)
            of.drawn += len(drawn)
            of.both += len(found.keys() & drawn.keys())
            of.ends += len(found.items() & drawn.items())
            if found != drawn:
                of.differing.append(one["id"])
    return dict(scores)


def _place(text: str, offset: int) -> int:
    """An offset as the number of characters before it that are no white space."""
    return len("".join(text[:offset].split()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--preset", choices=("default", "paper"), default="default")
    parser.add_argument("--half", choices=("dev", "test"))
    parser.add_argument("--differences", action="store_true")
    options = parser.parse_args()
    config = PAPER if options.preset == "paper" else DEFAULT
    for name, of in score(options.data, config, options.half).items():
        print(
            f"{name:6} {of.answers:4} answers, {of.drawn:4} forks drawn, {of.found:4} found: "
            f"precision {of.precision:.3f}, recall {of.recall:.3f}, same detail end {of.ends / max(of.both, 1):.3f}"
        )
        if options.differences and name == "all":
            print(*of.differing)


if __name__ == "__main__":
    main()
