"""The engine over llama.cpp's cache, held against the oracle: random lives in a cache that is short of cells."""

from __future__ import annotations

import random

from apar.backends.llama_cpp.cells import sequences_for
from apar.backends.llama_cpp.engine import BLOCK_SIZE, LlamaCppEngine
from apar.decoding.group import Group
from apar.decoding.params import SamplingParams
from apar.errors import RunError
from apar.events import Forked
from tests.backends.fake_llama import FakeLlama
from tests.backends.hasty import CONTROL, TEXTS, HashModel
from tests.oracle import Oracle


def _decode(ids: list[int]) -> str:
    return "".join(TEXTS[token] for token in ids)


def _engine(model: HashModel, cells: int, max_rows: int, max_tokens: int = 512, longest: int = 100) -> LlamaCppEngine:
    fake = FakeLlama(model.logits, cells, sequences_for(max_rows))
    return LlamaCppEngine(
        fake,
        _decode,
        lambda text: [],
        CONTROL.eos,
        CONTROL,
        vocabulary_size=len(TEXTS),
        longest=longest,
        cells=cells,
        max_rows=max_rows,
        max_tokens=max_tokens,
    )


def _fake(engine: LlamaCppEngine) -> FakeLlama:
    fake = engine._decoder
    assert isinstance(fake, FakeLlama)
    return fake


def _params(rng: random.Random) -> SamplingParams:
    return SamplingParams(
        max_tokens=rng.choice([1, 3, 12, 24, 60, 60, 120]),
        temperature=rng.choice([0.0, 0.0, 0.8]),
        seed=rng.randrange(100),
        stop=tuple(rng.choice(["ab.", "ca.", "b bb", "..."]) for _ in range(rng.choice([0, 0, 0, 1]))),
        fork=rng.random() < 0.9,
        max_threads=rng.choice([2, 5, 12, 32]),
        max_depth=rng.choice([2, 3, 4]),
        max_parallel_threads=rng.choice([None, None, None, 1, 2]),
        repeated_leads=rng.choice(["allow", "end"]),
        priority=rng.choice([0, 0, 1]),
    )


def _prompt(rng: random.Random) -> list[int]:
    """Some begin alike, so that blocks are found."""
    start = [3 + number % 5 for number in range(rng.choice([0, 16, 40]))]
    return start + [rng.randrange(3, len(TEXTS)) for _ in range(rng.randint(1, 12))]


def _drained(engine: LlamaCppEngine) -> None:
    """Nothing is held, and what is kept can be let go to the last cell."""
    engine.check()
    kept = engine.pool.num_kept
    # Less where two blocks begin with cells that a parent and its child share.
    assert len(_fake(engine).cells) <= kept * BLOCK_SIZE
    assert engine.cells.num_used <= kept
    engine.pool.forget(list(range(engine.pool.num_blocks)))
    engine.cells.settle()
    assert not _fake(engine).cells
    assert engine.cells.num_used == 0
    assert engine.pool.num_free == engine.pool.num_blocks


def test_answers_in_a_short_cache_are_the_oracles() -> None:
    forks = preemptions = shared = 0
    for number in range(150):
        rng = random.Random(number)
        model = HashModel(number, fork=rng.uniform(-1, 4), eos=rng.uniform(-4, 0))
        engine = _engine(model, rng.choice([128, 256, 1024]), rng.choice([1, 2, 4, 16]), rng.choice([9, 512]))
        asked = [(_prompt(rng), _params(rng)) for _ in range(rng.randint(1, 5))]
        groups = [engine.add(prompt, params) for prompt, params in asked]
        for _ in range(20_000):
            if not engine.groups:
                break
            engine.step()
            engine.check()
        for group, (prompt, params) in zip(groups, asked, strict=True):
            oracle = Oracle(model, TEXTS, CONTROL, engine.context, prompt, params)
            assert group.error is None, (number, group.error)
            assert group.events == oracle.run(), (number, group.name)
            assert group.assembler.text == oracle.text
            forks += sum(isinstance(event, Forked) for event in group.events)
            shared += group.cached_tokens
        preemptions += engine.scheduler.preemptions
        _drained(engine)
    assert forks > 300
    assert preemptions > 100
    assert shared > 500


