"""All that is to be measured of the llama.cpp backend on one machine where nothing else runs, on one GGUF file after
another; every comparison is made in one run.

    python -m tests.backends.llama_cpp.measure --replay TREES --prompts PROMPTS -o results MODEL.gguf...

Steps with 1 to 32 threads and the cost of a fork; the answers of TREES (`apar extract`) forced one at a time, forked
and by llama.cpp alone; the same with what the model itself answers to PROMPTS, where it was trained to fork; 8 and 32
answers at once, forked and as parallel sequences. Each result is a file `llama-cpp-MODEL-WHAT.json`, with the most
memory that its process had.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

_THREADS = "1,2,4,8,16,32"
_LOADS = (8, 32)


def _apar(*words: str) -> None:
    command = [sys.executable, "-m", "apar", *words]
    print("$ apar", *words, flush=True)
    subprocess.run(command, check=True)


def _measure(out: Path, *words: str) -> None:
    """Run a benchmark, and note in its result the most memory that a child of this process has had so far."""
    _apar(*words, "--json", str(out))
    found = json.loads(out.read_text(encoding="utf-8"))
    found["peak_kibibytes"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    out.write_text(json.dumps(found) + "\n", encoding="utf-8")


def _replays(model: Path, replay: Path | None, prompts: Path | None, folder: Path) -> Iterator[tuple[str, Path]]:
    """The answers that are replayed, by name; the model's own are decoded first, unless they are there."""
    if replay is not None:
        yield replay.parent.name or replay.stem, replay
    if prompts is not None:
        own = folder / f"llama-cpp-{model.stem}.answers.jsonl"
        _apar("generate", str(model), "--input", str(prompts), "--output", str(own), "--backend", "llama-cpp")
        yield "own", own


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--replay", type=Path, help="real answers, written by apar extract")
    parser.add_argument("--prompts", type=Path, help="held-out prompts, for a model that was trained to fork")
    parser.add_argument("--answers", default=None, help="an even sample of so many answers")
    parser.add_argument("--rounds", default="5")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args(words)
    options.output.mkdir(parents=True, exist_ok=True)
    some = [] if options.answers is None else ["--answers", options.answers]
    for model in options.models:
        out = options.output / f"llama-cpp-{model.stem}"
        same = (str(model), "--backend", "llama-cpp")
        _measure(Path(f"{out}-steps.json"), "bench", "steps", *same, "--threads", _THREADS, "--rounds", options.rounds)
        for name, trees in _replays(model, options.replay, options.prompts, options.output):
            given = (*same, "--replay", str(trees), *some)
            _measure(Path(f"{out}-{name}-latency.json"), "bench", "latency", *given)
            for load in _LOADS:
                load_words = ("--concurrency", str(load), "--rounds", "3")
                _measure(Path(f"{out}-{name}-throughput-{load}.json"), "bench", "throughput", *given, *load_words)


if __name__ == "__main__":
    main()
