"""The ideal speed-up on the Vicuna-Bench answers of Vicuna-13B, GPT-3.5 and GPT-4, by category and preset.

python -m tests.gold.vicuna --data ../shared/data --tokenizer ../shared/data/tokenizers/llama_tokenizer.model
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

from apar.data.token_counter import load_counter, word_counter
from apar.stats import tree_stats
from apar.structure.config import DEFAULT, PAPER
from apar.structure.extract import extract

_FILES = ("vicuna_bench_answers.jsonl", "vicuna_bench_answers_qlora.jsonl")
_MODELS = ("vicuna-13b", "gpt35", "gpt4")


def answers(folder: Path) -> Iterator[tuple[str, str]]:
    """Category and text of each answer of the three models."""
    with (folder / "vicuna_bench_questions.jsonl").open() as file:
        questions = [json.loads(line) for line in file]
    category = {(one.get("text") or one.get("prompt") or one["turns"][0]): one["category"] for one in questions}
    for name in _FILES:
        with (folder / name).open() as file:
            for one in map(json.loads, file):
                if one["model"] in _MODELS and one["response"].strip():
                    yield category[one["prompt"]], one["response"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path)
    options = parser.parse_args()
    count = (load_counter(options.tokenizer) if options.tokenizer else word_counter()).count
    found: dict[str, list[tuple[float, bool, float, bool]]] = defaultdict(list)
    for category, text in answers(options.data / "bench"):
        ours, papers = (tree_stats(extract(text, config).tree, count) for config in (DEFAULT, PAPER))
        for name in (category, "all"):
            found[name].append((ours.speedup, ours.forks > 0, papers.speedup, papers.forks > 0))
    print("category         answers | default: fork, mean, where it forks | paper: fork, mean, where it forks")
    for name in sorted(found, key=lambda name: (name == "all", name)):
        rows = found[name]
        cells = []
        for k in (0, 2):
            forking = [row[k] for row in rows if row[k + 1]]
            cells.append(f"{len(forking):4} {fmean(row[k] for row in rows):5.2f} {fmean(forking or [1.0]):5.2f}")
        print(f"{name:16} {len(rows):7} | {cells[0]} | {cells[1]}")


if __name__ == "__main__":
    main()
