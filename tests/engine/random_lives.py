"""Random answers under random conditions, compared with the oracle.

    python -m tests.engine.random_lives --cases 2000
    python -m tests.engine.random_lives --cases 3000 --drafts

A case is a random model, some prompts with their parameters, and an engine short of this or that. It is made
from its number alone, so a difference can be looked at again: `--first N --cases 1`. An answer that differs only
where two tokens are as close as rounding is a tie: an oracle with a little noise gives it too.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from apar.decoding.group import Group
from apar.decoding.params import SamplingParams
from apar.engine.engine import Engine
from apar.events import Delta, Event, Finished, Forked
from apar.scheduling.blocks import BlockPool
from apar.tokens import ControlTokens
from tests import device
from tests.engine.drafts.known import KnownAnswers, draft_with, spoken
from tests.engine.tiny import FAMILIES, VOCABULARY, favour, random_prompt, tiny_model, tiny_tokenizer
from tests.oracle import Oracle

_MOST_STEPS = 20_000
"""Far more passes than any case takes: an engine that makes no progress fails instead of hanging."""

_TRIES = 16
"""Oracles with noise that an answer is compared with before it counts as different."""

_TIES = 0.005
"""The share of answers that may hang on a tie; of the tiny models' logits, fewer are that close."""


@dataclass(frozen=True)
class Case:
    """Everything that a comparison needs."""

    model: Any
    control: ControlTokens
    texts: list[str]
    prompts: list[list[int]]
    params: list[SamplingParams]
    block_size: int
    num_blocks: int
    max_rows: int
    max_tokens: int
    native: bool


