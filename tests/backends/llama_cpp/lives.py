"""Random lives on a real llama.cpp, held against the oracle, to which llama.cpp decodes each path alone.

    python -m tests.backends.llama_cpp.lives --cases 1000
    python -m tests.backends.llama_cpp.lives --cases 20 --model FILE.gguf

A case is some requests that come, fork, lose their cells, are cancelled, and end, in a cache of its own. It is made
from its number alone: `--first N --cases 1`. An answer that differs where two tokens are as close as rounding is a
tie: of a greedy one the two logits say so, of a sampled one an oracle with a little noise, which gives it too.
Without `--model` it is a tiny one with random weights, in float32.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from apar.backends.llama_cpp.cells import TO_THE_END, TokenBatch, sequences_for
from apar.backends.llama_cpp.engine import LlamaCppEngine
from apar.backends.llama_cpp.library import LlamaContext, LlamaModel
from apar.backends.llama_cpp.options import Settings
from apar.backends.llama_cpp.tokenizer import LlamaTokenizer, vocabulary_of
from apar.decoding.group import Group
from apar.decoding.params import SamplingParams
from apar.decoding.vocabulary import Vocabulary
from apar.events import Delta, Event, Finished, Forked
from apar.tokens import ControlTokens, encode_text
from apar.tree import ROOT
from tests.backends.llama_cpp.tiny import write_tiny
from tests.oracle import Oracle

_MOST_STEPS = 20_000
_TRIES = 12
_EXACT = {"type_k": "f32", "type_v": "f32", "flash_attn": "off"}
"""With keys and values in float32 there are few ties."""


class Alone:
    """The logits after a path, by llama.cpp in a context with one sequence: token after token, as it decodes itself."""

    def __init__(self, model: LlamaModel, options: dict[str, Any], longest: int) -> None:
        self._context = LlamaContext(model, {**options, "n_ctx": longest, "n_seq_max": 1, "n_batch": longest})
        self._fed: list[int] = []
        self._known: dict[tuple[int, ...], list[float]] = {}

    def forget(self) -> None:
        """Let the logits of earlier paths go."""
        self._known.clear()

    def logits(self, tokens: Sequence[int]) -> list[float]:
        """Those after the last token of a path."""
        path = tuple(tokens)
        if path not in self._known:
            self._known[path] = self._decode(list(path))
        return self._known[path]

    def _decode(self, path: list[int]) -> list[float]:
        shared = 0
        while shared < min(len(self._fed), len(path) - 1) and self._fed[shared] == path[shared]:
            shared += 1
        self._context.remove(0, shared, TO_THE_END)
        batch = TokenBatch()
        for position in range(shared, len(path)):
            batch.add(path[position], position, 0)
        batch.wanted.append(len(path) - shared - 1)
        found: list[float] = self._context.decode(batch)[0].tolist()
        self._fed = path
        return found


class LlamaOracle(Oracle):
    """The oracle, with llama.cpp's own logits; `noise` is as large as what rounding may make of them."""

    rounding = 1e-3

    def _logits(self, tokens: list[int]) -> list[float]:
        logits: list[float] = self.model.logits(tokens)
        if self.noise:
            logits = [value + self.noise.uniform(-self.rounding, self.rounding) for value in logits]
        return logits


class World:
    """A model with its vocabulary, and what decodes each path alone."""

    def __init__(self, file: Path, exact: bool, rounding: float) -> None:
        settings = Settings(options=_options(exact))
        self.model = LlamaModel(file, {})
        self.vocabulary: Vocabulary = vocabulary_of(LlamaTokenizer(self.model, str(file)), str(file))
        self.options = settings.context(self.model.longest, 1)
        self.alone = Alone(self.model, self.options, 512)
        # A character for each token: bytes of one would be told when it is whole, and that is tested elsewhere.
        hidden = self.control.hidden
        self.texts = ["" if token in hidden else chr(0x100 + token) for token in range(self.model.num_tokens)]
        LlamaOracle.rounding = rounding

    @property
    def control(self) -> ControlTokens:
        assert self.vocabulary.control is not None, "the model has no control tokens"
        return self.vocabulary.control

    def engine(self, cells: int, max_rows: int, max_tokens: int) -> LlamaCppEngine:
        params = {**self.options, "n_ctx": cells, "n_seq_max": sequences_for(max_rows), "n_batch": max_tokens}
        context = LlamaContext(self.model, params)
        tokenizer = self.vocabulary.tokenizer
        return LlamaCppEngine(
            context,
            lambda ids: "".join(self.texts[token] for token in ids),
            lambda text: encode_text(tokenizer, text),
            self.vocabulary.eos,
            self.control,
            vocabulary_size=self.model.num_tokens,
            longest=128,
            cells=cells,
            max_rows=max_rows,
            max_tokens=max_tokens,
        )


def _options(exact: bool) -> dict[str, Any]:
    from apar.backends.llama_cpp.options import parse_options

    words = [word for name, value in _EXACT.items() for word in (f"--llama.{name}", value)]
    return {**(parse_options(words) if exact else {}), "n_threads": 1}


