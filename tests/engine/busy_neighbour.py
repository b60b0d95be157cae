"""How much slower a model decodes beside busy processes: `python -m tests.engine.busy_neighbour MODEL`.

The same answer is decoded alone and beside `--neighbours` processes that compute without end, in turn, with threads
that sleep while they wait (the default), that spin, and with one thread. Each way runs in a process of its own,
because OpenMP reads its variables once. Only decoding is timed, after one answer that is not. The printed figures are
the median seconds of each way and how many times slower it is beside the neighbours. Measure on a machine with
nothing else to do.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from apar.cpus import NUMBER, WAITING

WAYS: Mapping[str, Mapping[str, str]] = {
    "sleeping": WAITING,
    "spinning": {"OMP_WAIT_POLICY": "ACTIVE"},
    "one thread": {**WAITING, NUMBER: "1"},
}


@contextmanager
def neighbours(count: int) -> Iterator[None]:
    """So many processes that compute without end."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def seconds(model: str, tokens: int, chosen: Mapping[str, str]) -> float:
    """Seconds of one answer in a process with such an environment."""
    names = {*WAITING, NUMBER}
    environment = {key: value for key, value in os.environ.items() if key not in names} | dict(chosen)
    command = [sys.executable, "-m", __name__, model, "--tokens", str(tokens), "--answer"]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return float(json.loads(done.stdout.splitlines()[-1]))


def answer(model: str, tokens: int) -> float:
    """Seconds of one answer in this process."""
    from apar import LLM, SamplingParams

    llm = LLM(model, device="cpu")
    params = SamplingParams(max_tokens=tokens, temperature=0.0)
    llm.generate(["How do I start running?"], params)
    began = time.perf_counter()
    llm.generate(["How do I start running?"], params)
    return time.perf_counter() - began


def measure(model: str, tokens: int, rounds: int, count: int) -> dict[str, dict[str, float]]:
    """By way: median seconds alone and beside the neighbours, and the second over the first."""
    taken: dict[str, tuple[list[float], list[float]]] = {way: ([], []) for way in WAYS}
    for _ in range(rounds):
        for way, chosen in WAYS.items():
            taken[way][0].append(seconds(model, tokens, chosen))
            with neighbours(count):
                taken[way][1].append(seconds(model, tokens, chosen))
    found = {way: tuple(map(statistics.median, both)) for way, both in taken.items()}
    return {way: {"alone": a, "beside": b, "times": b / a} for way, (a, b) in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--tokens", type=int, default=120)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--neighbours", type=int, default=1)
    parser.add_argument("--answer", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.answer:
        print(json.dumps(answer(given.model, given.tokens)))
        return
    print(json.dumps(measure(given.model, given.tokens, given.rounds, given.neighbours), indent=1))


if __name__ == "__main__":
    main()