def make_case(number: int) -> Case:
    rng = random.Random(number)
    tokenizer = tiny_tokenizer()
    control = ControlTokens.of(tokenizer)
    context = rng.choice([24, 48, 96, 96])
    family = rng.choice(["llama", "llama", *FAMILIES])
    model = tiny_model(number, family, context, num_key_value_heads=rng.choice([1, 2, 4]))
    favour(model, control, fork=rng.uniform(3, 9), eos=rng.uniform(-2, 5))
    prompts = [random_prompt(rng, 12) for _ in range(rng.randint(1, 4))]
    block_size = rng.randint(1, 16)
    least = -(-(max(map(len, prompts)) + rng.randint(1, 30)) // block_size)
    return Case(
        model,
        control,
        [tokenizer.decode([token], skip_special_tokens=True) for token in range(model.config.vocab_size)],
        prompts,
        [_params(rng) for _ in prompts],
        block_size,
        rng.choice([least, 2 * least, 400]),
        rng.choice([1, 2, 3, 5, 64]),
        rng.choice([8, 1000]),
        rng.random() < 0.7,
    )


def _params(rng: random.Random) -> SamplingParams:
    return SamplingParams(
        max_tokens=rng.choice([1, 3, 6, 12, 24, 40, 40, 60, 60]),
        temperature=rng.choice([0.0, 0.0, 0.7, 1.5]),
        top_p=rng.choice([1.0, 0.8]),
        top_k=rng.choice([0, 0, 5]),
        min_p=rng.choice([0.0, 0.0, 0.05, 0.4]),
        repetition_penalty=rng.choice([1.0, 1.0, 1.3, 0.8]),
        presence_penalty=rng.choice([0.0, 0.0, 0.7, -0.3]),
        frequency_penalty=rng.choice([0.0, 0.0, 0.5, -0.4]),
        logit_bias=rng.choice([{}, {}, {5: 3.0, 9: -100.0}, {0: -1.5, VOCABULARY - 2: 1.0}]),
        logprobs=rng.choice([None, None, 0, 3, 20]),
        seed=rng.randrange(1000),
        stop=tuple(rng.choice(["ab", "cca", "b1", "a a"]) for _ in range(rng.choice([0, 0, 0, 1, 2]))),
        fork=rng.random() < 0.95,
        max_threads=rng.choice([2, 3, 5, 12, 32]),
        max_depth=rng.choice([2, 3, 4]),
        priority=rng.choice([0, 0, 0, 1]),
        max_parallel_threads=rng.choice([None, None, 1, 1, 2, 3]),
        repeated_leads=rng.choice(["allow", "end"]),
    )


def make_engine(case: Case, static: bool = False) -> Engine:
    """An engine for the case; `static` is for fixed shapes, with CUDA graphs on a GPU and without on the CPU."""

    def decode(ids: list[int]) -> str:
        return "".join(case.texts[token] for token in ids)

    pool = BlockPool(case.num_blocks, case.block_size)
    model = copy.deepcopy(case.model)
    native = case.native or static
    engine = Engine(model, decode, case.control.eos, case.control, pool, case.max_rows, native, graphs=static)
    if static and model.device.type == "cpu":
        engine._runner.record(engine._runner._attention, lambda run: run)  # type: ignore[arg-type]
    engine.scheduler.max_tokens = case.max_tokens
    return engine


def run_engine(case: Case, engine: Engine) -> list[Group]:
    """Answer all prompts; the blocks are checked after every step."""
    each = zip(case.prompts, case.params, strict=True)
    groups = [engine.add(prompt, params, (params.seed or 0) % 3) for prompt, params in each]
    for _ in range(_MOST_STEPS):
        if not engine.groups:
            return groups
        engine.step()
        engine.check()
    raise AssertionError("the engine makes no progress")


def compare(number: int, counts: Counter[str], static: bool = False) -> str | None:
    """Run one case; what differs, or None. `counts` collects what happened."""
    case = make_case(number)
    return compare_with(make_engine(case, static), case, number, counts)


def compare_drafts(number: int, counts: Counter[str]) -> str | None:
    """Run one case without and with drafts, of any acceptance; what differs, or None.

    The events must be the same, but for ties where the attention is PyTorch's: it rounds otherwise with drafts.
    """
    case, rng = make_case(number), random.Random(-1 - number)
    plain = run_engine(case, make_engine(case))
    [eos] = case.control.eos
    known = [spoken(group.events, case.control.fork, eos) for group in plain]
    source = KnownAnswers(known, rng.choice([0.0, 0.3, 0.7, 0.95, 1.0]), rng)
    engine = make_engine(case)
    draft_with(engine, source, rng.choice([0.0, 0.0, 0.01, 0.1]))
    update = engine._update_early

    def counted(group: Group) -> None:
        update(group)
        counts["started early"] += len(group.early)

    engine._update_early = counted  # type: ignore[method-assign]
    groups = run_engine(case, engine)
    counts["cases"] += 1
    counts["preemptions"] += engine.scheduler.preemptions
    counts["blocks lost"] += case.num_blocks - engine.pool.num_free
    counts["drafted"] += engine.statistics().drafted
    counts["accepted"] += engine.statistics().accepted
    counts["passes"] += engine.statistics().passes
    for prompt, params, group, expected in zip(case.prompts, case.params, groups, plain, strict=True):
        _count(group.events, counts)
        if difference := _difference_of_events(group, expected.events, expected.assembler.text):
            oracle = partial(Oracle, case.model, case.texts, case.control, engine.context, prompt, params, group.choice)
            if _hangs_on_a_tie(group, oracle):
                counts["ties"] += 1
                continue
            counts["differences"] += 1
            return f"case {number}, {group.name}: {difference}"
    if sorted(source.forgotten) != list(range(len(groups))):
        return f"case {number}: of the groups {source.forgotten} were forgotten"
    return None


def compare_with(engine: Engine, case: Case, number: int, counts: Counter[str]) -> str | None:
    """Run a case through an engine made for it; what differs, or None."""
    groups = run_engine(case, engine)
    counts["cases"] += 1
    counts["preemptions"] += engine.scheduler.preemptions
    counts["blocks lost"] += case.num_blocks - engine.pool.num_free
    for prompt, params, group in zip(case.prompts, case.params, groups, strict=True):
        oracle = partial(Oracle, case.model, case.texts, case.control, engine.context, prompt, params, group.choice)
        exact = oracle()
        _count(exact.run(), counts)
        if difference := _difference(group, exact):
            if _hangs_on_a_tie(group, oracle):
                counts["ties"] += 1
                continue
            counts["differences"] += 1
            return f"case {number}, {group.name}: {difference}"
    return None


def _hangs_on_a_tie(group: Group, oracle: Callable[[random.Random], Oracle]) -> bool:
    """Whether an oracle that rounds otherwise gives the answer, too."""
    return any(_difference(group, oracle(random.Random(seed))) is None for seed in range(_TRIES))


def _difference(group: Group, oracle: Oracle) -> str | None:
    expected = oracle.events or oracle.run()
    return _difference_of_events(group, expected, oracle.text)


def _difference_of_events(group: Group, expected: Sequence[Event], text: str) -> str | None:
    if group.error:
        return str(group.error)
    for mine, theirs in zip(group.events, expected, strict=False):
        if not _alike(mine, theirs):
            return f"the engine tells {mine} in place of {theirs}"
    if len(group.events) != len(expected):
        return f"the engine tells {len(group.events)} events in place of {len(expected)}"
    if group.assembler.text != text:
        return f"the engine's text is {group.assembler.text!r} in place of {text!r}"
    return None


def _alike(mine: Event, theirs: Event) -> bool:
    """Whether two events are the same, log probabilities up to rounding."""
    if not (isinstance(mine, Delta) and isinstance(theirs, Delta)):
        return mine == theirs
    scores = zip(mine.logprobs, theirs.logprobs, strict=False)
    close = len(mine.logprobs) == len(theirs.logprobs) and all(
        one.token_id == two.token_id
        and math.isclose(one.logprob, two.logprob, abs_tol=1e-3)
        and [token for token, _ in one.top] == [token for token, _ in two.top]
        and all(math.isclose(a, b, abs_tol=1e-3) for (_, a), (_, b) in zip(one.top, two.top, strict=True))
        for one, two in scores
    )
    return close and replace(mine, logprobs=()) == replace(theirs, logprobs=())


def _count(events: list[Event], counts: Counter[str]) -> None:
    counts["answers"] += 1
    forks = Counter(event.step for event in events if isinstance(event, Forked))
    ends = {event.step for event in events if isinstance(event, Finished)}
    counts["forks"] += forks.total()
    counts["nested forks"] += sum(isinstance(event, Forked) and len(event.thread) > 1 for event in events)
    counts["steps with two forks or more"] += sum(count > 1 for count in forks.values())
    counts["steps with a fork and an end"] += len(ends & set(forks))
    for event in events:
        if isinstance(event, Finished):
            counts[f"ended by {event.reason}"] += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--static", action="store_true", help="passes of single tokens in fixed shapes")
    parser.add_argument("--drafts", action="store_true", help="with drafts of any acceptance, against none")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    options = parser.parse_args()
    device.chosen = options.device
    counts: Counter[str] = Counter({"differences": 0, "ties": 0, "blocks lost": 0})
    began = time.perf_counter()
    for number in range(options.first, options.first + options.cases):
        if difference := compare_drafts(number, counts) if options.drafts else compare(number, counts, options.static):
            print(difference)
    print(json.dumps({**counts, "seconds": round(time.perf_counter() - began, 1)}))
    if counts["differences"] or counts["blocks lost"] or counts["ties"] > _TIES * counts["answers"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