def test_cancelled_and_failed_answers_leave_no_cell_and_harm_no_other() -> None:
    cancelled = failed = 0
    for number in range(100):
        rng = random.Random(number)
        model = HashModel(number, fork=rng.uniform(0, 4), eos=-2)
        engine = _engine(model, rng.choice([128, 512]), rng.choice([2, 4, 16]))
        fails = [rng.random() < 0.02 for _ in range(400)]
        _fake(engine).fail = lambda fails=fails: bool(fails and fails.pop())
        asked: dict[Group, tuple[list[int], SamplingParams]] = {}
        for _ in range(20_000):
            if len(asked) < 8 and rng.random() < 0.1:
                prompt, params = _prompt(rng), _params(rng)
                asked[engine.add(prompt, params)] = (prompt, params)
            if engine.groups and rng.random() < 0.01:
                group = rng.choice(engine.groups)
                engine.cancel(group)
                del asked[group]
                prompt, params = [3], SamplingParams(max_tokens=1, seed=0)
                asked[engine.add(prompt, params)] = (prompt, params)
                cancelled += 1
            engine.step()
            engine.check()
            if len(asked) >= 8 and not engine.groups:
                break
        for group, (prompt, params) in asked.items():
            if group.error is not None:
                assert "the device is gone" in str(group.error)
                failed += 1
                continue
            oracle = Oracle(model, TEXTS, CONTROL, engine.context, prompt, params)
            assert group.events == oracle.run(), (number, group.name)
        _drained(engine)
    assert cancelled > 50
    assert failed > 20


def test_a_fork_feeds_nothing_twice() -> None:
    model = HashModel(1, fork=50, eos=-50)
    engine = _engine(model, 1024, 16)
    group = engine.add([3] * 50, SamplingParams(max_tokens=20, max_threads=4))
    while engine.groups:
        engine.step()
    [forks, threads] = [sum(isinstance(event, Forked) for event in group.events), group.created]
    assert forks == threads - 1 == 3
    # The prompt, each visible token but those sampled last, [Fork] and [Child] of each fork: all once.
    assert _fake(engine).decoded <= 50 + 20 + 2 * forks


def test_the_next_turn_begins_with_the_cells_of_the_turn_before() -> None:
    model = HashModel(2, fork=-50, eos=-50)
    engine = _engine(model, 1024, 4)
    first = engine.add([3] * 40, SamplingParams(max_tokens=30))
    while engine.groups:
        engine.step()
    path = [3] * 40 + [token for event in first.events for token in getattr(event, "token_ids", ())]
    before = _fake(engine).decoded
    second = engine.add([*path, 4, 5], SamplingParams(max_tokens=1))
    while engine.groups:
        engine.step()
    assert second.cached_tokens == 64  # of 69 whose keys and values are there: whole blocks
    assert _fake(engine).decoded - before == len(path) + 2 - 64


def test_a_thread_without_numbers_for_logits_fails_its_answer_alone() -> None:
    model = HashModel(3, fork=0, eos=0)
    engine = _engine(model, 512, 4)
    fake, bad = _fake(engine), [7] * 20
    fake.logits = lambda path: [float("nan")] * len(TEXTS) if path[0] == 7 else model.logits(path)
    good = engine.add([3, 4], SamplingParams(max_tokens=10))
    failing = engine.add(bad, SamplingParams(max_tokens=10))
    while engine.groups:
        engine.step()
    assert isinstance(failing.error, RunError)
    assert "logits are not numbers" in str(failing.error)
    assert good.error is None
    _drained(engine)