def _params(rng: random.Random) -> SamplingParams:
    return SamplingParams(
        max_tokens=rng.choice([1, 4, 12, 24, 40, 60]),
        temperature=rng.choice([0.0, 0.0, 0.0, 0.8]),
        seed=rng.randrange(1000),
        fork=rng.random() < 0.95,
        max_threads=rng.choice([2, 3, 5, 12, 32]),
        max_depth=rng.choice([2, 3, 4]),
        max_parallel_threads=rng.choice([None, None, None, 1, 2]),
        priority=rng.choice([0, 0, 1]),
    )


def run_case(world: World, number: int, counts: Counter[str]) -> str | None:
    """Run one case; what differs, or None."""
    rng = random.Random(number)
    world.alone.forget()
    engine = world.engine(rng.choice([256, 256, 512]), rng.choice([2, 4, 8]), rng.choice([32, 256]))
    common = [rng.randrange(world.model.num_tokens - 8) for _ in range(20)]
    asked: dict[Group, tuple[list[int], SamplingParams]] = {}
    wanted = rng.randint(2, 6)
    for _ in range(_MOST_STEPS):
        if len(asked) < wanted and rng.random() < 0.3:
            prompt = common * rng.randrange(3) + [rng.randrange(world.model.num_tokens - 8) for _ in range(6)]
            params = _params(rng)
            asked[engine.add(prompt, params)] = (prompt, params)
        if engine.groups and rng.random() < 0.01:
            victim = rng.choice(engine.groups)
            engine.cancel(victim)
            counts["cancelled"] += 1
        engine.step()
        engine.check()
        if len(asked) == wanted and not engine.groups:
            break
    else:
        return f"case {number}: the engine makes no progress"
    counts["cases"] += 1
    counts["preemptions"] += engine.scheduler.preemptions
    counts["cells held"] += cells_left(engine)
    differences = [_judge(world, group, *asked[group], counts) for group in asked if group.ended and group.events]
    found = [difference for difference in differences if difference]
    return f"case {number}: {found[0]}" if found else None


def cells_left(engine: LlamaCppEngine) -> int:
    """Sequences that have a cell when nothing is held and nothing is kept."""
    engine.pool.forget(list(range(engine.pool.num_blocks)))
    engine.cells.settle()
    context: Any = engine._decoder
    count = sequences_for(engine.scheduler.max_rows)
    left = sum(context.last_position(number) >= 0 for number in range(count))
    context.close()
    return left


def _judge(world: World, group: Group, prompt: list[int], params: SamplingParams, counts: Counter[str]) -> str | None:
    """What of an answer is not the oracle's; of a cancelled one what there is must be its beginning."""
    counts["answers"] += 1
    counts["forks"] += sum(isinstance(event, Forked) for event in group.events)
    counts["nested forks"] += sum(isinstance(event, Forked) and len(event.thread) > 1 for event in group.events)
    if group.error is not None:
        return str(group.error)

    def events(noise: random.Random | None) -> list[Event]:
        return LlamaOracle(world.alone, world.texts, world.control, 128, prompt, params, noise=noise).run()

    expected = events(None)
    if group.events == expected[: len(group.events)]:
        counts["whole"] += len(group.events) == len(expected)
        return None
    if not params.temperature and _is_tie(world, prompt, group.events, expected):
        counts["ties"] += 1
        return None
    for seed in range(_TRIES if params.temperature else 0):
        if group.events == events(random.Random(seed))[: len(group.events)]:
            counts["ties"] += 1
            return None
    counts["differences"] += 1
    at = _first_difference(group.events, expected)
    return f"{group.name} tells {group.events[at]} in place of {expected[at]}"


def _first_difference(mine: Sequence[Event], theirs: Sequence[Event]) -> int:
    return next(number for number, pair in enumerate(zip(mine, theirs, strict=False)) if pair[0] != pair[1])


def _is_tie(world: World, prompt: Sequence[int], mine: Sequence[Event], theirs: Sequence[Event]) -> bool:
    """Whether a greedy answer leaves the oracle's where two tokens are as close as rounding."""
    at = _first_difference(mine, theirs)
    paths = {ROOT: list(prompt)}
    for event in mine[:at]:
        if isinstance(event, Forked):
            paths[event.thread].append(world.control.fork)
            paths[event.child] = [*paths[event.thread], world.control.child]
        elif isinstance(event, Delta):
            paths[event.thread] += event.token_ids
    one, other = _token(world, mine[at]), _token(world, theirs[at])
    if one is None or other is None or mine[at].thread != theirs[at].thread:
        return False
    logits = world.alone.logits(paths[mine[at].thread])
    return abs(logits[one] - logits[other]) < LlamaOracle.rounding


def _token(world: World, event: Event) -> int | None:
    """The token behind an event, where one is."""
    if isinstance(event, Delta):
        return event.token_ids[0] if event.token_ids else None
    if isinstance(event, Forked):
        return world.control.fork
    if isinstance(event, Finished) and event.reason == "eos":
        return min(world.control.eos)
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--model", type=Path, help="a GGUF file with control tokens, as apar export writes it")
    options = parser.parse_args()
    counts: Counter[str] = Counter({"differences": 0, "ties": 0, "cells held": 0})
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        file = options.model or write_tiny(Path(folder) / "tiny.gguf")
        world = World(file, options.model is None, 1e-3 if options.model is None else 0.25)
        for number in range(options.first, options.first + options.cases):
            if difference := run_case(world, number, counts):
                print(difference)
    print(json.dumps({**counts, "seconds": round(time.perf_counter() - began, 1)}))
    if counts["differences"] or counts["cells held"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
