"""A day of steps without a model: arrivals, forks, ends, cancels and preemptions, and memory that does not grow.

    python -m tests.engine.soak --steps 2880000

The logits are random numbers, so that nothing but scheduling, sampling and bookkeeping runs. 2,880,000 steps are
a day of a model that takes 30 ms for each. Blocks are checked now and then, and the process's memory is compared
between the first tenth and the end.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from apar.decoding.params import SamplingParams
from apar.engine.engine import Engine
from apar.engine.runner import PassOutput
from apar.scheduling.blocks import BlockPool
from apar.scheduling.scheduler import Pass
from apar.tokens import ControlTokens
from tests.engine.tiny import VOCABULARY, random_prompt, tiny_model, tiny_tokenizer

_CHECK_EVERY = 1000
_LIVE = 12
_GROWTH_MIB = 16


class RandomLogits:
    """A runner without a model: a row's logits are one of a hundred that were drawn before."""

    def __init__(self, control: ControlTokens, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self._drawn = torch.randn(100, VOCABULARY, generator=generator)
        self._drawn[:, control.fork] += 1.5
        for token in control.eos:
            self._drawn[:, token] += 0.5
        self._rng = random.Random(seed)

    def run(self, work: Pass, guess: bool = False) -> PassOutput:
        rows = [row for row in work.rows.values() if row.sampled]
        logits = self._drawn[[self._rng.randrange(100) for _ in rows]].clone()
        return PassOutput(rows, logits, torch.empty(len(rows), 0))


def make_engine(seed: int) -> Engine:
    control = ControlTokens.of(tiny_tokenizer())
    pool = BlockPool(num_blocks=120, block_size=8)
    engine = Engine(tiny_model(seed, context=512), lambda ids: "ab" * len(ids), control.eos, control, pool, 16)
    engine.scheduler.max_tokens = 64
    runner: Any = RandomLogits(control, seed)
    engine._runner = runner
    return engine


def arrive(engine: Engine, rng: random.Random) -> None:
    """A new request; every third begins like one before."""
    prompt = random_prompt(random.Random(rng.randrange(20)) if rng.random() < 0.3 else rng, 100)
    engine.add(
        prompt,
        SamplingParams(
            max_tokens=rng.choice([1, 20, 100, 300]),
            temperature=rng.choice([0.0, 1.0]),
            stop=rng.choice([(), (), ("bab" * 40,)]),
            max_threads=rng.choice([1, 4, 16]),
            priority=rng.choice([0, 0, 1]),
        ),
    )


def resident_mib() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def soak(steps: int, seed: int = 0) -> dict[str, Any]:
    """Run the steps; returns what happened."""
    engine, rng = make_engine(seed), random.Random(seed)
    counts: Counter[str] = Counter()
    early, began = 0.0, time.perf_counter()
    for number in range(steps):
        while len(engine.groups) < _LIVE:
            arrive(engine, rng)
            counts["requests"] += 1
        engine.step()
        if rng.random() < 0.002:
            engine.cancel(rng.choice(engine.groups)) if engine.groups else None
            counts["cancelled"] += 1
        if number % _CHECK_EVERY == 0:
            engine.check()
        if number == steps // 10:
            early = resident_mib()
    while engine.groups:
        engine.step()
    engine.check()
    return {
        "steps": steps,
        **counts,
        "preemptions": engine.scheduler.preemptions,
        "failed": engine.statistics().failed,
        "blocks lost": engine.pool.num_blocks - engine.pool.num_free,
        "MiB after a tenth": round(early, 1),
        "MiB at the end": round(resident_mib(), 1),
        "seconds": round(time.perf_counter() - began, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2_880_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    result = soak(options.steps, options.seed)
    print(json.dumps(result))
    if result["blocks lost"] or result["MiB at the end"] - result["MiB after a tenth"] > _GROWTH_MIB:
        sys.exit(1)


if __name__ == "__main__":
    main()
